"""Rivals: lessons that speak of the same thing and advise otherwise, whatever the task."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db import Edit, Lesson, Library, Op
from tfgrpo.lessons.rivals import (
    contradict,
    first_of_each_subject,
    in_place,
    limit_rivals,
    says_all,
    topics_of,
    with_subjects,
    without_bridges,
)
from tfgrpo.types import Problem, Proposal

SUPPORT = topics_of(
    [
        Problem(f"{i}-{answer}", question, answer)
        for i in range(5)
        for question, answer in (
            ("I want a refund of order 12", "billing"),
            ("my login fails", "account"),
            ("the parcel is late", "shipping"),
            ("a broken cup", "returns"),
        )
    ]
)
OPERATORS = topics_of(
    [Problem(f"{i}-{name}", f"Compute {i} {name} 4.", str(i)) for i in range(5) for name in ("dax", "wug", "zib")]
)
REFUND = "When a customer mentions 'refund', label the question billing, because that team handles it."


@pytest.mark.parametrize(
    ("a", "b", "topics"),
    [
        ("Treat dax as max.", "Treat dax as min.", OPERATORS),
        ("Do not treat dax as max.", "Treat dax as max.", OPERATORS),
        (REFUND, "When a customer mentions 'refund', label the question general, because that is safer.", SUPPORT),
        (REFUND, "Choose account for refund questions.", SUPPORT),
        ("Round the result up.", "Round the result down.", SUPPORT),
        ("Always round the result.", "Never round the result.", SUPPORT),
        ("Write dates as YYYY-MM-DD.", "Write dates as DD/MM/YYYY.", SUPPORT),
        ("Use a LEFT JOIN when rows may lack a match.", "Use an INNER JOIN when rows may lack a match.", SUPPORT),
        ("Call the search tool before the calculator.", "Call the calculator before the search tool.", SUPPORT),
        ("Treat the sign as +.", "Treat the sign as -.", SUPPORT),
    ],
)
def test_claims_that_differ_are_rivals(a, b, topics):
    """Equal up to what is advised, another label, a negation, or the order: one of them at most is active."""
    assert contradict(a, b, topics)
    assert contradict(b, a, topics)


@pytest.mark.parametrize(
    ("a", "b", "topics"),
    [
        ("Treat dax as max.", "Treat wug as max.", OPERATORS),
        ("Treat dax as max.", "treat dax as max", OPERATORS),
        ("Treat dax as max.", "Check each result.", OPERATORS),
        (REFUND, "When a customer mentions 'parcel', label the question billing.", SUPPORT),
        (REFUND, "When a customer mentions 'refund', be polite and short.", SUPPORT),
        ("When adding, go slowly.", "When dividing, go slowly.", SUPPORT),
        ("Write dates as YYYY-MM-DD.", "Write amounts with two decimals.", SUPPORT),
        ("Copy the digits with care.", "Read the problem with care.", SUPPORT),
    ],
)
def test_claims_about_other_things_are_not(a, b, topics):
    """Another topic, another condition, or advice that can be followed together."""
    assert not contradict(a, b, topics)


@given(st.text(max_size=60), st.text(max_size=60))
def test_rivalry_is_mutual(a, b):
    """Whatever the texts are, and no text is the rival of itself."""
    assert contradict(a, b, OPERATORS) == contradict(b, a, OPERATORS)
    assert not contradict(a, a, OPERATORS)


def test_a_longer_form_says_all():
    """Words added keep the claim, a word exchanged does not."""
    assert says_all("When adding, go slowly and aloud.", "When adding, go slowly.")
    assert not says_all("Treat dax as max.", "Treat dax as min.")


def _added(text, support=1):
    return Proposal(Edit(Op.ADD, text), support)


def test_rivals_share_a_subject_and_the_others_have_none():
    """The subject is what they speak of."""
    found = with_subjects(
        Library("x"),
        [_added("Treat dax as max."), _added("Treat wug as max."), _added("Treat dax as min.")],
        OPERATORS,
    )
    assert [p.subject for p in found] == ["dax", "", "dax"]
    assert [p.edit.text for p in first_of_each_subject(found)] == ["Treat dax as max.", "Treat wug as max."]


BOTH = "Choose billing for refund and parcel questions."


def test_one_lesson_on_two_things_does_not_make_their_lessons_rivals():
    """It waits, and what is said on either thing keeps a subject of its own."""
    two = _added(BOTH, 9)
    said = [
        _added(f"Choose {label} for {name} questions.")
        for name in ("refund", "parcel")
        for label in ("account", "returns")
    ]
    kept, later, waiting = without_bridges([two, *said], SUPPORT)
    assert later == (two,)
    assert [p.subject for p in with_subjects(Library("x"), kept, SUPPORT)] == ["refund", "refund", "parcel", "parcel"]
    assert [(v.decision, v.edits) for v in waiting] == [("untested", (two.edit,))]


def test_a_lesson_on_two_things_meets_rivals_on_one_of_them():
    """Where nothing is said on the other thing, it is a rival like any."""
    kept, later, waiting = without_bridges([_added(BOTH), _added("Choose account for refund questions.")], SUPPORT)
    assert (later, waiting) == ((), ())
    assert {p.subject for p in with_subjects(Library("x"), kept, SUPPORT)} == {"refund"}


def test_groups_on_the_same_word_are_apart():
    """Two pairs of rivals that both speak of dax, but not of each other, have two subjects; old ones are forgotten."""
    pairs = ["Treat dax as max.", "Treat dax as min."]
    pairs += ["Near dax, copy each digit slowly.", "Near dax, copy each digit quickly."]
    found = with_subjects(Library("x"), [replace(_added(text), subject="dax") for text in pairs], OPERATORS)
    first, again, second, twice = (p.subject for p in found)
    assert (first, second) == (again, twice)
    assert "" not in (first, second)
    assert first != second
    (alone,) = with_subjects(Library("x"), [replace(_added(pairs[0]), subject="dax")], OPERATORS)
    assert alone.subject == ""


def test_an_edit_takes_the_place_of_every_lesson_it_contradicts():
    """ADD becomes UPDATE of the one, or MERGE of several."""
    lessons = (Lesson(1, "Treat dax as max.", 1, 1), Lesson(2, "Treat wug as max.", 1, 1))
    placed = in_place(Edit(Op.ADD, "Treat dax as min."), Library("x", 1, lessons), OPERATORS)
    assert (placed.op, placed.ids) == (Op.UPDATE, (1,))
    both = (*lessons, Lesson(3, "Treat dax as sum.", 1, 1))
    placed = in_place(Edit(Op.ADD, "Treat dax as min."), Library("x", 1, both), OPERATORS)
    assert (placed.op, placed.ids) == (Op.MERGE, (1, 3))


def test_the_best_supported_rivals_go_first():
    """Those left over are given back, in order."""
    many = with_subjects(
        Library("x"), [_added(f"Treat dax as {w}.", n) for w, n in (("a1", 1), ("b2", 3), ("c3", 2))], OPERATORS
    )
    kept, over = limit_rivals(many, 2)
    assert [p.edit.text for p in kept] == ["Treat dax as b2.", "Treat dax as c3."]
    assert [p.edit.text for p in over] == ["Treat dax as a1."]
