r"""The one writer of the command line: what strangers wrote moves no cursor, paints no screen and hides no line.

Everything that a command prints goes through it, whoever prints it. Controls come out as `\u001b`, which JSON reads as
what it was. Only the live display, which draws with controls of its own, writes to the stream below. On a terminal,
lines for people are broken at blanks, so that none ends within a number; data and commands are left as they are.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)
"""Control characters but for tab and line ends, marks that turn the direction of a line, and halves of surrogates."""

COPIED = re.compile(r"""\s*(tfgrpo |export |pip |File "|[{}\]"'|<#`]|\[[\["'{\]])""")
"""Beginnings of lines that are commands, JSON, tables or Markdown: somebody may copy them."""
NARROWEST = 20
"""Columns below which nothing is folded."""


def printable(text: str) -> str:
    """Return `text` with every character that a terminal would act on written out."""
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def fold(line: str, width: int) -> str:
    """Return a line for people broken at blanks to `width` columns, its later parts two columns further in."""
    body = line.rstrip("\r\n")
    if len(body) <= width or COPIED.match(body):
        return line
    import textwrap

    inner = textwrap.TextWrapper(
        width,
        subsequent_indent=" " * (len(body) - len(body.lstrip()) + 2),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return "\n".join(inner.wrap(body)) + line[len(body) :]


class Writer:
    """A stream that prints what it is given and obeys none of it."""

    def __init__(self, below: TextIO) -> None:
        self.below = below

    def write(self, text: str) -> int:
        """Write text; return how much was given."""
        self.below.write(self._folded(printable(text)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def _folded(self, text: str) -> str:
        if not self.below.isatty():
            return text
        import shutil

        try:
            width = shutil.get_terminal_size((0, 0)).columns or os.get_terminal_size(self.below.fileno()).columns
        except (ValueError, OSError):
            return text
        return "".join(fold(line, width) for line in text.splitlines(keepends=True)) if width >= NARROWEST else text

    def isatty(self) -> bool:
        """No: nobody may send controls through it."""
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)


def install() -> None:
    """Put the writer before stdout and stderr of this process, once."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Writer):
            setattr(sys, name, Writer(stream))


def terminal(stream: Any) -> Any:
    """Return the stream below the writer, for what draws with controls of its own."""
    return stream.below if isinstance(stream, Writer) else stream
