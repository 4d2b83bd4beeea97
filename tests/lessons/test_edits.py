"""Whatever edits a model proposes, those that pass can be applied together, and every other has a reason."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db import Edit, Lesson, Op, Source
from tfgrpo.lessons.edits import (
    check_edits,
    count_words,
    estimate_tokens,
    fit_budget,
    join_duplicates,
    net_edits,
    normalise,
)
from tfgrpo.types import Proposal

LIBRARY = (
    Lesson(1, "When a border is shared, count it once.", 1, 1),
    Lesson(4, "When a bound is asked for, show a case that reaches it.", 2, 2),
    Lesson(7, "When units differ, convert first.", 3, 5),
)
NEW = "When a sum repeats, look for its period."


def add(text: str, **more: object) -> Edit:
    """Make an ADD."""
    return Edit(Op.ADD, text, **more)  # type: ignore[arg-type]


def update(number: int, text: str) -> Edit:
    """Make an UPDATE."""
    return Edit(Op.UPDATE, text, (number,))


def delete(number: int) -> Edit:
    """Make a DELETE."""
    return Edit(Op.DELETE, None, (number,))


def merge(ids: tuple[int, ...], text: str) -> Edit:
    """Make a MERGE."""
    return Edit(Op.MERGE, text, ids)


def apply(lessons: tuple[Lesson, ...], edits: tuple[Edit, ...], start: int = 100) -> tuple[Lesson, ...]:
    """Apply edits as the store does: ids from `start` on are given to new lessons, a MERGE keeps its first id."""
    texts = {lesson.id: lesson.text for lesson in lessons}
    for position, edit in enumerate(edits):
        for number in edit.ids[0 if edit.op is Op.DELETE else 1 :]:
            del texts[number]
        if edit.text is not None:
            texts[edit.ids[0] if edit.ids else start + position] = edit.text
    return tuple(Lesson(number, text, 0, 0) for number, text in sorted(texts.items()))


@pytest.mark.parametrize(
    "edit",
    [add(NEW), update(4, NEW), delete(7), merge((1, 4), NEW), merge((1, 4), LIBRARY[0].text), merge((4, 1), NEW)],
)
def test_sound_edit_passes_as_the_same_object(edit: Edit) -> None:
    """An edit without fault is kept unchanged."""
    checked = check_edits([edit], LIBRARY)
    assert checked.kept[0] is edit
    assert checked.dropped == ()


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (update(99, NEW), "no lesson 99"),
        (delete(99), "no lesson 99"),
        (merge((1, 99), NEW), "no lesson 99"),
        (merge((1,), NEW), "two different"),
        (merge((4, 4), NEW), "two different"),
        (merge((), NEW), "two different"),
        (merge((1, 4, 1), NEW), "twice"),
        (Edit(Op.DELETE, None, (4, 4)), "twice"),
        (update(4, ""), "no words"),
        (add(" \n"), "no words"),
        (add("42 !"), "no words"),
        (Edit(Op.ADD, None), "no words"),
        (add(NEW, ids=(4,)), "names no lesson"),
        (Edit(Op.UPDATE, NEW), "exactly one"),
        (Edit(Op.DELETE, None, (1, 4)), "exactly one"),
        (update(4, "When a bound is asked for,  show a case that reaches it"), "changes nothing"),
        (add("when units differ, convert first"), "lesson 7 says the same"),
        (update(1, LIBRARY[2].text), "lesson 7 says the same"),
        (merge((1, 4), LIBRARY[2].text), "lesson 7 says the same"),
        (add("word " * 33), "33 words"),
        (add('{"op": "ADD"}'), "markup"),
        (add('"text": "When it rains, wait."'), "markup"),
        (add("```python\nprint(1)\n```"), "markup"),
    ],
)
def test_faulty_edit_is_dropped_with_its_reason(edit: Edit, reason: str) -> None:
    """A fault drops the edit and never turns it into another one."""
    checked = check_edits([edit], LIBRARY)
    assert checked.kept == ()
    assert [dropped for dropped, _ in checked.dropped] == [edit]
    assert reason in checked.dropped[0][1]


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (delete(4), update(4, NEW), "touched by an earlier"),
        (update(4, NEW), delete(4), "touched by an earlier"),
        (merge((1, 4), NEW), update(1, "When it rains, wait."), "touched by an earlier"),
        (add(NEW), add(NEW.upper()), "earlier edit of this batch says"),
        (update(1, NEW), add(NEW), "earlier edit of this batch says"),
        (delete(7), add(LIBRARY[2].text), "lesson 7 says the same"),
        (merge((1, 7), NEW), add(LIBRARY[2].text), "lesson 7 says the same"),
    ],
)
def test_first_of_two_contradicting_edits_wins(first: Edit, second: Edit, reason: str) -> None:
    """The first edit stays; the one that contradicts or repeats it is dropped."""
    checked = check_edits([first, second], LIBRARY)
    assert checked.kept == (first,)
    assert reason in checked.dropped[0][1]


def test_dropped_edit_does_not_block_a_later_one() -> None:
    """Only kept edits count as touching a lesson or saying words."""
    faulty, sound = Edit(Op.MERGE, NEW, (4, 99)), update(4, NEW)
    assert check_edits([faulty, sound], LIBRARY).kept == (sound,)


@pytest.mark.parametrize("edit", [update(4, NEW), delete(4), merge((1, 4), NEW)])
def test_protected_lesson_is_never_touched(edit: Edit) -> None:
    """No operation reaches a protected lesson."""
    assert "protected" in check_edits([edit], LIBRARY, protected={4}).dropped[0][1]


def test_signs_make_lessons_different() -> None:
    """Plus and minus are no mere punctuation."""
    assert normalise("Treat glorp as +.") != normalise("Treat glorp as -.")
    assert normalise(" Treat “glorp” as max! ") == normalise('treat "glorp" as  max')


@pytest.mark.parametrize(
    ("text", "words"),
    [("", 0), ("Treat glorp as max.", 4), ("先换算单位", 3), ("用 Python 计算结果", 4), ("Größe prüfen", 2)],
)
def test_words_are_counted_in_any_script(text: str, words: int) -> None:
    """Two signs of a script without spaces count as one word."""
    assert count_words(text) == words


def test_compose_joins_what_happened_to_one_lesson() -> None:
    """Added then updated is one ADD, added then deleted is nothing, a merge is an update and a deletion."""
    source = Source("p1", (0, 2))
    after = (
        Lesson(4, "When a bound is asked for, reach it.", 2, 9, (source,), tainted=True),
        Lesson(7, LIBRARY[2].text, 3, 5),
        Lesson(12, NEW, 9, 9, (source,)),
    )
    assert net_edits(LIBRARY, after, {4: "clearer", 12: "new"}) == (
        Edit(Op.UPDATE, after[0].text, (4,), "clearer", (source,), tainted=True),
        Edit(Op.DELETE, None, (1,)),
        Edit(Op.ADD, NEW, (), "new", (source,)),
    )


def test_compose_of_a_lesson_that_left_and_came_back_is_nothing() -> None:
    """Deleted and added again in the same words is no change."""
    after = (*LIBRARY[:2], Lesson(12, LIBRARY[2].text, 9, 9))
    assert net_edits(LIBRARY, after) == ()


VOCABULARY = ["when", "if", "sum", "bound", "unit", "count", "wait", "first"]
WORDS = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=4).map(" ".join)
IDS = st.lists(st.sampled_from([1, 4, 7, 99]), max_size=3).map(tuple)
EDITS = st.builds(Edit, st.sampled_from(Op), st.one_of(st.none(), WORDS), IDS)
LIBRARIES = st.dictionaries(st.sampled_from([1, 4, 7]), WORDS).map(
    lambda texts: tuple(Lesson(number, text, number, number) for number, text in sorted(texts.items()))
)


@given(st.lists(EDITS, max_size=8), LIBRARIES)
def test_every_edit_is_kept_or_dropped_and_the_kept_ones_apply_in_any_order(
    edits: list[Edit], lessons: tuple[Lesson, ...]
) -> None:
    """No edit vanishes; kept edits touch known lessons once, so their order does not matter."""
    checked = check_edits(edits, lessons)
    assert sorted(map(id, [*checked.kept, *(edit for edit, _ in checked.dropped)])) == sorted(map(id, edits))
    touched = [number for edit in checked.kept for number in edit.ids]
    assert len(touched) == len(set(touched))
    assert set(touched) <= {lesson.id for lesson in lessons}
    forward, backward = apply(lessons, checked.kept), apply(lessons, checked.kept[::-1])
    assert sorted(x.text for x in forward) == sorted(x.text for x in backward)


@given(st.lists(EDITS, max_size=8), LIBRARIES)
def test_checks_pass_what_passed_before(edits: list[Edit], lessons: tuple[Lesson, ...]) -> None:
    """Checking the kept edits again keeps them all."""
    kept = check_edits(edits, lessons).kept
    assert check_edits(kept, lessons).kept == kept


@given(LIBRARIES, LIBRARIES)
def test_composed_edits_lead_from_one_set_to_the_other(before: tuple[Lesson, ...], after: tuple[Lesson, ...]) -> None:
    """Applying the net edits gives the texts of the other set, and no lesson is touched twice."""
    edits = net_edits(before, after)
    assert sorted(x.text for x in apply(before, edits)) == sorted(x.text for x in after)
    touched = [number for edit in edits for number in edit.ids]
    assert len(touched) == len(set(touched))


@given(LIBRARIES)
def test_nothing_changed_composes_to_nothing(lessons: tuple[Lesson, ...]) -> None:
    """Equal sets need no edit."""
    assert net_edits(lessons, lessons) == ()


def test_duplicates_keep_first_words_and_all_sources() -> None:
    """Joined proposals sum their support and put their sources together, once each."""
    one, two = Source("p1", (0,)), Source("p2", (1,))
    joined = join_duplicates(
        [
            Proposal(add(NEW, sources=(one,))),
            Proposal(delete(4)),
            Proposal(add(NEW.lower(), sources=(two, one), reason="seen", tainted=True), support=2),
        ]
    )
    assert joined == (
        Proposal(add(NEW, sources=(one, two), reason="seen", tainted=True), support=3),
        Proposal(delete(4)),
    )


@given(st.lists(st.builds(Proposal, EDITS, st.integers(1, 5)), max_size=8))
def test_joining_keeps_the_sum_of_support_and_is_done_once(proposals: list[Proposal]) -> None:
    """Support is neither lost nor invented, and joining again changes nothing."""
    joined = join_duplicates(proposals)
    assert sum(p.support for p in joined) == sum(p.support for p in proposals)
    assert join_duplicates(joined) == joined


def test_order_of_leaving_is_harmful_then_unmeasured_by_age_then_least_useful_per_token() -> None:
    """A lesson without measurement counts as effect zero, the oldest first."""
    text = "x" * 40
    lessons = tuple(Lesson(number, text, born, born) for number, born in [(1, 1), (2, 5), (3, 2), (4, 3)])
    lessons += (Lesson(5, text * 4, 1, 1),)
    effect = {1: 0.2, 4: -0.1, 5: 0.4, 2: math.nan}
    assert fit_budget(lessons, 0, effect) == (4, 3, 2, 5, 1)
    assert fit_budget(lessons, 60, effect) == (4, 3)
    assert fit_budget(lessons, 80, effect) == ()


@given(LIBRARIES, st.integers(0, 20), st.dictionaries(st.sampled_from([1, 4, 7]), st.floats(-1, 1)))
def test_rest_fits_the_budget_and_nobody_leaves_without_need(
    lessons: tuple[Lesson, ...], budget: int, effect: dict[int, float]
) -> None:
    """What stays fits; with the last leaver it would not have."""
    leaving = fit_budget(lessons, budget, effect)
    tokens = {lesson.id: estimate_tokens(lesson.text) for lesson in lessons}
    rest = sum(count for number, count in tokens.items() if number not in leaving)
    assert rest <= budget
    assert not leaving or rest + tokens[leaving[-1]] > budget


def test_budget_can_be_counted_by_a_tokenizer() -> None:
    """A counter given by the caller replaces the estimate."""
    assert fit_budget(LIBRARY, 21, {}, count=lambda text: len(text.split())) == (1,)
