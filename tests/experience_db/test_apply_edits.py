"""Edits on lessons, as a pure function."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db import ConflictingEdits, Edit, InvalidEdit, Lesson, Op, Source, UnknownLesson, apply_edits

A, B, C = Source("p1", (0, 2)), Source("p2"), Source("p3")
LESSONS = (Lesson(1, "one", 1, 1, (A,)), Lesson(2, "two", 1, 2, (B,), tainted=True), Lesson(5, "five", 3, 3))


def after(*edits: Edit) -> tuple[Lesson, ...]:
    """The lessons of version 4 after these edits."""
    return apply_edits(LESSONS, edits, version=4, next_id=7).lessons


def test_add_gives_the_next_ids_in_order():
    """Each ADD gets the next id, also when higher ids than the present ones were given out before."""
    done = apply_edits(LESSONS, [Edit(Op.ADD, "x", sources=(C,)), Edit(Op.ADD, "y")], version=4, next_id=7)
    assert done.lessons == (*LESSONS, Lesson(7, "x", 4, 4, (C,)), Lesson(8, "y", 4, 4))
    assert done.next_id == 9
    assert [(a.lesson_id, a.position, a.version) for a in done.applied] == [(7, 0, 4), (8, 1, 4)]


def test_update_keeps_the_id_and_extends_the_sources():
    """UPDATE replaces the words and keeps id, birth and earlier sources, each source once."""
    assert after(Edit(Op.UPDATE, "uno", (1,), sources=(C, A)))[0] == Lesson(1, "uno", 1, 4, (A, C))


def test_delete_removes_one_lesson_and_gives_its_id_to_nobody():
    """After DELETE of the highest lesson an ADD in the same batch gets a fresh id."""
    assert [lesson.id for lesson in after(Edit(Op.DELETE, ids=(5,)), Edit(Op.ADD, "new"))] == [1, 2, 7]


def test_merge_lives_on_under_the_first_named_id():
    """MERGE keeps the first named lesson, joins all sources, and stays tainted when one part was."""
    merged = after(Edit(Op.MERGE, "both", (5, 2), sources=(C,)))
    assert merged == (LESSONS[0], Lesson(5, "both", 3, 4, (B, C), tainted=True))


def test_taint_of_an_edit_stays_with_the_lesson():
    """Words that came from tool output stay marked after a clean UPDATE too."""
    tainted = after(Edit(Op.UPDATE, "x", (1,), tainted=True))
    clean = apply_edits(tainted, [Edit(Op.UPDATE, "y", (1,))], version=5, next_id=7).lessons
    assert tainted[0].tainted
    assert clean[0].tainted


@pytest.mark.parametrize("op", [Op.UPDATE, Op.DELETE])
def test_edit_of_an_unknown_lesson_is_refused(op):
    """An id that is not there raises UnknownLesson and names those that are."""
    with pytest.raises(UnknownLesson, match="lesson 3, which is not there; lessons present: 1, 2, 5"):
        after(Edit(op, "x", (3,)))


@pytest.mark.parametrize(
    "edits",
    [
        (Edit(Op.UPDATE, "x", (1,)), Edit(Op.DELETE, ids=(1,))),
        (Edit(Op.DELETE, ids=(1,)), Edit(Op.DELETE, ids=(1,))),
        (Edit(Op.MERGE, "x", (1, 2)), Edit(Op.UPDATE, "y", (2,))),
        (Edit(Op.MERGE, "x", (1, 1)),),
    ],
)
def test_two_edits_of_one_lesson_conflict(edits):
    """A lesson touched twice in a batch raises ConflictingEdits, whatever the operations."""
    with pytest.raises(ConflictingEdits, match="touch lesson"):
        after(*edits)


@pytest.mark.parametrize(
    "edit",
    [
        Edit(Op.ADD, "x", (1,)),
        Edit(Op.ADD),
        Edit(Op.ADD, "  \n"),
        Edit(Op.UPDATE, "x"),
        Edit(Op.UPDATE, "x", (1, 2)),
        Edit(Op.UPDATE, None, (1,)),
        Edit(Op.DELETE),
        Edit(Op.MERGE, "x", (1,)),
        Edit(Op.MERGE, None, (1, 2)),
        Edit(Op.ADD, "half \ud83d"),
    ],
)
def test_edit_that_does_not_fit_its_operation_is_refused(edit):
    """Missing or superfluous ids, missing text and lone surrogates raise InvalidEdit."""
    with pytest.raises(InvalidEdit, match="edit 0"):
        after(edit)


def test_operation_may_be_plain_text():
    """An op that arrives as a string, as from JSON, works like the enum member."""
    assert [lesson.id for lesson in after(Edit("DELETE", ids=(1,)), Edit("ADD", "x"))] == [2, 5, 7]


@given(st.lists(st.sampled_from([1, 2, 5]), unique=True), st.integers(0, 3))
def test_lessons_stay_ordered_by_id(deleted, added):
    """Any mix of DELETE and ADD leaves the lessons in ascending id order."""
    ids = [lesson.id for lesson in after(*(Edit(Op.DELETE, ids=(i,)) for i in deleted), *[Edit(Op.ADD, "x")] * added)]
    assert ids == sorted(set(ids))
    assert len(ids) == 3 - len(deleted) + added
