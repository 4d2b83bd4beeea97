"""Keys and passwords: by the shapes that vendors give them, by the words around them, by sheer randomness."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from experience_db.masking import NAMED, RUN, SHAPES, is_random, is_value
from tfgrpo.lessons.scanners.base import Finding, Kind
from tfgrpo.lessons.scanners.required_literals import may_match, required

_NAMES = ("pass", "secret", "key", "token", "credential", "pin")
_COMPILED = tuple((name, re.compile(shape), required(shape)) for name, shape in SHAPES)


def secret_findings(text: str, known: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Return findings for what looks like a secret, or is one of the `known` ones; no reason repeats it."""
    if any(secret in text for secret in known):
        return (Finding(Kind.SECRET, "it holds a key of this very environment"),)
    return tuple(dict.fromkeys([*_shaped(text), *_named(text), *_random(text)]))


def _shaped(text: str) -> Iterator[Finding]:
    small = text.lower()
    for name, shape, needs in _COMPILED:
        if may_match(needs, small) and shape.search(text):
            yield Finding(Kind.SECRET, f"it holds what looks like {name}")


def _named(text: str) -> Iterator[Finding]:
    small = text.lower()
    if any(name in small for name in _NAMES) and any(is_value(found["value"]) for found in NAMED.finditer(text)):
        yield Finding(Kind.SECRET, "it gives a password or key")


def _random(text: str) -> Iterator[Finding]:
    if any(is_random(found) for found in RUN.findall(text)):
        yield Finding(Kind.SECRET, "it holds a run of letters and digits as random as a key")
