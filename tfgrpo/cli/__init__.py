"""The command line: parse, build, call one library function, print."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `tfgrpo` command."""
    from tfgrpo.cli.app import app

    app()
