"""`python -m tfgrpo.cli` is `tfgrpo`."""

from tfgrpo.cli import main

main()
