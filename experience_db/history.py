"""From edits to versions: how a change is planned, and how the whole history is played again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from experience_db.apply import apply_edits, in_prompt_order
from experience_db.codec import RESTORE, edit_of, lesson_of_restore
from experience_db.errors import UnknownLesson
from experience_db.library import Library
from experience_db.records import AppliedEdit, Edit, Lesson, Op


@dataclass(frozen=True, slots=True)
class Change:
    """The next version before it is written: what leaves, what comes, and the edits that lead there."""

    gone: tuple[Lesson, ...]
    """Lessons, or wordings of them, that are not in the new version; by id."""
    come: tuple[Lesson, ...]
    """Those that were not in the old one; by id."""
    edits: tuple[AppliedEdit, ...]
    next_id: int
    template: str


def change_between(
    before: Iterable[Lesson],
    after: Iterable[Lesson],
    edits: tuple[AppliedEdit, ...],
    next_id: int,
    template: str,
) -> Change:
    """Return the change from some lessons to others; what stands in both stays as it is."""
    old, new = set(before), set(after)
    return Change(in_prompt_order(old - new), in_prompt_order(new - old), edits, next_id, template)


def plan_edits(head: Library, edits: Sequence[Edit], template: str) -> Change:
    """Plan the version that edits make; raises as `apply_edits` does."""
    touched = head.some({i for edit in edits for i in edit.ids})
    try:
        done = apply_edits(touched, edits, version=head.version + 1, next_id=head.next_id)
    except UnknownLesson:  # Its message names the lessons that there are, and these are the touched ones alone.
        apply_edits(head.lessons, edits, version=head.version + 1, next_id=head.next_id)
        raise
    return change_between(touched, done.lessons, done.applied, done.next_id, template)


def plan_restore(head: Library, goal: tuple[Lesson, ...], template: str, reason: str) -> Change:
    """Plan a version whose lessons are exactly `goal`: what is not in it leaves, what differs is put back."""
    now = {lesson.id: lesson for lesson in head.lessons}
    wanted = {lesson.id: lesson for lesson in goal}
    leaving = [Edit(Op.DELETE, ids=(i,), reason=reason) for i in now if i not in wanted]
    back = [lesson for i, lesson in wanted.items() if now.get(i) != lesson]
    version = head.version + 1
    edits = [AppliedEdit(version, position, edit, edit.ids[0]) for position, edit in enumerate(leaving)]
    for position, lesson in enumerate(back, start=len(leaving)):
        edit = Edit(Op.UPDATE, lesson.text, (lesson.id,), reason, lesson.sources, lesson.tainted)
        edits.append(AppliedEdit(version, position, edit, lesson.id, restored=True))
    next_id = max([head.next_id, *(i + 1 for i in wanted)])
    return change_between(head.lessons, goal, tuple(edits), next_id, template)


def replay_edits(rows: Sequence[sqlite3.Row]) -> Iterator[tuple[int, tuple[Lesson, ...], int]]:
    """Play applied rows of `edits`, in order; yields (version, lessons, next id) after each version they made."""
    lessons: tuple[Lesson, ...] = ()
    next_id = 1
    for version, batch in groupby(rows, key=lambda row: int(row["version"])):
        step = list(batch)
        edits = [edit_of(row) for row in step if row["op"] != RESTORE]
        done = apply_edits(lessons, edits, version=version, next_id=next_id)
        present = {lesson.id: lesson for lesson in done.lessons}
        restored = [lesson_of_restore(row) for row in step if row["op"] == RESTORE]
        present.update((lesson.id, lesson) for lesson in restored)
        lessons = in_prompt_order(present.values())
        next_id = max([done.next_id, *(lesson.id + 1 for lesson in restored)])
        yield version, lessons, next_id


def renumbered(lessons: Sequence[Lesson], version: int) -> tuple[Lesson, ...]:
    """The same lessons as if this version had brought them all: for lessons from another file."""
    return in_prompt_order(replace(lesson, born=version, changed=version) for lesson in lessons)
