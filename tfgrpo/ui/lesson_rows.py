"""The lessons of a version as rows that can be searched, filtered and sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from experience_db import Evidence, Lesson, Store
from tfgrpo.lessons.edits import estimate_tokens
from tfgrpo.report.numbers import effect_words, present_effect

SHOWS = ("helps", "harms", "hardly any effect", "unclear alone", "unclear", "no interval", "not measured")
"""What a measured effect can show, see `report.numbers.effect_words`."""


@dataclass(frozen=True, slots=True)
class LessonRow:
    """One lesson as a list shows it."""

    lesson: Lesson
    effect: Evidence | None
    """The measurement that speaks for its present words."""
    shows: str
    shown: int
    """Rollouts that had it in their prompt."""
    tokens: int
    """Estimated length."""


SORTS: dict[str, Callable[[LessonRow], Any]] = {
    "number": lambda row: row.lesson.id,
    "effect": lambda row: -_or_least(row.effect.estimate if row.effect else None),
    "least effect": lambda row: _or_most(row.effect.estimate if row.effect else None),
    "shown": lambda row: -row.shown,
    "newest words": lambda row: -row.lesson.changed,
    "length": lambda row: -row.tokens,
}
"""How a list of lessons can be ordered; equal ones by number."""


def lesson_rows(store: Store, name: str, version: int | None = None) -> tuple[LessonRow, ...]:
    """Return the lessons of a version with what was measured about each until then."""
    library = store.library(name, version)
    told: dict[int, list[Evidence]] = {}
    for e in store.evidence(name):
        if e.version is None or e.version <= library.version:
            for lesson_id in e.lesson_ids:
                told.setdefault(lesson_id, []).append(e)
    uses = store.uses(name)
    return tuple(_row(lesson, told.get(lesson.id, ()), uses.get(lesson.id, 0)) for lesson in library)


def filter_rows(
    rows: Iterable[LessonRow], *, search: str = "", shows: str = "", sort: str = "number"
) -> list[LessonRow]:
    """Return the rows with all words of `search` in them and this `shows`, in order; unknown orders are by number."""
    words = search.casefold().split()
    kept = [
        row
        for row in rows
        if all(word in row.lesson.text.casefold() for word in words)
        and (not shows or row.shows == shows or (shows == "tainted" and row.lesson.tainted))
    ]
    key = SORTS.get(sort, SORTS["number"])
    return sorted(kept, key=lambda row: (key(row), row.lesson.id))


def _row(lesson: Lesson, evidence: Sequence[Evidence], shown: int) -> LessonRow:
    effect = present_effect(evidence, lesson.changed)
    return LessonRow(lesson, effect, effect_words(effect), shown, estimate_tokens(lesson.text))


def _or_least(value: float | None) -> float:
    return float("-inf") if value is None else value


def _or_most(value: float | None) -> float:
    return float("inf") if value is None else value
