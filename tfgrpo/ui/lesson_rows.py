"""The lessons of a version, one page of them: all are searched, filtered and sorted, few are read in full."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from experience_db import Evidence, Lesson, Store
from experience_db.lesson_pages import LightEffect, LightLesson
from tfgrpo.report.numbers import effect_words, present_effect

SHOWS = ("helps", "harms", "hardly any effect", "unclear alone", "unclear", "no interval", "not measured")
"""What a measured effect can show, see `report.numbers.effect_words`."""
TAINTED = "tainted"
"""Asked for in place of an effect: lessons that rest on tool output."""
PAGE = 50
"""Lessons of one page."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to see of a version."""

    search: str = ""
    """Words that must all be in a lesson."""
    shows: str = ""
    """One of SHOWS, or TAINTED."""
    sort: str = "number"
    """One of SORTS; anything else is by number."""
    page: int = 1
    lesson: int | None = None
    """In place of a page: the lesson that it shall hold, if it holds to the rest."""


@dataclass(frozen=True, slots=True)
class LessonRow:
    """One lesson as a list shows it."""

    lesson: Lesson
    effect: Evidence | None
    """The measurement that speaks for its present words."""
    shows: str
    shown: int
    """Rollouts that had it in their prompt."""


@dataclass(frozen=True, slots=True)
class LessonPage:
    """One page of lessons."""

    rows: tuple[LessonRow, ...]
    at: int
    """Its number, from 1."""
    found: int
    """Lessons that are as asked for, on all pages."""
    total: int
    """Lessons of the version."""

    @property
    def pages(self) -> int:
        """How many there are."""
        return max(1, -(-self.found // PAGE))


Effects = Mapping[int, LightEffect]
Key = Callable[[LightLesson, Effects, Mapping[int, int]], float]
SORTS: dict[str, Key] = {
    "number": lambda row, effects, shown: row.id,
    "effect": lambda row, effects, shown: -_estimate(effects.get(row.id), float("-inf")),
    "least effect": lambda row, effects, shown: _estimate(effects.get(row.id), float("inf")),
    "shown": lambda row, effects, shown: -shown.get(row.id, 0),
    "newest words": lambda row, effects, shown: -row.changed,
    "length": lambda row, effects, shown: -len(row.text),
}
"""How a list of lessons can be ordered; equal ones by number."""
BY_EFFECT = ("effect", "least effect")


def lesson_page(store: Store, name: str, version: int, asked: Asked = Asked()) -> LessonPage:
    """Return a page of a version's lessons, with what was measured about each until then."""
    light = store.light_lessons(name, version)
    words = asked.search.casefold().split()
    kept = [row for row in light if all(word in row.text.casefold() for word in words)] if words else light
    by_effect = asked.sort in BY_EFFECT or asked.shows not in ("", TAINTED)
    effects = store.light_effects(name, version, kept) if by_effect else {}
    if asked.shows:
        kept = [
            row
            for row in kept
            if (row.tainted if asked.shows == TAINTED else effect_words(effects.get(row.id)) == asked.shows)
        ]
    shown = store.uses(name) if asked.sort == "shown" else {}
    key = SORTS.get(asked.sort, SORTS["number"])
    # The rows come by number, and equal ones stay in order.
    kept = sorted(kept, key=lambda row: key(row, effects, shown))
    at = _page_of(kept, asked)
    ids = [row.id for row in kept[PAGE * (at - 1) : PAGE * at]]
    return LessonPage(_read(store, name, version, ids), at, len(kept), len(light))


def _page_of(kept: Sequence[LightLesson], asked: Asked) -> int:
    place = next((i for i, row in enumerate(kept) if row.id == asked.lesson), None)
    wanted = asked.page if place is None else place // PAGE + 1
    return min(max(wanted, 1), max(1, -(-len(kept) // PAGE)))


def _read(store: Store, name: str, version: int, ids: Sequence[int]) -> tuple[LessonRow, ...]:
    lessons, told, shown = (
        store.some_lessons(name, version, ids),
        store.evidence_about(name, ids),
        store.uses_of(name, ids),
    )
    rows = []
    for i in ids:
        known = [e for e in told[i] if e.version is None or e.version <= version]
        effect = present_effect(known, lessons[i].changed)
        rows.append(LessonRow(lessons[i], effect, effect_words(effect), shown.get(i, 0)))
    return tuple(rows)


def _estimate(effect: LightEffect | None, missing: float) -> float:
    return missing if effect is None else effect.estimate
