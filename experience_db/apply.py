"""Edits change lessons: a pure function from lessons and edits to the next lessons.

Ids are given out once and stay; lessons stay ordered by id, so that a version always renders to the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from experience_db.errors import ConflictingEdits, InvalidEdit, UnknownLesson
from experience_db.records import AppliedEdit, Edit, Lesson, Op, Source

_IDS_WANTED = {Op.ADD: "no id", Op.UPDATE: "one id", Op.DELETE: "one id", Op.MERGE: "two or more ids"}


@dataclass(frozen=True, slots=True)
class Applied:
    """What came out of a batch of edits."""

    lessons: tuple[Lesson, ...]
    applied: tuple[AppliedEdit, ...]
    next_id: int
    """The id that the next new lesson will get."""


def apply_edits(lessons: tuple[Lesson, ...], edits: Sequence[Edit], *, version: int, next_id: int) -> Applied:
    """Apply a batch of edits in order; all or none.

    Args:
        lessons: The lessons of the version the edits were made for.
        edits: The batch; no two of its edits may touch the same lesson.
        version: The number that the new version will have.
        next_id: The id for the first added lesson; one more for each further one.

    Raises:
        InvalidEdit: Text or ids do not fit the operation.
        ConflictingEdits: A lesson is touched twice.
        UnknownLesson: A named lesson is not there.
    """
    present = {lesson.id: lesson for lesson in lessons}
    touched: set[int] = set()
    applied: list[AppliedEdit] = []
    for position, edit in enumerate(edits):
        _check(edit, position)
        _touch(edit, touched, present)
        lesson_id = edit.ids[0] if edit.ids else next_id
        next_id += edit.op == Op.ADD
        old = [present.pop(i) for i in edit.ids]
        if edit.op != Op.DELETE:
            present[lesson_id] = _rewritten(edit, old, lesson_id, version)
        applied.append(AppliedEdit(version, position, edit, lesson_id))
    return Applied(in_prompt_order(present.values()), tuple(applied), next_id)


def in_prompt_order(lessons: Iterable[Lesson]) -> tuple[Lesson, ...]:
    """Lessons in the one order that prompts use: by id."""
    return tuple(sorted(lessons, key=lambda lesson: lesson.id))


def _rewritten(edit: Edit, old: Sequence[Lesson], lesson_id: int, version: int) -> Lesson:
    """The lesson that carries the edit's text; it inherits the sources and the taint of those it replaces."""
    text = edit.text or ""
    sources = _joined(*(lesson.sources for lesson in old), edit.sources)
    tainted = edit.tainted or any(lesson.tainted for lesson in old)
    if not old:
        return Lesson(lesson_id, text, version, version, sources, tainted)
    return replace(old[0], text=text, changed=version, sources=sources, tainted=tainted)


def _joined(*sources: Sequence[Source]) -> tuple[Source, ...]:
    return tuple(dict.fromkeys(source for some in sources for source in some))


def _check(edit: Edit, position: int) -> None:
    n = len(edit.ids)
    fits = {Op.ADD: n == 0, Op.UPDATE: n == 1, Op.DELETE: n == 1, Op.MERGE: n >= 2}[edit.op]
    if not fits:
        raise InvalidEdit(f"edit {position}: {edit.op} wants {_IDS_WANTED[edit.op]}, got {n}; correct the edit")
    if edit.op == Op.DELETE:
        return
    if not (edit.text or "").strip():
        raise InvalidEdit(f"edit {position}: {edit.op} wants text, got none; write the lesson or delete it instead")
    if any("\ud800" <= char <= "\udfff" for char in edit.text or ""):
        raise InvalidEdit(f"edit {position}: the text holds half a character (a lone surrogate); decode it anew")


def _touch(edit: Edit, touched: set[int], present: dict[int, Lesson]) -> None:
    """Every id must be there and named once in the whole batch."""
    for lesson_id in edit.ids:
        if lesson_id in touched:
            raise ConflictingEdits(f"two edits of one batch touch lesson {lesson_id}; join them into one edit")
        if lesson_id not in present:
            known = ", ".join(map(str, sorted(present))) or "none"
            raise UnknownLesson(f"{edit.op} names lesson {lesson_id}, which is not there; lessons present: {known}")
        touched.add(lesson_id)
