"""Finding lessons, their stories, and edits that wait or were refused."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experience_db import (
    ConflictingEdits,
    Edit,
    Evidence,
    InvalidEdit,
    Op,
    Source,
    StaleVersion,
    UnknownEdit,
    UnknownLesson,
    UnknownLibrary,
)


def ids(lessons) -> list[int]:
    """Ids in the order given."""
    return [lesson.id for lesson in lessons]


def test_search_ranks_by_shared_words(taught):
    """Lessons that share more and rarer words come first; word forms and case do not matter."""
    assert ids(taught.search("web", "drawing FIGURES")) == [2]
    assert ids(taught.search("web", "unit, looping edge case", limit=2)) == [3, 1]
    assert taught.search("web", "nothing shared") == ()


def test_search_sees_the_version_asked_for(taught):
    """Old words are found in old versions only, other libraries never."""
    taught.commit("web", [Edit(Op.UPDATE, "Sketch it.", (2,)), Edit(Op.DELETE, ids=(3,))], parent=1)
    taught.create_library("other")
    assert ids(taught.search("web", "figure sketch loop")) == [2]
    assert sorted(ids(taught.search("web", "figure sketch loop", version=1))) == [2, 3]
    assert taught.search("other", "sketch") == ()
    with pytest.raises(UnknownLibrary):
        taught.search("nope", "sketch")


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "'",
        "loop OR",
        "AND",
        "NEAR(loop, 2)",
        "loop*",
        "text:loop",
        "^loop",
        "-loop",
        "(loop",
        "_",
        "x_y",
        "",
        " ",
        "%",
        "\0",
    ],
)
def test_query_syntax_is_only_text(taught, query):
    """Operators, quotes and other syntax of FTS5 never break a search, and `loop` in them is found."""
    found = ids(taught.search("web", query))
    assert (3 in found) == ("loop" in query)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(query=st.text())
def test_any_text_is_a_query(taught, query):
    """No text raises or finds a lesson twice."""
    found = ids(taught.search("web", query))
    assert len(found) == len(set(found)) <= 3


def test_long_problem_is_a_query(taught):
    """A whole problem text of thousands of words works as a query."""
    assert ids(taught.search("web", " ".join(f"w{i}" for i in range(150)) + " figure " + "x " * 5000)) == [2]


def test_scripts_without_spaces_and_formulas_are_found(store):
    """A part of a Chinese sentence or of a formula finds the lesson that contains it."""
    store.commit("web", [Edit(Op.ADD, "先检查单位换算。"), Edit(Op.ADD, r"Keep \frac{a}{b} exact")], parent=0)
    assert ids(store.search("web", "单位")) == [1]
    assert ids(store.search("web", r"\frac{a}{b}")) == [2]
    assert ids(store.search("web", "{a}{")) == [2]


def test_blame_tells_the_whole_story(taught, run):
    """Blame lists every edit that touched a lesson, merges into another included, with its evidence and uses."""
    source = Source("p7", (1, 4), run, 3, "m", "t")
    taught.commit("web", [Edit(Op.UPDATE, "Sketch.", (2,), "clearer", (source,))], parent=1)
    taught.commit("web", [Edit(Op.MERGE, "Sketch, then check.", (3, 2))], parent=2)
    about_two = [Evidence("gate", 0.1, lesson_ids=(2,)), Evidence("gate", 0.2, lesson_ids=(3, 2))]
    taught.add_evidence("web", about_two, version=2)
    taught.add_evidence("web", [Evidence("gate", 0.3, lesson_ids=(12,)), Evidence("heldout", 0.4)])
    taught.record_uses("web", {2: 15}, run=run, step=0)
    story = taught.blame("web", 2)
    assert [(a.version, a.edit.op) for a in story.edits] == [(1, Op.ADD), (2, Op.UPDATE), (3, Op.MERGE)]
    assert story.edits[1].edit.sources == (source,)
    assert [e.estimate for e in story.evidence] == [0.1, 0.2]
    assert (story.lesson, story.shown) == (None, 15)
    assert taught.blame("web", 3).lesson.text == "Sketch, then check."
    with pytest.raises(UnknownLesson, match="never had a lesson 9"):
        taught.blame("web", 9)


def test_evidence_comes_back_with_where_it_was_measured(taught, run):
    """All fields survive; a measurement repeated by a resumed step is kept once, a repeated manual one twice."""
    full = Evidence("gate", 0.12, 0.02, 0.22, 64, (1, 3), "accepted", "E = 21", {"looks": [16, 32], "e": 21.0})
    for _ in range(2):
        taught.add_evidence("web", [full], version=1, run=run, step=3)
        taught.add_evidence("web", [Evidence("control", None)])
    stored = taught.evidence("web")
    assert len(stored) == 3
    assert stored[0].detail == full.detail
    assert (stored[0].version, stored[0].run, stored[0].step, stored[0].lesson_ids) == (1, run, 3, (1, 3))
    assert taught.evidence("web", 3) == stored[:1]
    assert taught.evidence("web", version=0) == ()


def test_rejected_and_undecided_edits_are_kept(taught, run):
    """Edits that made no version keep their text, verdict and origin; lessons and log don't change."""
    bad = Edit(Op.ADD, "bad", reason="r")
    taught.set_aside("web", [bad], status="rejected", reason="harmful", version=1, run=run, step=2)
    taught.set_aside("web", [Edit(Op.DELETE, ids=(1,))], status="undecided", reason="64 looks", version=1)
    refused, waiting = taught.unapplied("web")
    assert (refused.edit, refused.reason, refused.version, refused.run, refused.step) == (bad, "harmful", 1, run, 2)
    assert taught.unapplied("web", "rejected") == (refused,)
    assert taught.pending("web") == (waiting,)
    assert (taught.library("web").version, len(taught.log("web"))) == (1, 3)
    assert taught.verify() == ()


def test_edit_set_aside_by_a_resumed_step_is_kept_once(taught, run):
    """The same edit from the same step is one record; without a run each call is its own."""
    again = {"status": "rejected", "reason": "x", "version": 1}
    for _ in range(2):
        taught.set_aside("web", [Edit(Op.ADD, "a"), Edit(Op.ADD, "b")], **again, run=run, step=0)
    assert len(taught.unapplied("web")) == 2
    with pytest.raises(InvalidEdit, match="not 'applied'"):
        taught.set_aside("web", [], **again | {"status": "applied"})


def test_waiting_edit_can_be_accepted_or_rejected(taught):
    """Accept makes a version of waiting edits, reject keeps them as rejected; either way they wait no more."""
    edits = [Edit(Op.ADD, "good"), Edit(Op.ADD, "bad"), Edit(Op.UPDATE, "Draw it.", (2,))]
    good, bad, update = taught.set_aside("web", edits, status="undecided", reason="?", version=1)
    made = taught.accept("web", [update, good], parent=1)
    taught.reject("web", [bad], reason="too vague")
    assert [lesson.text for lesson in made][1:] == ["Draw it.", "Check the edge cases of a loop.", "good"]
    assert taught.pending("web") == ()
    assert [(e.edit.text, e.reason) for e in taught.unapplied("web")] == [("bad", "too vague")]
    assert taught.rebuild("web") == made
    with pytest.raises(UnknownEdit, match=f"no edit {bad} .* waiting: none"):
        taught.accept("web", [bad], parent=2)


def test_refused_acceptance_leaves_edits_waiting(taught):
    """A stale parent or a conflict changes nothing, and the edits still wait."""
    edits = [Edit(Op.UPDATE, "a", (2,)), Edit(Op.DELETE, ids=(2,))]
    both = taught.set_aside("web", edits, status="undecided", reason="?", version=1)
    with pytest.raises(ConflictingEdits):
        taught.accept("web", both, parent=1)
    with pytest.raises(StaleVersion):
        taught.accept("web", both[:1], parent=0)
    assert [waiting.id for waiting in taught.pending("web")] == list(both)
