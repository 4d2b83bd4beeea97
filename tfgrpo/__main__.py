"""`python -m tfgrpo` is `tfgrpo`."""

from tfgrpo.cli import main

main()
