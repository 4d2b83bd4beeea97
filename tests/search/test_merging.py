"""Merges: during a search, by the published and by the paired rule, and by hand on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support.script import TOPICS, edits, lesson, play, rows
from typer.testing import CliRunner

from experience_db import Edit, Evidence, Op, Store
from search.world import model, search
from tfgrpo.cli.app import app

Cli = Callable[..., Result]


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "experience.db"


@pytest.fixture
def cli(db: Path) -> Cli:
    """Run `tfgrpo lessons`."""
    return lambda *arguments: CliRunner().invoke(app, ["lessons", *map(str, arguments)])


@pytest.mark.parametrize("rule", ["published", "paired"])
def test_a_merge_joins_what_two_branches_know(db, rule):
    """Two children with two lessons each become one candidate with four; both are its origins."""
    result = search(
        model(), db, "gepa-merge", problems=rows(24), heldout=rows(12, 500), epochs=4, search__pool="separate",
        search__validation="full", search__merge_rule=rule,
    )  # fmt: skip
    assert {x.text for x in result.library} == set(map(lesson, TOPICS))
    with Store.open(db, readonly=True) as store:
        merged = next(o for o in store.lineage("default") if o.kind == "merge")
        sides = [{x.text for x in store.library("default", v)} for v in merged.origins]
        whole = {x.text for x in store.library("default", merged.version)}
        assert whole == sides[0] | sides[1]
        assert all(side < whole for side in sides)


def test_merging_needs_no_second_component_and_stops_at_its_cap(db):
    """With a cap of 0 nothing is merged; the library is one component in either case."""
    result = search(model(), db, "gepa-merge", problems=rows(24), epochs=3, search__pool="separate", search__merges=0)
    assert not [s for s in result.steps if "merge" in s.monitor]


def branches(db: Path, *, credit: bool = False) -> None:
    """Make versions 2 and 3 from version 1: both reword lesson 1, each adds one of its own."""
    with Store.open(db) as store:
        store.create_library("default")
        store.commit("default", [Edit(Op.ADD, "Add the parts."), Edit(Op.ADD, "Name the unit.")], parent=0)
        for number, words in enumerate(("Add the parts slowly.", "Add the parts twice."), 2):
            base, newest = store.library("default", 1), store.library("default")
            goal = base.with_edits([Edit(Op.UPDATE, words, (1,))])
            goal = type(goal)("default", newest.version, goal.lessons, goal.template, newest.next_id)
            made = goal.with_edits([Edit(Op.ADD, f"Lesson of branch {number}.")])
            lessons = tuple(x if x.id != 1 else type(x)(1, words, 1, number) for x in made.lessons)
            goal = type(goal)("default", newest.version, lessons, goal.template, made.next_id)
            store.branch(goal, parent=newest.version, origins=(1,), kind="mutation")
        if credit:
            store.add_evidence("default", [Evidence("validation", 0.1, -0.1, 0.2, 20, (1,))], version=2)
            store.add_evidence("default", [Evidence("validation", 0.5, 0.3, 0.7, 20, (1,))], version=3)


def test_by_hand_one_sided_changes_are_taken_and_credit_decides(db, cli):
    """Both new lessons are there, and lesson 1 has the words whose measured effect is higher."""
    branches(db, credit=True)
    result = cli("merge", 2, 3, "--json")
    told: dict[str, Any] = json.loads(result.stdout)
    assert told["ancestor"] == 1
    assert told["both"] == [{"id": 1, "text": "Add the parts twice.", "how": "credit"}]
    texts = [x["text"] for x in told["lessons"]]
    assert texts == ["Add the parts twice.", "Name the unit.", "Lesson of branch 2.", "Lesson of branch 3."]
    with Store.open(db, readonly=True) as store:
        assert store.lineage("default")[-1].origins == (2, 3)
        assert store.verify() == ()


def test_by_hand_an_open_conflict_asks_for_a_decision(db, cli):
    """Where nothing was measured, the command changes nothing and says what to give; --prefer decides."""
    branches(db)
    refused = cli("merge", 2, 3)
    assert refused.exit_code == 2
    assert "both sides changed lesson 1, and no measurement decides; give --prefer a or --prefer b" in refused.stderr
    shown = cli("merge", 2, 3, "--prefer", "a", "--dry-run")
    assert "both: [1] Add the parts slowly. (better side)" in shown.stdout
    assert "from b: [4] Lesson of branch 3." in shown.stdout
    with Store.open(db, readonly=True) as store:
        assert store.library("default").version == 3


def test_by_hand_a_model_can_word_the_conflict(db, cli):
    """The summarizer is shown both wordings and the one they came from; its reply passes the checks in code."""
    branches(db)
    playing = model(reflect=lambda _: edits({"op": "UPDATE", "ids": [1], "text": "Add the parts slowly, and twice."}))
    result = cli("merge", 2, 3, "--model", play(playing, "joiner"))
    assert "both: [1] Add the parts slowly, and twice. (joined)" in result.stdout
    (asked,) = playing.asked("reflect")
    assert all(words in asked for words in ("Add the parts.", "Add the parts slowly.", "Add the parts twice."))


def test_by_hand_two_libraries_share_no_ids(db, cli):
    """The second library's lessons come in under new ids, what both say stays once."""
    with Store.open(db) as store:
        for name, words in (("a", ["One.", "Two."]), ("b", ["Three.", "one"])):
            store.create_library(name)
            store.import_texts(words, name)
    assert cli("merge", "a", "b").exit_code == 0
    with Store.open(db, readonly=True) as store:
        assert [(x.id, x.text) for x in store.library("a")] == [(1, "One."), (2, "Two."), (3, "Three.")]
        assert len(store.library("b")) == 2
        assert store.verify() == ()


def test_by_hand_versions_of_one_line_have_nothing_to_merge(db, cli):
    """A version and one that comes from it: the command says so and names the one that shows the difference."""
    branches(db)
    refused = cli("merge", 1, 3)
    assert refused.exit_code == 2
    assert "version 3 comes from the other one: there is nothing to merge; see `lessons diff`" in refused.stderr
    assert cli("merge", 2, 3, "--prefer", "both").exit_code == 2
    assert cli("merge", 2, 99).exit_code == 2
