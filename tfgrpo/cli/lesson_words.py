"""Lessons, effects and numbers in words: what the commands on a library print; they load nothing that calls a model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from experience_db import Evidence, Lesson, effect_of
from experience_db.records import where_measured
from tfgrpo.lessons.scanners import visible


def lesson_line(lesson: Lesson, evidence: Sequence[Evidence]) -> str:
    """Return one lesson with its best evidence and its sources."""
    words = visible(" ".join(lesson.text.split()))
    return f"  [{lesson.id}] {words}\n      {effect_in_words(evidence)}; {visible(lesson.origin)}"


def effect_in_words(evidence: Sequence[Evidence]) -> str:
    """Return the newest measured effect in words."""
    e = effect_of(evidence)
    if e is None or e.estimate is None:
        return "no effect measured yet"
    interval = f" [{e.low:+.2f}, {e.high:+.2f}]" if e.low is not None and e.high is not None else ""
    models = {m for item in evidence if (m := item.detail.get("model"))}
    by = f" with {e.detail['model']}" if len(models) > 1 and "model" in e.detail else ""
    with_others = f", together with {len(e.lesson_ids) - 1} others" if len(e.lesson_ids) > 1 else ""
    where = f" {told}" if (told := where_measured(e)) else ""
    return f"effect {e.estimate:+.2f}{interval}{where} ({e.kind}{by}, n={e.n}{with_others})"


def number_text(value: float | None, sign: str = "") -> str:
    """Return a number for a table, with `sign` "+" always signed; a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value + 0.0:{sign}.3f}"


def lesson_count(count: int) -> str:
    """Return `1 lesson`, `2 lessons`."""
    return f"{count} lesson{'' if count == 1 else 's'}"
