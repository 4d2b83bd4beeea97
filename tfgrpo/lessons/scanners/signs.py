"""Signs are data (`signs.toml`): patterns by kind, and the sentence that each of them gives."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tfgrpo.lessons.scanners.base import Finding, Kind, quoted

FILE = Path(__file__).with_name("signs.toml")
WORD = re.compile(r"<([A-Z]{3,})>")


@dataclass(frozen=True, slots=True)
class Sign:
    """What a pattern means where it occurs."""

    why: str
    pattern: re.Pattern[str]


def findings_by_signs(kind: Kind, text: str) -> tuple[Finding, ...]:
    """Return one finding for each sign of a kind that shows in `text`."""
    found = ((sign.why, sign.pattern.search(text)) for sign in all_signs()[kind])
    return tuple(Finding(kind, f"{why}: {quoted(match[0])}") for why, match in found if match)


def sign_reasons(kind: Kind, text: str) -> tuple[str, ...]:
    """Return the sentences of the signs that show, without quoting."""
    return tuple(sign.why for sign in all_signs()[kind] if sign.pattern.search(text))


@cache
def all_signs() -> Mapping[Kind, tuple[Sign, ...]]:
    """Return all signs; read and compiled once, when first asked for."""
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))
    words = {name: f"(?:{'|'.join(entries)})" for name, entries in table.pop("words").items()}
    return {
        Kind(kind): tuple(Sign(row["why"], _compiled(row["patterns"], words)) for row in rows)
        for kind, rows in table.items()
    }


def _compiled(patterns: list[str], words: Mapping[str, str]) -> re.Pattern[str]:
    whole = "|".join(f"(?:{pattern})" for pattern in patterns)
    while (filled := WORD.sub(lambda m: words.get(m[1], m[0]), whole)) != whole:
        whole = filled
    return re.compile(whole, re.IGNORECASE | re.MULTILINE)
