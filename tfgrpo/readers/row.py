"""One stored attempt at one item, whoever made it; and the small conversions that all formats share."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

WORDS = {
    "c": 1.0, "correct": 1.0, "pass": 1.0, "passed": 1.0, "true": 1.0, "yes": 1.0,
    "i": 0.0, "incorrect": 0.0, "fail": 0.0, "failed": 0.0, "false": 0.0, "no": 0.0, "n": 0.0,
    "p": 0.5, "partial": 0.5,
}  # fmt: skip
"""What graders write in place of numbers; inspect_ai's letters among them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt at one item, as some tool stored it."""

    id: str
    """The item; rows of two runs are paired by it."""
    score: float | None = None
    """The main score in the tool's own range; None when there is none."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """All scores by name."""
    text: str = ""
    """What the model answered."""
    failure: str = ""
    """Why there is no score; such a row is never read as a wrong answer."""
    question: str = ""
    answer: str | None = None
    """The reference answer, where the file holds it."""
    arm: str = ""
    """Which prompt, model or condition, where one file holds several; '' otherwise."""
    index: int = 0
    """Which trial at the item within the arm, from 0."""
    tokens: int | None = None
    """Prompt and completion tokens together; None when unknown, as for the next two."""
    usd: float | None = None
    seconds: float | None = None
    messages: tuple[Mapping[str, Any], ...] = ()
    """The conversation with `role` and `content`, where the file holds it."""

    def by(self, metric: str) -> Row:
        """Return the row with another score as its main one; without that score it has none."""
        return replace(self, score=self.scores.get(metric))


def number(value: Any) -> float | None:
    """Return a score as a finite number: booleans and words such as "C" or "pass" count as 1 and 0; None otherwise."""
    if isinstance(value, bool | int | float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        if value.strip().lower() in WORDS:
            return WORDS[value.strip().lower()]
        try:
            found = float(value)
        except ValueError:
            return None
        return found if math.isfinite(found) else None
    return None


def flatten_numbers(value: Any, name: str = "") -> dict[str, float]:
    """Return every number in nested objects by its dotted path; a bare number is called `name` or `score`."""
    if isinstance(value, Mapping):
        found: dict[str, float] = {}
        for key, inner in value.items():
            found |= flatten_numbers(inner, f"{name}.{key}" if name else str(key))
        return found
    told = number(value)
    return {} if told is None else {name or "score": told}


def text_of(value: Any) -> str:
    """Return the words of a message content: text, a list of parts, or any JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return "\n".join(filter(None, (text_of(part) for part in value)))
    if isinstance(value, Mapping):
        for key in ("text", "content", "output", "answer", "completion", "message", "parts"):
            if value.get(key) is not None:
                return text_of(value[key])
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return str(value)


def chat(messages: Any) -> tuple[dict[str, Any], ...]:
    """Return messages as `role` and `content` only; () for anything else."""
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        return ()
    found = [m for m in messages if isinstance(m, Mapping) and m.get("role")]
    return tuple({"role": str(m["role"]), "content": text_of(m.get("content", m.get("parts")))} for m in found)


def message_text(messages: Sequence[Mapping[str, Any]], role: str, *, last: bool) -> str:
    """Return the first or the last text of a role."""
    texts = [str(m["content"]) for m in messages if m["role"] == role and m["content"]]
    return texts[-1 if last else 0] if texts else ""


def content_id(value: Any) -> str:
    """Return 12 hex digits that name a value without an id: the same words, the same item."""
    told = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def numbered(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return rows with `index` counting the rows of the same arm and item in file order."""
    met: dict[tuple[str, str], int] = {}
    found = []
    for row in rows:
        key = (row.arm, row.id)
        found.append(replace(row, index=met.get(key, 0)))
        met[key] = met.get(key, 0) + 1
    return tuple(found)


def sum_counts(*values: Any) -> int | None:
    """Return the sum of those values that are counts; None when none is."""
    counts = [int(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return sum(counts) if counts else None


def float_or_none(value: Any) -> float | None:
    """Return a money or time value; None when it is none."""
    return None if isinstance(value, bool | str) else number(value)
