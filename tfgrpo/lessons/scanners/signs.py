"""Signs are data (`signs.toml`): patterns by kind, and the sentence that each of them gives.

A sign is looked for only where the text holds a piece that every match of it has: lessons are short and clean, and
most signs are ruled out by a few looks. Every repeat is bounded when the patterns are compiled (runs of white space are
one sign long by then, see `characters.as_read`), so that no text takes more than a line's time.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tfgrpo.lessons.scanners.base import Finding, Kind, quoted
from tfgrpo.lessons.scanners.conditions import FIXED, is_conditional
from tfgrpo.lessons.scanners.required_literals import Needs, may_match, required

FILE = Path(__file__).with_name("signs.toml")
WORD = re.compile(r"<([A-Z]{3,})>")
REPEAT = re.compile(r"(\\[sSwWdD]|\[(?:\\.|[^\]\\]){1,200}\]|(?<!\\)\.|\))([*+])(?!\+)")
BOUNDS = {r"\s": 3, ")": 5}
"""Longest run of white space, and most turns of a group; of other signs there are up to LONGEST."""
LONGEST = 80


@dataclass(frozen=True, slots=True)
class Sign:
    """What a pattern means where it occurs."""

    why: str
    pattern: re.Pattern[str]
    needs: Needs
    """What is in every match."""


def findings_by_signs(kind: Kind, text: str) -> tuple[Finding, ...]:
    """Return one finding for each sentence of a kind whose signs show in `text`."""
    found: dict[str, str] = {}
    for why, match in shown_signs(kind, text):
        found.setdefault(why, match[0])
    return tuple(Finding(kind, f"{why}: {quoted(said)}") for why, said in found.items())


def sign_reasons(kind: Kind, text: str) -> tuple[str, ...]:
    """Return the sentences of the signs that show, without quoting."""
    return tuple(dict.fromkeys(why for why, _ in shown_signs(kind, text)))


def shown_signs(kind: Kind, text: str) -> tuple[tuple[str, re.Match[str]], ...]:
    """Return the signs of a kind that show, each with its first match."""
    small = text.lower()
    found = []
    for sign in all_signs()[kind]:
        if may_match(sign.needs, small) and (match := _first_match(sign, text)):
            found.append((sign.why, match))
    return tuple(found)


def _first_match(sign: Sign, text: str) -> re.Match[str] | None:
    if sign.why != FIXED:
        return sign.pattern.search(text)
    return next((match for match in sign.pattern.finditer(text) if not is_conditional(text, match)), None)


@cache
def all_signs() -> Mapping[Kind, tuple[Sign, ...]]:
    """Return all signs; read and compiled once, when first asked for."""
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))
    words = {name: f"(?:{'|'.join(entries)})" for name, entries in table.pop("words").items()}
    return {
        Kind(kind): tuple(_sign(row["why"], pattern, words) for row in rows for pattern in row["patterns"])
        for kind, rows in table.items()
    }


def _sign(why: str, pattern: str, words: Mapping[str, str]) -> Sign:
    while (filled := WORD.sub(lambda m: words.get(m[1], m[0]), pattern)) != pattern:
        pattern = filled
    bounded = REPEAT.sub(_bounded, pattern)
    return Sign(why, re.compile(bounded, re.IGNORECASE | re.MULTILINE), required(bounded))


def _bounded(match: re.Match[str]) -> str:
    most = BOUNDS.get(match[1], LONGEST)
    return f"{match[1]}{{{1 if match[2] == '+' else 0},{most}}}"
