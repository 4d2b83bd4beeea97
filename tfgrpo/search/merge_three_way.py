"""Three-way merge of two library versions against their common ancestor, lesson by lesson; pure.

What one side alone added, changed or deleted is taken. What both sides changed in different ways is a conflict;
measured credit decides it, and where that says nothing the two wordings go to the summarizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from experience_db import Evidence, Lesson
from tfgrpo.lessons.edits import normalise


@dataclass(frozen=True, slots=True)
class Conflict:
    """One lesson that both sides changed, in different ways."""

    id: int
    base: Lesson | None
    a: Lesson | None
    """As side a has it; None when a deleted it."""
    b: Lesson | None


@dataclass(frozen=True, slots=True)
class ThreeWayMerge:
    """What can be said without a judgement, and what cannot."""

    lessons: tuple[Lesson, ...]
    """Everything that is decided, by id."""
    conflicts: tuple[Conflict, ...]
    from_a: tuple[int, ...] = ()
    """Lessons in which the result follows a against the ancestor, deletions included."""
    from_b: tuple[int, ...] = ()


def merge_lessons(base: Sequence[Lesson], a: Sequence[Lesson], b: Sequence[Lesson]) -> ThreeWayMerge:
    """Merge two sets of lessons that come from `base`. Lessons are the same where their ids are.

    The same words under two ids, as both sides may have learned them, stay once, under the lower id.
    """
    sides = [{x.id: x for x in side} for side in (base, a, b)]
    lessons: dict[int, Lesson] = {}
    conflicts: list[Conflict] = []
    taken: tuple[list[int], list[int]] = ([], [])
    for i in sorted({*sides[0], *sides[1], *sides[2]}):
        old, left, right = (side.get(i) for side in sides)
        if _same(left, right):
            chosen = left
        elif _same(old, right):
            chosen = left
            taken[0].append(i)
        elif _same(old, left):
            chosen = right
            taken[1].append(i)
        else:
            conflicts.append(Conflict(i, old, left, right))
            continue
        if chosen is not None:
            lessons[i] = _joined(chosen, left, right)
    return ThreeWayMerge(_once(lessons.values()), tuple(conflicts), tuple(taken[0]), tuple(taken[1]))


def side_by_effect(conflict: Conflict, credit: Callable[[Lesson | None], Evidence | None]) -> str:
    """Say which side measured credit takes: `a`, `b`, or '' where it does not decide.

    It decides where the interval of one side's effect lies above the estimate of the other, or where one side alone
    was measured and its interval excludes 0: a wording that helps is kept, one that harms leaves.
    """
    found = credit(conflict.a), credit(conflict.b)
    match found:
        case (Evidence() as a, Evidence() as b):
            return "a" if _above(a, b) else "b" if _above(b, a) else ""
        case (Evidence() as a, None):
            return _alone(a, "a", "b")
        case (None, Evidence() as b):
            return _alone(b, "b", "a")
    return ""


def with_lesson(lessons: Sequence[Lesson], lesson: Lesson | None) -> tuple[Lesson, ...]:
    """Return the lessons with one more, in order of id; None leaves them as they are."""
    return tuple(lessons) if lesson is None else _once([*lessons, lesson])


def texts_by_id(lessons: Sequence[Lesson]) -> dict[int, str]:
    """Return lesson id to text."""
    return {lesson.id: lesson.text for lesson in lessons}


def _same(a: Lesson | None, b: Lesson | None) -> bool:
    return (a.text if a else None) == (b.text if b else None)


def _joined(chosen: Lesson, left: Lesson | None, right: Lesson | None) -> Lesson:
    """The sources of both sides, where both have the lesson; taint is never lost."""
    sides = [x for x in (left, right) if x is not None and x.text == chosen.text]
    sources = tuple(dict.fromkeys(source for side in sides for source in side.sources))
    return replace(chosen, sources=sources, tainted=any(side.tainted for side in sides))


def _once(lessons: Iterable[Lesson]) -> tuple[Lesson, ...]:
    kept: dict[str, Lesson] = {}
    for lesson in sorted(lessons, key=lambda x: x.id):
        words = normalise(lesson.text)
        first = kept.setdefault(words, lesson)
        if first is not lesson:
            sources = tuple(dict.fromkeys((*first.sources, *lesson.sources)))
            kept[words] = replace(first, sources=sources, tainted=first.tainted or lesson.tainted)
    return tuple(kept.values())


def _above(x: Evidence, y: Evidence) -> bool:
    return x.low is not None and y.estimate is not None and x.low > y.estimate


def _alone(found: Evidence, helps: str, harms: str) -> str:
    if found.low is not None and found.low > 0:
        return helps
    return harms if found.high is not None and found.high < 0 else ""
