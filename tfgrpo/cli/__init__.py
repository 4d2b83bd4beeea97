"""The command line: parse, build, call one library function, print.

In: words. Out: text or one JSON object on stdout, progress on stderr, an exit code. Nothing here is needed to use the
package from Python. Read `app.py` first, the tree of commands; each command has a file of its name.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the `tfgrpo` command."""
    import sys

    from tfgrpo.cli import short_way, terminal_output

    terminal_output.install()
    if not short_way.taken(sys.argv[1:]):
        from tfgrpo.cli.app import app

        app()
