"""Orders: to the agent, its harness, its graders or its reviewers. A lesson says how to solve problems, no more.

A lesson that gives one fixed answer for everything is an order too: it helps nobody and wins where a grader is weak.
The patterns read the text as a person would (`characters.as_read`): look-alike letters, letters set apart and figures
in place of letters make no difference, and what base64 or tag characters spell is read as well.
"""

from __future__ import annotations

import base64
import binascii
import re

from tfgrpo.lessons.scanners.base import Finding, Kind
from tfgrpo.lessons.scanners.characters import tag_text
from tfgrpo.lessons.scanners.signs import findings_by_signs, sign_reasons

SPACED = re.compile(r"(?<!\w)(?:\w[ .·_-]){4,}\w(?!\w)")
LETTERS = re.compile(r"(?:\w[ .·_-])+\w")
ROOM = re.compile(r"\s{2,}")
APART = re.compile(r"[ .·_-]")
LEET = str.maketrans("013457@$!", "oieastasi")
FIGURES = re.compile(r"(?<![\w$])(?=\w*[a-zA-Z])(?=[\w@$!]*[\d@$!][\w@$!])[\w@$!]+")
BLOB = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")


def instruction_findings(text: str, plain: str) -> tuple[Finding, ...]:
    """Return findings for orders.

    Args:
        text: as it was given.
        plain: as a person reads it, see `characters.as_read`.
    """
    found = findings_by_signs(Kind.INSTRUCTION, plain)
    open_ = {each.reason.partition(": ")[0] for each in found}
    disguised = [
        Finding(Kind.INSTRUCTION, f"{why}, {how}")
        for how, said in (
            ("spelled in characters nobody sees", tag_text(text)),
            ("hidden in base64", _decoded(plain)),
            ("in disguised letters", _undone(plain)),
            ("in letters set apart", _joined(text)),
        )
        for why in (sign_reasons(Kind.INSTRUCTION, said) if said else ())
        if why not in open_
    ]
    return (*found, *disguised)


def _undone(plain: str) -> str:
    """Return the text with spaced letters joined and figures inside words read as letters; '' if nothing changed."""
    joined = SPACED.sub(lambda m: APART.sub("", m[0]), plain)
    read = FIGURES.sub(lambda m: m[0].lower().translate(LEET), joined)
    return read if read != plain else ""


def _joined(text: str) -> str:
    """Return the text with letters joined that stand apart where more room parts the words; '' if there are none."""
    words = ROOM.split(text)
    joined = [APART.sub("", word) if LETTERS.fullmatch(word) else word for word in words]
    return " ".join(joined) if joined != words else ""


def _decoded(plain: str) -> str:
    """Return what base64 in the text says, where it says something."""
    said = []
    for blob in BLOB.findall(plain):
        try:
            text = base64.b64decode(blob + "=" * (-len(blob) % 4), validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            continue
        if text.isprintable() and " " in text:
            said.append(text)
    return ". ".join(said)
