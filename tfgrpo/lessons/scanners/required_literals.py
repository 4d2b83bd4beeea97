"""Which pieces of text every match of a pattern holds: a cheap look rules most patterns out.

The way of prefilters in search engines (Cox, Regular Expression Matching with a Trigram Index, 2012), on the tree that
the standard library makes of a pattern.
"""

from __future__ import annotations

import re
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MOST = 120
"""Alternatives; a longer list is no cheaper than the pattern."""
SHORTEST = 2
"""Characters of the shortest piece, where it is of letters: a single one is in every text."""


Needs = tuple[tuple[str, ...], ...]
"""Sets of pieces in small letters: of each set at least one piece is in every match."""


def required(pattern: str) -> Needs:
    """Return what every match of a pattern holds, what rules out most first; empty where nothing is known."""
    sets = sorted(set(_sets(_parser.parse(pattern, re.IGNORECASE | re.MULTILINE))), key=_rank, reverse=True)
    return tuple(tuple(sorted(each)) for each in sets)


def may_match(needs: Needs, small: str) -> bool:
    """Whether a text in small letters holds what a match needs."""
    for pieces in needs:
        for piece in pieces:
            if piece in small:
                break
        else:
            return False
    return True


def _best(tree: Any) -> frozenset[str] | None:
    """The best set of alternatives that a sequence needs."""
    return max(_sets(tree), key=_rank, default=None)


def _rank(pieces: frozenset[str]) -> tuple[int, int, list[str]]:
    """What is better for being looked for: the longest shortest piece, then the fewest."""
    return min(4, *map(_worth, pieces)), -len(pieces), sorted(pieces)


def _sets(tree: Any) -> list[frozenset[str]]:
    """All sets of alternatives that a sequence needs and that are worth a look."""
    found: list[frozenset[str]] = []
    run = ""
    for op, value in tree:
        if op is c.LITERAL:
            run += chr(value).lower()
            continue
        found += [frozenset({run})] if run else []
        run = ""
        found += _of(op, value)
    found += [frozenset({run})] if run else []
    return [x for x in found if len(x) <= MOST and min(map(_worth, x)) >= SHORTEST]


def _worth(piece: str) -> int:
    """How much a piece rules out: its length, and more for a sign that is no letter, digit or blank."""
    return len(piece) + 2 * any(not x.isalnum() and not x.isspace() for x in piece)


def _of(op: Any, value: Any) -> list[frozenset[str]]:
    """The sets that one part of a sequence needs."""
    if op is c.SUBPATTERN:
        return _sets(value[-1])
    if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
        return _sets(value[2]) if value[0] > 0 else []
    if op is c.ATOMIC_GROUP:
        return _sets(value)
    if op is c.BRANCH:
        branches = [_best(branch) for branch in value[1]]
        return [frozenset().union(*(x for x in branches if x is not None))] if None not in branches else []
    return []
