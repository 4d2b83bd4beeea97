"""What a judge says becomes one of three words, whatever full stops, remarks or markup stand around it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tfgrpo.errors import MalformedReply
from tfgrpo.prompting.thinking import after_thinking
from tfgrpo.replies import parse_json
from tfgrpo.system.untrusted_json import loads

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
_OBJECT = re.compile(r"\{[^{}]*\}")
_QUOTE_LINE = re.compile(r"^[ \t]{0,8}>[^\n]*$", re.MULTILINE)
_SHOWN = re.compile(r"<([\w-]{1,40})>(?:(?!</?\1>).)*</\1>", re.DOTALL)
_FENCE = re.compile(r"```[^`]*```")
_QUOTED = re.compile(r"“[^“”]*”|«[^«»]*»|(?<![\w:=])\"[^\"\n]*\"(?!\s*:)|(?<![\w:=])'[^'\n]*'(?!\w)|`[^`\n]*`")
_SUPPOSED = re.compile(r"\b(?:if|would|whether|could|unless|suppose|instead of|rather than|not)\b", re.IGNORECASE)
_DAILY = frozenset(
    {"no", "yes", "not", "true", "false", "right", "pass", "fail", "one", "two", "first", "second", "a", "b"}
)
_DAILY |= {"1", "2", "both", "same", "cannot", "equal", "neither", "unknown", "accept", "reject"}
_NO_VERDICT = re.compile(
    r"\s*(?:/|\||\bor\b|\?)|\s(?:answers?|responses?|solutions?|references?|results?|values?|would|if|me|is|are|was)\b"
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
    """Read a judge's reply, without its thinking.

    A reply that is one JSON object is taken by its verdict alone. Else what it quotes is dropped first, for an answer
    may have planted a verdict; the last JSON verdict and all verdicts in words must agree. A reply that begins or ends
    with a bare word is that word.

    Raises:
        Contradiction: two verdicts that differ.
        MalformedReply: no verdict.
    """
    text = after_thinking(text).strip()
    whole = _whole_json(text)
    if whole is not None:
        said = next((whole[key] for key in _KEYS if key in whole), None)
        found = match_word(said, words)
        if found:
            return Verdict(found, _short(str(whole.get("reason") or whole.get("why") or "")))
    prose, objects = _without_objects(_unquoted(text))
    stated = [
        word for each in objects if (word := match_word(next((each[k] for k in _KEYS if k in each), None), words))
    ]
    found_words = {*stated[-1:], *_labelled(prose, words)} or _bare(prose, words)
    if len(found_words) > 1:
        raise Contradiction(f"two verdicts that differ, {' and '.join(sorted(found_words))}; give one", text)
    if found_words:
        return Verdict(found_words.pop(), _loose_reason(text))
    raise MalformedReply(f"no verdict; begin with one of {', '.join(words)}", text)


class Contradiction(MalformedReply):
    """A reply gives two verdicts that differ; asked again and again so, the judge abstains."""


def abstained(error: MalformedReply) -> Verdict | None:
    """What a second reply that cannot be read counts as: one that contradicts itself abstains."""
    return Verdict("ABSTAIN", f"it gave {error}") if isinstance(error, Contradiction) else None


def _labelled(prose: str, words: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Verdicts behind a label, but for those that are asked or only supposed."""
    found = set()
    for match in _LABELLED.finditer(prose):
        before = prose[max(0, match.start() - 60) : match.start()]
        supposed = _SUPPOSED.search(re.split(r"[.!?\n]", before)[-1])
        word = None if supposed or match[1].rstrip(" .*_`)\"'").endswith("?") else match_word(match[1], words)
        found |= {word} if word else set()
    return found


def _bare(prose: str, words: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The words that the first and the last line are, or begin with."""
    lines = [line for line in prose.splitlines() if any(map(str.isalnum, line))]
    ends = dict.fromkeys([*lines[:1], *lines[-1:]])
    return {word for line in ends if (word := match_word(line, words, strict=True)) is not None}


def _unquoted(text: str) -> str:
    """The reply without what it shows of others: quotation lines, fences of a prompt, quotes that hold a verdict."""
    text = _SHOWN.sub(" ", _QUOTE_LINE.sub("", text))
    text = _FENCE.sub(lambda m: m[0] if m.end() == len(text) else " ", text)
    return _QUOTED.sub(lambda m: " " if _LABELLED.search(m[0]) else m[0], text)


def _without_objects(text: str) -> tuple[str, list[Mapping[str, Any]]]:
    """The prose of a reply, and the flat JSON objects in it that hold a verdict."""
    objects: list[Mapping[str, Any]] = []

    def taken(match: re.Match[str]) -> str:
        try:
            value = loads(match[0], strict=False)
        except ValueError:
            return match[0]
        if not isinstance(value, dict) or not any(key in value for key in _KEYS):
            return match[0]
        objects.append(value)
        return " "

    return _OBJECT.sub(taken, text), objects


def match_word(said: object, words: Mapping[str, tuple[str, ...]], *, strict: bool = False) -> str | None:
    """The table's word that `said` begins with; None if there is none, or if it offers a choice.

    With `strict` a word of daily use ("no", "one", "true") counts only where nothing but punctuation follows.
    """
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if isinstance(said, list | dict):
        # Several verdicts in one place are none, whichever comes first.
        return None
    if isinstance(said, bool):
        said = "yes" if said else "no"
    plain = _EDGE.sub("", unicodedata.normalize("NFKC", str(said or "")[:400]).casefold())
    plain = re.sub(r"\s+", " ", plain)
    for spelling, word in _spellings(tuple(words.items())):
        if not plain.startswith(spelling):
            continue
        rest = plain[len(spelling) :]
        if not spelling.isascii():
            return word
        if not re.match(r"\w", rest):
            loose = strict and spelling in _DAILY and re.match(r" ?\w", rest)
            return None if loose or _NO_VERDICT.match(rest) else word
    return None


@cache
def _spellings(words: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[tuple[str, str], ...]:
    """All spellings with their words, longest first."""
    pairs = ((spelling, word) for word, others in words for spelling in (*others, word.casefold()))
    return tuple(sorted(pairs, key=lambda pair: -len(pair[0])))


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
        grade = match_word(word, dict.fromkeys(GRADES, ()))
        index = _index(number)
        if grade is not None and index is not None:
            given = (GRADES[grade], _short(str(item.get("reason") or "")))
            # An answer that gets two grades has none.
            found[index] = given if found.get(index, given)[0] == given[0] else (None, "two grades that differ")
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
    numbers = [[n for item in place if (n := _index(item)) is not None] for place in places]
    if sorted(_flat(numbers)) != list(range(1, count + 1)):
        raise MalformedReply(f"the ranking must hold each of the numbers 1 to {count} exactly once", text)
    return tuple(tuple(n - 1 for n in place) for place in numbers if place)


def win_shares(places: Iterable[tuple[int, ...]]) -> dict[int, float]:
    """Share of the others that each answer beats; those of the same place count half. 0.5 for a single answer."""
    listed = list(places)
    total, above = sum(map(len, listed)), 0
    shares: dict[int, float] = {}
    for place in listed:
        wins = (total - above - len(place)) + (len(place) - 1) / 2
        shares |= dict.fromkeys(place, wins / (total - 1) if total > 1 else 0.5)
        above += len(place)
    return shares


def _index(number: object) -> int | None:
    """The number of an answer in a group, as a number or as text."""
    text = str(number).strip() if isinstance(number, int | str) and not isinstance(number, bool) else ""
    return int(text) if text.isdecimal() and len(text) < 6 else None


def _flat(numbers: Iterable[Iterable[int]]) -> list[int]:
    return [n for place in numbers for n in place]


def _whole_json(text: str) -> Mapping[str, Any] | None:
    """The reply as one JSON object, where it is nothing else but perhaps a code fence."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```") and "\n" in bare:
        bare = bare[:-3].partition("\n")[2]
    try:
        value = loads(bare)
    except ValueError:
        return None
    return value if isinstance(value, Mapping) else None


def _loose_reason(text: str) -> str:
    found = re.search(r"\breason\b[\"'*_`]*\s*[:：=][\s\"'*_`]*([^\n\"}]+)", text, re.IGNORECASE)
    return _short(found[1] if found else text)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _REASON else text[: _REASON - 1] + "…"
