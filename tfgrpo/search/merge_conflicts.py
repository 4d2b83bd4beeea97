"""Judging what a three-way merge left open: measured credit first, then words that hold both, then the better side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experience_db import Evidence, Lesson, Store, effect_of
from tfgrpo.boundary import failure_of
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.lessons.edits import check_edits
from tfgrpo.lessons.request_edits import ask_edits
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.search.merge_three_way import Conflict, ThreeWayMerge, merge_lessons, side_by_effect, with_lesson
from tfgrpo.types import Failure


@dataclass(frozen=True, slots=True)
class DecidedConflict:
    """How one conflict was decided."""

    conflict: Conflict
    lesson: Lesson | None
    how: str
    """`credit`, `joined` or `better side`."""


@dataclass(frozen=True, slots=True)
class FinishedMerge:
    """A finished merge."""

    lessons: tuple[Lesson, ...]
    judged: tuple[DecidedConflict, ...] = ()
    failures: tuple[Failure, ...] = ()
    merged: ThreeWayMerge | None = None


async def merge_libraries(
    store: Store,
    name: str,
    sides: tuple[Sequence[Lesson], Sequence[Lesson], Sequence[Lesson]],
    *,
    better: str,
    teacher: Teacher | None = None,
    before: tuple[str, int] | None = None,
) -> FinishedMerge:
    """Merge two versions of a library against their common ancestor.

    Args:
        store: holds the evidence.
        name: of the library.
        sides: lessons of the ancestor, of a, and of b.
        better: `a` or `b`, whose words stand where nothing else decides.
        teacher: writes words that hold both; None leaves that to the better side.
        before: (run, step), when only evidence from before this step counts, so that a repeated run judges the same.

    Raises:
        EndpointError: the endpoint refuses every call.
        BudgetReached: the budget does not reach for a judgement.
    """
    found = merge_lessons(*sides)
    known = _evidence(store, name, before)
    lessons = found.lessons
    judged: list[DecidedConflict] = []
    failures: list[Failure] = []
    for conflict in found.conflicts:
        said = side_by_effect(conflict, lambda lesson: measured_effect(known, lesson))
        if said:
            judged.append(DecidedConflict(conflict, conflict.a if said == "a" else conflict.b, "credit"))
        elif teacher is not None and conflict.a is not None and conflict.b is not None:
            judged.append(await _joined(teacher, conflict, better, failures))
        else:
            judged.append(_better(conflict, better))
        lessons = with_lesson(lessons, judged[-1].lesson)
    return FinishedMerge(lessons, tuple(judged), tuple(failures), found)


def measured_effect(known: Sequence[Evidence], lesson: Lesson | None) -> Evidence | None:
    """Return the measured effect of a lesson's present words: what was measured for the version that wrote them."""
    if lesson is None:
        return None
    return effect_of(e for e in known if lesson.id in e.lesson_ids and e.version == lesson.changed)


def _evidence(store: Store, name: str, before: tuple[str, int] | None) -> list[Evidence]:
    found = store.evidence(name)
    if before is None:
        return list(found)
    run, step = before
    started = store.run(run).started
    return [e for e in found if ((e.step or 0) < step if e.run == run else e.created < started)]


def _better(conflict: Conflict, better: str) -> DecidedConflict:
    return DecidedConflict(conflict, conflict.a if better == "a" else conflict.b, "better side")


async def _joined(teacher: Teacher, conflict: Conflict, better: str, failures: list[Failure]) -> DecidedConflict:
    """Ask for one lesson that says both; a reply that cannot be used costs this judgement only."""
    a, b = conflict.a, conflict.b
    assert a is not None
    assert b is not None
    prompt = teacher.prompts.render(
        "reflect/merge",
        id=conflict.id,
        base=conflict.base.text if conflict.base else "",
        a=a.text,
        b=b.text,
        max_words=teacher.config.max_words,
    )
    try:
        parsed = await ask_edits(teacher, "reflect", prompt, max_edits=1)
    except (EndpointError, BudgetReached):
        raise
    except (ProviderError, MalformedReply) as error:
        failures.append(failure_of(error))
        return _better(conflict, better)
    failures.extend(parsed.malformed)
    kept = check_edits(parsed.edits, [a], max_words=teacher.config.max_words).kept
    text = next((edit.text for edit in kept if edit.text), None)
    if text is None:
        return _better(conflict, better)
    sources = tuple(dict.fromkeys((*a.sources, *b.sources)))
    return DecidedConflict(conflict, replace(a, text=text, sources=sources, tainted=a.tainted or b.tainted), "joined")
