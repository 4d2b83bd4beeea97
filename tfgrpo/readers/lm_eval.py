"""lm-evaluation-harness: `samples_TASK_DATE.jsonl`, written with `--log_samples`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tfgrpo.readers.documents import Document
from tfgrpo.readers.row import Row, number, numbered, text_of

NAME = re.compile(r"samples_(?P<task>.+?)_\d{4}-\d{2}-\d{2}")
NOT_METRICS = frozenset({"doc_id"})
QUESTION_KEYS = ("question", "query", "problem", "prompt", "input", "text", "ctx", "sentence", "passage", "goal")


def matches(document: Document) -> bool:
    """Say whether these are logged samples of lm_eval."""
    first = next(iter(document.objects), None)
    return (
        first is not None and "doc_id" in first and "doc" in first and ("resps" in first or "filtered_resps" in first)
    )


def rows(document: Document) -> tuple[Row, ...]:
    """Return a row per document; filters of the same document are scores of one row, named `metric,filter`."""
    named = NAME.match(document.path.name)
    task = f"{named['task']}/" if named else ""
    merged: dict[str, Row] = {}
    for sample in document.objects:
        row = _row(sample, task)
        earlier = merged.get(row.id)
        if earlier is not None and sample.get("filter") is not None:
            scores = {**earlier.scores, **row.scores}
            row = Row(row.id, earlier.score, scores, earlier.text, "", earlier.question, earlier.answer)
        merged[row.id] = row
    return numbered(merged.values())


def _row(sample: Mapping[str, Any], task: str) -> Row:
    listed = sample.get("metrics")
    plain = {k: v for k, v in sample.items() if isinstance(v, bool | int | float) and k not in NOT_METRICS}
    names = [str(m) for m in listed] if isinstance(listed, list) else list(plain)
    ending = f",{sample['filter']}" if sample.get("filter") not in (None, "none") else ""
    told = {f"{name}{ending}": number(sample.get(name)) for name in names}
    scores = {name: value for name, value in told.items() if value is not None}
    doc = sample.get("doc")
    asked = next((text_of(doc[k]) for k in QUESTION_KEYS if doc.get(k)), "") if isinstance(doc, Mapping) else ""
    answers = sample.get("filtered_resps") or sample.get("resps") or ""
    return Row(
        f"{task}{sample['doc_id']}",
        next(iter(scores.values()), None),
        scores,
        text_of(answers[0] if isinstance(answers, list) and answers else answers),
        "" if scores else "no metric",
        asked or text_of(doc),
        text_of(sample.get("target")) or None,
    )
