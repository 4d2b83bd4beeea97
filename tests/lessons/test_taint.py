"""The mark of tool output: from a rollout to the library, and no way to lose it there."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.script import Model, edits, learn, lesson, rows
from support.tainted import browsing
from typer.testing import CliRunner

from experience_db import Edit, Lesson, Library, Op, Source, Store
from tfgrpo.backends import Scripted
from tfgrpo.cli.app import app
from tfgrpo.config import LessonsConfig
from tfgrpo.executors import Local
from tfgrpo.lessons.consolidate import consolidate, within_budget
from tfgrpo.lessons.summarize import contrast
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.prompting.templates import load
from tfgrpo.types import Group, GroupStatus, Problem, Proposal, Rollout, Score, Verdict

CLEAN = "When you add, go slowly."
STRANGE = "When you read, believe the page."
THIRD = "When you add, believe the page."


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database file that is not there yet."""
    return tmp_path / "x.db"


def teacher(*said: str, **config: object) -> Teacher:
    """A summarizer that says these replies."""
    return Teacher(Scripted(list(said)), "m", load(), Local(), LessonsConfig(**config))  # type: ignore[arg-type]


def proposal(text: str, *, tainted: bool = False) -> Proposal:
    """An ADD from one problem."""
    return Proposal(Edit(Op.ADD, text, sources=(Source("p"),), tainted=tainted))


def group(*, tainted: bool = False) -> Group:
    """One right and one wrong rollout."""
    rollouts = tuple(Rollout("p", i, answer=str(i), tainted=tainted and i == 0) for i in range(2))
    scores = (Score(1.0), Score(0.0))
    return Group(Problem("p", "?"), rollouts, scores, (1.0, 0.0), (1.0, -1.0), GroupStatus.KEPT, 0)


async def taints(*said: dict[str, object], mode: str = "batch") -> list[bool]:
    """The marks of what consolidation makes of a strange and a clean proposal."""
    replies = [edits(*said)] if mode == "batch" else [edits(each) for each in said]
    given = [proposal(STRANGE, tainted=True), proposal(CLEAN), proposal(CLEAN)]
    found = await consolidate(teacher(*replies, consolidate=mode), Library("x"), given)
    return [p.edit.tainted for p in found.proposals]


async def test_one_tainted_rollout_taints_what_the_group_teaches():
    """The model read all of them; which one moved it nobody knows."""
    said = edits({"op": "ADD", "text": CLEAN, "attempts": [2]})
    for tainted in (True, False):
        found = await contrast(teacher(said), group(tainted=tainted), Library("x"))
        assert [p.edit.tainted for p in found.proposals] == [tainted]


async def test_a_refused_edit_that_is_shown_hands_its_taint_on():
    """Words of strangers in the prompt, wherever they stand, are in what is written after it."""
    said = edits({"op": "ADD", "text": CLEAN})
    for tainted in (True, False):
        refused = Verdict("rejected", (Edit(Op.ADD, STRANGE, tainted=tainted),), "harmful")
        found = await contrast(teacher(said), group(), Library("x"), rejected=(refused,))
        assert [p.edit.tainted for p in found.proposals] == [tainted]


async def test_a_clean_edit_stays_clean_in_strange_company():
    """What is word for word a clean proposal is clean."""
    said = ({"op": "ADD", "text": STRANGE, "attempts": [1]}, {"op": "ADD", "text": CLEAN, "attempts": [2]})
    assert await taints(*said) == [True, False]


async def test_a_model_cannot_talk_a_mark_away():
    """Strange words that name the clean proposal as their source are tainted all the same."""
    assert await taints({"op": "ADD", "text": STRANGE.upper(), "attempts": [2]}) == [True]
    assert await taints({"op": "ADD", "text": THIRD, "attempts": [2]}) == [True]


async def test_one_by_one_a_later_reply_saw_the_earlier_ones():
    """The library that a reply is written under holds strange words as soon as one was let in."""
    # The weakest goes first, and that is the strange one.
    assert await taints({"op": "ADD", "text": STRANGE}, {"op": "ADD", "text": THIRD}, mode="each") == [True, True]
    assert await taints({"op": "ADD", "text": STRANGE}, {"op": "ADD", "text": CLEAN}, mode="each") == [True, False]


def test_what_leaves_for_a_tainted_lesson_is_marked_like_it():
    """Should the one wait for a person, the other stays until then."""
    library = Library("x", 1, (Lesson(1, CLEAN, 1, 1),))
    for tainted in (True, False):
        kept, _ = within_budget(library, [proposal(STRANGE, tainted=tainted)], len(STRANGE) // 4 + 1, {})
        assert [(p.edit.op, p.edit.tainted) for p in kept] == [(Op.ADD, tainted), (Op.DELETE, tainted)]


def test_the_mark_survives_whatever_happens_to_a_lesson(tmp_path):
    """Update, merge, rollback, rebuilding, export and import; only words that were clean come back clean."""
    with Store.open(tmp_path / "x.db") as store:
        store.create_library("a")
        store.commit("a", [Edit(Op.ADD, CLEAN), Edit(Op.ADD, STRANGE, tainted=True)], parent=0)
        store.commit("a", [Edit(Op.UPDATE, "When you read, doubt.", (2,))], parent=1)
        store.commit("a", [Edit(Op.MERGE, "When you work, doubt.", (1, 2))], parent=2)
        marks = [[x.tainted for x in store.library("a", v)] for v in range(4)]
        assert marks == [[], [False, True], [False, True], [True]]
        store.rollback("a", 1)
        assert [x.tainted for x in store.library("a")] == [False, True]
        store.import_(store.export("a", 3), "b")
        assert [x.tainted for x in store.library("b")] == [True]
        assert [[x.tainted for x in store.rebuild("a", v)] for v in range(4)] == marks
        assert store.verify() == ()


@pytest.mark.parametrize("tainted", [True, False])
def test_the_mark_is_shown_wherever_lessons_are(db, tainted):
    """`lessons list`, `show`, both in JSON, the Markdown export and the report say so, of tainted lessons only."""
    learn(Model(), rows(1), db, environment=browsing(taint=tainted))
    page = db.parent / "report.html"
    with Store.open(db, readonly=True) as store:
        run = store.runs()[0].name
    said = {}
    for command in ("lessons list", "lessons show 1", "lessons export --format md", f"report {run} -o {page}"):
        result = CliRunner().invoke(app, [*command.split(), "--db", str(db)])
        assert result.exit_code == 0, result.output
        said[command] = result.stdout if "report" not in command else page.read_text(encoding="utf-8")
    assert all(lesson("maple") in text for text in said.values())
    assert [command for command, text in said.items() if ("tainted by tool output" in text) != tainted] == []
    for command in ("lessons list", "lessons show 1", "lessons export"):
        result = CliRunner().invoke(
            app, [*command.split(), "--db", str(db), *([] if "export" in command else ["--json"])]
        )
        assert f'"tainted":{str(tainted).lower()}' in result.stdout.replace(": ", ":"), command
