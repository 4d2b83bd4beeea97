"""inspect_ai: `.eval` logs (a zip of JSON) and logs in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfgrpo.readers.documents import Document
from tfgrpo.readers.row import Row, chat, flatten_numbers, float_or_none, message_text, numbered, sum_counts, text_of


def matches(document: Document) -> bool:
    """Say whether this is a log of inspect_ai."""
    if document.kind == "zip":
        return any(name == "header.json" or name.startswith("samples/") for name, _ in document.members)
    value = document.value
    return isinstance(value, Mapping) and "eval" in value and ("samples" in value or "plan" in value)


def rows(document: Document) -> tuple[Row, ...]:
    """Return a row per sample and epoch; a sample that ended in an error has a failure."""
    if document.kind == "zip":
        samples = [value for name, value in document.members if name.startswith("samples/")]
    else:
        samples = document.value.get("samples") or []
    found = [s for s in samples if isinstance(s, Mapping)]
    return numbered(_row(s) for s in sorted(found, key=lambda s: int(s.get("epoch") or 1)))


def _row(sample: Mapping[str, Any]) -> Row:
    scores: dict[str, float] = {}
    for name, score in (sample.get("scores") or {}).items():
        value = score.get("value") if isinstance(score, Mapping) else score
        told = flatten_numbers(value)
        scores |= {name if key == "score" else f"{name}.{key}": number for key, number in told.items()}
    error = sample.get("error")
    messages = chat(sample.get("messages"))
    output = sample.get("output") or {}
    usage = [u for u in (sample.get("model_usage") or {}).values() if isinstance(u, Mapping)]
    given = sample.get("input")
    asked = given if isinstance(given, str) else message_text(chat(given), "user", last=True)
    failed = text_of(error) if error else ("" if scores else "no score")
    return Row(
        str(sample.get("id")),
        None if error else next(iter(scores.values()), None),
        {} if error else scores,
        text_of(output.get("completion")) or message_text(messages, "assistant", last=True),
        failed,
        asked,
        text_of(sample.get("target")) or None,
        tokens=sum_counts(*(u.get("total_tokens") for u in usage)),
        seconds=float_or_none(sample.get("working_time") or sample.get("total_time")),
        messages=messages,
    )
