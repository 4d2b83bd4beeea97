"""Which pieces of text every match of a pattern holds: a cheap look rules most patterns out.

The way of prefilters in search engines (Cox, Regular Expression Matching with a Trigram Index, 2012), on the tree that
the standard library makes of a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MOST = 120
"""Alternatives; a longer list is no cheaper than the pattern."""
SHORTEST = 2
"""Characters of the shortest piece, where it is of letters: a single one is in every text."""


def required(pattern: str) -> tuple[str, ...]:
    """Return pieces in small letters, at least one of which is in every match; empty where none are known."""
    found = _best(_parser.parse(pattern, re.IGNORECASE | re.MULTILINE))
    return tuple(sorted(found)) if found else ()


def _best(tree: Any) -> frozenset[str] | None:
    """The best set of alternatives that a sequence needs: with the longest shortest piece, then the fewest."""
    candidates: list[frozenset[str]] = []
    run = ""
    for op, value in tree:
        if op is c.LITERAL:
            run += chr(value).lower()
            continue
        if run:
            candidates.append(frozenset({run}))
            run = ""
        inner = _of(op, value)
        if inner:
            candidates.append(inner)
    if run:
        candidates.append(frozenset({run}))
    good = [x for x in candidates if len(x) <= MOST and min(map(_worth, x)) >= SHORTEST]
    return max(good, key=lambda x: (min(4, *map(_worth, x)), -len(x)), default=None)


def _worth(piece: str) -> int:
    """How much a piece rules out: its length, and more for a sign that is no letter, digit or blank."""
    return len(piece) + 2 * any(not x.isalnum() and not x.isspace() for x in piece)


def _of(op: Any, value: Any) -> frozenset[str] | None:
    """The alternatives that one part of a sequence needs."""
    if op is c.SUBPATTERN:
        return _best(value[-1])
    if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
        return _best(value[2]) if value[0] > 0 else None
    if op is c.ATOMIC_GROUP:
        return _best(value)
    if op is c.BRANCH:
        return _union([_best(branch) for branch in value[1]])
    return None


def _union(sets: Sequence[frozenset[str] | None]) -> frozenset[str] | None:
    if any(each is None for each in sets):
        return None
    return frozenset().union(*(each for each in sets if each is not None))
