"""All scanners over one text."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from tfgrpo.lessons.scanners.base import Finding, Kind
from tfgrpo.lessons.scanners.characters import characters, folded
from tfgrpo.lessons.scanners.instructions import instructions
from tfgrpo.lessons.scanners.secrets import secrets
from tfgrpo.lessons.scanners.signs import first

ESCAPED = re.compile(r"\\([\[\]<>|!#`])")
"""How Markdown writes a sign that shall not be read as markup; a model reads it as the sign."""


def scan(text: str, *, allow: Collection[str] = (), known: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Return what is wrong with a lesson's words, worst kind first; empty when nothing is.

    Args:
        text: the lesson.
        allow: kinds that are let through. A key of this environment never is.
        known: keys of this environment.
    """
    plain = folded(text)
    found = [
        *secrets(text, known),
        *characters(text),
        *instructions(text, plain),
        *first(Kind.URL, plain)[:1],
        *first(Kind.CODE, plain),
        *first(Kind.MARKUP, ESCAPED.sub(r"\1", plain)),
    ]
    ours = any(secret in text for secret in known)
    return tuple(x for x in found if x.kind not in allow or (ours and x.kind is Kind.SECRET))
