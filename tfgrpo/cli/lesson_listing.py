"""The table of `tfgrpo lessons list`: what is known about each lesson of a library. It loads no parser of commands."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from experience_db import Evidence, Lesson, Store, effect_of, own_words
from experience_db.codec import to_json
from tfgrpo.cli.lesson_words import lesson_count, lesson_line
from tfgrpo.lessons.edits import estimate_tokens
from tfgrpo.lessons.versions import library_at

NOTHING = "none"
"""What `--kind` calls lessons without a measured effect."""


class SortKey(StrEnum):
    """What a list of lessons is sorted by."""

    ID = "id"
    EFFECT = "effect"
    TOKENS = "tokens"
    SHOWN = "shown"


@dataclass(frozen=True, slots=True)
class LessonRow:
    """One lesson with what is known about it."""

    lesson: Lesson
    evidence: tuple[Evidence, ...]
    """About its present words."""
    shown: int
    """Rollouts that had it in their prompt."""

    @property
    def effect(self) -> Evidence | None:
        """The measurement that speaks for it."""
        return effect_of(self.evidence)

    @property
    def tokens(self) -> int:
        """Its length."""
        return estimate_tokens(self.lesson.text)

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems it came from."""
        return tuple(dict.fromkeys(source.problem_id for source in self.lesson.sources))


def lesson_rows(store: Store, name: str, found: Sequence[Lesson]) -> list[LessonRow]:
    """Read what is known about lessons."""
    shown = store.uses(name)
    return [LessonRow(x, own_words(store.evidence(name, x.id), x.changed), shown.get(x.id, 0)) for x in found]


def filter_and_sort(
    found: Sequence[LessonRow], order: SortKey, min_effect: float | None, kind: str | None
) -> list[LessonRow]:
    """Filter and sort; largest first, except by id. Lessons without a measured effect come last."""

    def size(row: LessonRow) -> float:
        return -math.inf if row.effect is None or row.effect.estimate is None else row.effect.estimate

    keys = {
        SortKey.ID: lambda row: -row.lesson.id,
        SortKey.EFFECT: size,
        SortKey.TOKENS: lambda row: row.tokens,
        SortKey.SHOWN: lambda row: row.shown,
    }
    kept = [row for row in found if min_effect is None or size(row) >= min_effect]
    kept = [row for row in kept if kind is None or kind == (row.effect.kind if row.effect else NOTHING)]
    return sorted(kept, key=keys[order], reverse=True)


def print_lessons(
    db: Path, library: str, sort: SortKey, min_effect: float | None, kind: str | None, *, as_json: bool
) -> None:
    """Print the lessons of `NAME` or `NAME@VERSION`, as lines or as one JSON object.

    Raises:
        StoreError: there is no such database, library or version.
        UsageError: the name cannot be read.
    """
    with Store.open(db, readonly=True) as store:
        found = library_at(store, library)
        picked = filter_and_sort(lesson_rows(store, found.name, found.lessons), sort, min_effect, kind)
    if as_json:
        told = {"library": found.name, "version": found.version, "lessons": [_plain(row) for row in picked]}
        print(to_json(told))
        return
    some = "" if len(picked) == len(found) else f", {len(picked)} listed"
    lines = [f"library {found.name!r}, version {found.version}: {lesson_count(len(found))}{some}"]
    for row in picked:
        more = f"shown {row.shown} times; born in version {row.lesson.born}; {row.tokens} tokens"
        lines.append(f"{lesson_line(row.lesson, row.evidence)}; {more}")
    print("\n".join(lines))


def _plain(row: LessonRow) -> dict[str, Any]:
    best = row.effect
    told = None if best is None else {k: v for k, v in dataclasses.asdict(best).items() if k != "detail"}
    more = {"effect": told, "shown": row.shown, "tokens": row.tokens, "problems": list(row.problems)}
    return {**dataclasses.asdict(row.lesson), **more}
