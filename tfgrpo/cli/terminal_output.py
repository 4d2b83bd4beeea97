r"""The one writer of the command line: what strangers wrote moves no cursor, paints no screen and hides no line.

Everything that a command prints goes through it, whoever prints it. Controls come out as `\u001b`, which JSON reads as
what it was. Only the live display, which draws with controls of its own, writes to the stream below.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)
"""Control characters but for tab and line ends, marks that turn the direction of a line, and halves of surrogates."""


def printable(text: str) -> str:
    """Return `text` with every character that a terminal would act on written out."""
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class Writer:
    """A stream that prints what it is given and obeys none of it."""

    def __init__(self, below: TextIO) -> None:
        self.below = below

    def write(self, text: str) -> int:
        """Write text; return how much was given."""
        self.below.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

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
