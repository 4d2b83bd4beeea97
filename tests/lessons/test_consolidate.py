"""From the proposals of a batch to one consistent list: joined, credited, checked, and within the token budget."""

from __future__ import annotations

import re

import pytest
from support.script import edits, text_of

from experience_db import Edit, Evidence, Lesson, Library, Op, Source
from tfgrpo.backends import Scripted
from tfgrpo.config import LessonsConfig
from tfgrpo.errors import BudgetReached, EndpointError, ProviderError
from tfgrpo.executors import Local
from tfgrpo.lessons.consolidate import consolidate, within_budget
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.prompting import templates
from tfgrpo.types import FailureKind, Proposal

A, B, C = "When adding, go slowly.", "When dividing, check for zero.", "When stuck, draw it."
TAUGHT = Library("x", 1, (Lesson(1, A, 1, 1), Lesson(2, B, 1, 1)))
EMPTY = Library("x")


def proposal(
    text: str | None, op: Op = Op.ADD, ids: tuple[int, ...] = (), problem: str = "p", **more: object
) -> Proposal:
    """A proposal from one problem."""
    return Proposal(Edit(op, text, ids, "seen", (Source(problem),), **more))  # type: ignore[arg-type]


def teacher(*lines: object, **config: object) -> tuple[Teacher, Scripted]:
    """A teacher that plays a script."""
    script = Scripted(list(lines))
    return Teacher(script, "m", templates.load(), Local(), LessonsConfig(**config)), script  # type: ignore[arg-type]


async def test_nothing_proposed_asks_nobody():
    """No call without a question."""
    asked, script = teacher()
    assert (await consolidate(asked, TAUGHT, [])).proposals == ()
    assert script.requests == []


async def test_one_proposal_for_an_empty_library_needs_no_call():
    """There is nothing to reconcile it with."""
    asked, script = teacher()
    found = await consolidate(asked, EMPTY, [proposal(A), proposal(A, problem="q")])
    assert [(p.edit.text, p.support) for p in found.proposals] == [(A, 2)]
    assert script.requests == []


async def test_an_edit_is_credited_with_the_proposals_it_names():
    """Sources and support of the named proposals, no others."""
    asked, _ = teacher(edits({"op": "ADD", "text": C, "attempts": [1, 2]}, {"op": "ADD", "text": B, "attempts": [3]}))
    given = [proposal(C, problem="p"), proposal("When lost, draw.", problem="q"), proposal(B, problem="r")]
    found = await consolidate(asked, EMPTY, given)
    assert [sorted(s.problem_id for s in p.edit.sources) for p in found.proposals] == [["p", "q"], ["r"]]
    assert [p.support for p in found.proposals] == [2, 1]
    assert found.dropped == ()


async def test_who_advised_otherwise_is_no_source():
    """A model that names a contrast which asked for the opposite gives it no part; it stands in the reason as such."""
    yes, no = "When a parcel is lost, offer a refund.", "When a parcel is lost, offer no refund."
    asked, _ = teacher(edits({"op": "ADD", "text": yes, "attempts": [1, 2]}))
    found = await consolidate(asked, EMPTY, [proposal(yes, problem="p"), proposal(no, problem="q")])
    first = next(p for p in found.proposals if p.edit.text == yes)
    assert [s.problem_id for s in first.edit.sources] == ["p"]
    assert first.support == 1
    assert f"otherwise advised by q: {no}" in first.edit.reason


async def test_an_edit_that_names_nobody_is_matched_by_its_words():
    """The same words or lessons; failing that it rests on the whole batch."""
    said = [
        {"op": "ADD", "text": B.upper(), "attempts": []},
        {"op": "ADD", "text": "When new, be new.", "attempts": []},
    ]
    asked, _ = teacher(edits(*said))
    found = await consolidate(asked, EMPTY, [proposal(C, problem="p"), proposal(B, problem="q")])
    sources = [sorted(s.problem_id for s in p.edit.sources) for p in found.proposals]
    assert sources == [["q"], ["p", "q"]]


async def test_taint_goes_along_with_the_words():
    """An edit is tainted when any proposal behind it is."""
    asked, _ = teacher(edits({"op": "ADD", "text": C, "attempts": [1]}, {"op": "ADD", "text": B, "attempts": [2]}))
    found = await consolidate(asked, EMPTY, [proposal(C, tainted=True), proposal(B)])
    assert [p.edit.tainted for p in found.proposals] == [True, False]


async def test_edits_of_one_lesson_are_rivals():
    """Two edits of one lesson both go on, under one subject: the gate chooses, not the model."""
    said = [{"op": "UPDATE", "ids": [1], "text": C}, {"op": "DELETE", "ids": [1]}]
    asked, _ = teacher(edits(*said))
    found = await consolidate(asked, TAUGHT, [proposal(C, Op.UPDATE, (1,)), proposal(None, Op.DELETE, (1,))])
    assert [(p.edit.op, p.subject) for p in found.proposals] == [(Op.UPDATE, "lesson 1"), (Op.DELETE, "lesson 1")]
    assert found.dropped == ()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (ProviderError("gone"), FailureKind.PROVIDER),
        (BudgetReached("spent"), FailureKind.BUDGET),
    ],
)
@pytest.mark.parametrize("mode", ["batch", "each"])
async def test_a_failed_call_is_recorded(mode, line, kind):
    """The failure costs the judgement alone: the proposals go on as they are."""
    asked, _ = teacher(line, line, consolidate=mode)
    found = await consolidate(asked, TAUGHT, [proposal(C)])
    assert [f.kind for f in found.failures] == [kind]
    assert [p.edit.text for p in found.proposals] == [C]
    assert found.dropped == ()


@pytest.mark.parametrize("mode", ["batch", "each"])
async def test_a_dead_endpoint_ends_the_run(mode):
    """Going on is pointless."""
    asked, _ = teacher(EndpointError("dead"), consolidate=mode)
    with pytest.raises(EndpointError):
        await consolidate(asked, TAUGHT, [proposal(C)])


async def test_one_by_one_each_sees_what_the_last_one_did():
    """Weakest support first; the second prompt holds the library after the first; the net edits are given."""
    asked, script = teacher(
        edits({"op": "ADD", "text": C}),
        edits({"op": "UPDATE", "ids": [1], "text": "When adding, go slowly and aloud."}),
        consolidate="each",
    )
    strong = proposal("When adding, speak.", problem="q")
    found = await consolidate(asked, TAUGHT, [strong, strong, proposal(C)])
    assert C not in text_of(script.requests[0]).partition("The library now")[2].partition("The proposal")[0]
    assert re.search(rf"\[3\] .*{re.escape(C)}", text_of(script.requests[1]))
    assert [(p.edit.op, p.edit.ids, p.edit.text) for p in found.proposals] == [
        (Op.UPDATE, (1,), "When adding, go slowly and aloud."),
        (Op.ADD, (), C),
    ]


async def test_one_by_one_an_edit_keeps_the_sources_of_its_proposal():
    """The model that decides how it enters is not where it comes from."""
    asked, _ = teacher(edits({"op": "ADD", "text": C}), consolidate="each")
    found = await consolidate(asked, TAUGHT, [proposal("When at a loss, draw.", problem="origin")])
    assert [s.problem_id for s in found.proposals[0].edit.sources] == ["origin"]


async def test_what_is_left_out_on_purpose_is_named():
    """A proposal in no edit is untested, in either mode, and listed."""
    for mode in ("batch", "each"):
        asked, _ = teacher(edits(), consolidate=mode)
        found = await consolidate(asked, TAUGHT, [proposal(C)])
        assert [(v.decision, v.edits[0].text) for v in found.dropped] == [("untested", C)]


LEFT, RIGHT = "Start with the left one.", "Start with the right one."


async def test_a_model_cannot_choose_between_claims_that_differ():
    """Whichever of two contradicting claims the model keeps, both meet the gate, as rivals."""
    for kept in (LEFT, RIGHT):
        asked, _ = teacher(edits({"op": "ADD", "text": kept, "attempts": [1, 2]}))
        found = await consolidate(asked, TAUGHT, [proposal(LEFT), proposal(RIGHT, problem="q")])
        assert sorted(p.edit.text for p in found.proposals) == [LEFT, RIGHT]
        assert len({p.subject for p in found.proposals} - {""}) == 1
        assert found.dropped == ()


async def test_one_by_one_an_overwritten_claim_stays_a_rival():
    """An UPDATE of a lesson that this very batch added stands beside it, unless it says all of it."""
    asked, _ = teacher(edits({"op": "ADD", "text": LEFT}), edits({"op": "UPDATE", "ids": [3], "text": RIGHT}),
                       consolidate="each")  # fmt: skip
    found = await consolidate(asked, TAUGHT, [proposal(LEFT), proposal(RIGHT, problem="q")])
    assert [(p.edit.op, p.edit.ids, p.edit.text) for p in found.proposals] == [
        (Op.ADD, (), LEFT),
        (Op.ADD, (), RIGHT),
    ]
    assert len({p.subject for p in found.proposals} - {""}) == 1


async def test_wordings_are_merged():
    """A longer form of both is one edit without a rival."""
    both = "When adding long numbers, go slowly and aloud."
    asked, _ = teacher(edits({"op": "ADD", "text": both, "attempts": [1, 2]}))
    given = [proposal("When adding numbers, go slowly."), proposal("When adding long numbers, go aloud.", problem="q")]
    found = await consolidate(asked, EMPTY, given)
    assert [(p.edit.text, p.subject, p.support) for p in found.proposals] == [(both, "", 2)]
    assert found.dropped == ()


async def test_a_claim_against_an_active_lesson_takes_its_place():
    """Two lessons that contradict each other are never both active: the ADD becomes an UPDATE."""
    library = Library("x", 1, (Lesson(1, LEFT, 1, 1),))
    asked, _ = teacher(edits({"op": "ADD", "text": RIGHT, "attempts": [1]}))
    found = await consolidate(asked, library, [proposal(RIGHT)])
    assert [(p.edit.op, p.edit.ids, p.edit.text) for p in found.proposals] == [(Op.UPDATE, (1,), RIGHT)]


def effect(value: float) -> Evidence:
    """A measured effect."""
    return Evidence("gate", value)


def test_a_full_library_gives_up_what_is_worth_least_per_token():
    """The lesson with the lowest measured effect leaves by a DELETE that says why."""
    room = sum(len(t) // 4 + 1 for t in (B, C))
    kept, refused = within_budget(TAUGHT, [proposal(C)], room, {1: effect(-0.2), 2: effect(0.4), 3: effect(0.1)})
    assert [(p.edit.op, p.edit.ids) for p in kept] == [(Op.ADD, ()), (Op.DELETE, (1,))]
    assert "lowest measured effect per token" in kept[1].edit.reason
    assert refused == ()


def test_what_does_not_fit_is_refused():
    """A new lesson worth less than all that is there stays out."""
    room = sum(len(t) // 4 + 1 for t in (A, B))
    kept, refused = within_budget(TAUGHT, [proposal(C)], room, {1: effect(0.2), 2: effect(0.4)})
    assert kept == ()
    assert [v.reason for v in refused] == [f"the library is full at {room} tokens"]


def test_a_library_with_room_is_left_alone():
    """Nothing leaves without need."""
    kept, refused = within_budget(TAUGHT, [proposal(C)], 2000, {})
    assert ([p.edit.text for p in kept], refused) == ([C], ())


@pytest.mark.parametrize("mode", ["batch", "each"])
async def test_a_refused_edit_is_refused_once(mode):
    """What the checks turn down is not also counted as left out."""
    asked, _ = teacher(edits({"op": "ADD", "text": A, "attempts": [1]}), consolidate=mode)
    found = await consolidate(asked, TAUGHT, [proposal("When you add, take your time.")])
    assert [v.reason for v in found.dropped] == ["lesson 1 says the same"]
