"""What a judge says becomes one of three words, whatever full stops, remarks or markup stand around it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tfgrpo.errors import MalformedReply
from tfgrpo.replies import parse_json

VERDICTS: Mapping[str, tuple[str, ...]] = {
    "CORRECT": ("correct", "right", "true", "yes", "accept", "accepted", "pass", "passed", "正确"),
    "INCORRECT": (
        "incorrect", "not correct", "not quite correct", "not entirely correct", "partially correct", "partly correct",
        "incomplete", "wrong", "false", "no", "not", "reject", "rejected", "fail", "failed", "错误", "不正确",
    ),
    "ABSTAIN": ("abstain", "abstained", "undecided", "unsure", "unclear", "unknown", "cannot", "not sure", "n/a"),
}  # fmt: skip
"""The words of a judge, and what others say instead."""
SIDES: Mapping[str, tuple[str, ...]] = {
    "1": ("1", "a", "one", "first", "answer 1", "answer a", "the first"),
    "2": ("2", "b", "two", "second", "answer 2", "answer b", "the second"),
    "TIE": ("tie", "tied", "equal", "both", "same", "neither", "draw"),
    "ABSTAIN": VERDICTS["ABSTAIN"],
}
GRADES: Mapping[str, float | None] = {
    "EXCELLENT": 1.0,
    "GOOD": 0.75,
    "FAIR": 0.5,
    "POOR": 0.25,
    "WRONG": 0.0,
    "ABSTAIN": None,
}
"""Grades of a whole group and what they are worth."""
_KEYS = ("verdict", "grade", "judgement", "judgment", "decision", "better")
_LABELLED = re.compile(
    rf"\b(?:{'|'.join(_KEYS)})\b[\"'*_`]*\s*(?:[:：=]|\bis\b)[\s\"'*_`(\[]*([^\n\"{{}}]{{1,40}})", re.IGNORECASE
)
_EDGE = re.compile(r"^[\s\W_]+", re.UNICODE)
_REASON = 300


class VerdictReply(BaseModel):
    """The reply that judges one answer."""

    model_config = ConfigDict(extra="forbid")

    verdict: Literal["CORRECT", "INCORRECT", "ABSTAIN"]
    reason: str = Field(description="One sentence.")


class SideReply(BaseModel):
    """The reply that compares two answers."""

    model_config = ConfigDict(extra="forbid")

    verdict: Literal["1", "2", "TIE", "ABSTAIN"]
    reason: str = Field(description="One sentence.")


class RankReply(BaseModel):
    """The reply that orders a group, best first; answers that are worth the same share a place."""

    model_config = ConfigDict(extra="forbid")

    ranking: list[list[int]]
    reason: str = Field(description="One sentence.")


class GradeReply(BaseModel):
    """One answer of a group."""

    model_config = ConfigDict(extra="forbid")

    answer: int
    verdict: Literal["EXCELLENT", "GOOD", "FAIR", "POOR", "WRONG", "ABSTAIN"]
    reason: str = Field(description="One sentence.")


class GradesReply(BaseModel):
    """The reply that grades a whole group."""

    model_config = ConfigDict(extra="forbid")

    verdicts: list[GradeReply]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One word of a judge, and why."""

    word: str
    """A key of the table it was read by."""
    reason: str = ""


def read_verdict(text: str, words: Mapping[str, tuple[str, ...]] = VERDICTS) -> Verdict:
    """Read a judge's reply.

    A reply that is one JSON object is taken by its verdict alone. Else every labelled verdict in it must agree (an
    answer may have planted one); a reply that only begins with a known word is that word.

    Raises:
        MalformedReply: no verdict, or two that differ.
    """
    whole = _whole_json(text)
    if whole is not None:
        said = next((whole[key] for key in _KEYS if key in whole), None)
        found = known(said, words)
        if found:
            return Verdict(found, _short(str(whole.get("reason") or whole.get("why") or "")))
    labelled = {word for match in _LABELLED.finditer(text) if (word := known(match[1], words))}
    if len(labelled) > 1:
        raise MalformedReply(f"two verdicts that differ, {' and '.join(sorted(labelled))}; give one", text)
    if labelled:
        return Verdict(labelled.pop(), _loose_reason(text))
    first = next((line for line in text.splitlines() if line.strip()), "")
    if bare := known(first, words):
        return Verdict(bare, _short(text.strip()))
    raise MalformedReply(f"no verdict; begin with one of {', '.join(words)}", text)


def known(said: object, words: Mapping[str, tuple[str, ...]]) -> str | None:
    """The table's word that `said` begins with; None if there is none, or if it offers a choice."""
    if isinstance(said, bool):
        said = "yes" if said else "no"
    plain = _EDGE.sub("", unicodedata.normalize("NFKC", str(said or "")).casefold())
    plain = re.sub(r"\s+", " ", plain)
    spellings = sorted(
        ((s, word) for word, ss in words.items() for s in (*ss, word.casefold())), key=lambda p: -len(p[0])
    )
    for spelling, word in spellings:
        if plain.startswith(spelling) and not re.match(r"\w", plain[len(spelling) :]):
            rest = plain[len(spelling) :]
            return None if re.match(r"\s*(?:/|\||\bor\b)", rest) else word
        if plain.startswith(spelling) and not spelling.isascii():
            return word
    return None


def read_grades(text: str, count: int) -> tuple[tuple[float | None, str], ...]:
    """Read the grades of answers 1 to `count`; one that is missing or abstained from is None.

    Raises:
        MalformedReply: no list of verdicts, or none of these answers in it.
    """
    value = parse_json(text)
    items = value.get("verdicts") if isinstance(value, Mapping) else value
    found: dict[int, tuple[float | None, str]] = {}
    for item in items if isinstance(items, list) else []:
        number, word = (item.get("answer"), item.get("verdict")) if isinstance(item, Mapping) else (None, None)
        grade = known(word, dict.fromkeys(GRADES, ()))
        if grade is not None and str(number).isdecimal():
            found.setdefault(int(str(number)), (GRADES[grade], _short(str(item.get("reason") or ""))))
    if not any(1 <= number <= count for number in found):
        raise MalformedReply(
            f'no verdicts; answer {{"verdicts": [...]}} with one entry for each of {count} answers', text
        )
    return tuple(found.get(number, (None, "")) for number in range(1, count + 1))


def read_ranking(text: str, count: int) -> tuple[tuple[int, ...], ...]:
    """Read places, best first, each with the answers (0-based) that share it.

    Raises:
        MalformedReply: not every answer of 1 to `count` stands in it exactly once.
    """
    value = parse_json(text)
    items = value.get("ranking") if isinstance(value, Mapping) else value
    places = [item if isinstance(item, list) else [item] for item in items] if isinstance(items, list) else []
    numbers = [[int(str(n)) for n in place if str(n).strip().isdecimal()] for place in places]
    if sorted(_flat(numbers)) != list(range(1, count + 1)):
        raise MalformedReply(f"the ranking must hold each of the numbers 1 to {count} exactly once", text)
    return tuple(tuple(n - 1 for n in place) for place in numbers if place)


def beaten(places: Iterable[tuple[int, ...]]) -> dict[int, float]:
    """Share of the others that each answer beats; those of the same place count half. 0.5 for a single answer."""
    listed = list(places)
    total, above = sum(map(len, listed)), 0
    shares: dict[int, float] = {}
    for place in listed:
        wins = (total - above - len(place)) + (len(place) - 1) / 2
        shares |= dict.fromkeys(place, wins / (total - 1) if total > 1 else 0.5)
        above += len(place)
    return shares


def _flat(numbers: Iterable[Iterable[int]]) -> list[int]:
    return [n for place in numbers for n in place]


def _whole_json(text: str) -> Mapping[str, Any] | None:
    """The reply as one JSON object, where it is nothing else but perhaps a code fence."""
    bare = re.sub(r"^\s*```\w*\s*\n(.*?)\n?\s*```\s*$", r"\1", text, flags=re.DOTALL)
    try:
        value = json.loads(bare)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Mapping) else None


def _loose_reason(text: str) -> str:
    found = re.search(r"\breason\b[\"'*_`]*\s*[:：=][\s\"'*_`]*([^\n\"}]+)", text, re.IGNORECASE)
    return _short(found[1] if found else text)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _REASON else text[: _REASON - 1] + "…"
