"""`lessons list` and `lessons show`: what is known about a lesson, sorted, filtered and told in full."""

from __future__ import annotations

import json

import pytest
from support.script import TOPICS, Model, learn, lesson, rows
from typer.testing import CliRunner

from experience_db import Edit, Evidence, Op, Store
from tfgrpo.cli.app import app

LONG = "When in doubt about the words of a question, read it once more and then a second time from its end."


@pytest.fixture
def db(tmp_path):
    """A database with four learned lessons with evidence, one long one by hand, and one nomination by dropout."""
    path = tmp_path / "x.db"
    learn(Model(), rows(8), path, heldout=rows(40, 100), gate="paired", epochs=2)
    with Store.open(path) as store:
        head = store.library("default")
        store.commit("default", [Edit(Op.ADD, LONG)], parent=head.version)
        store.add_evidence("default", [Evidence("dropout", -0.5, -0.9, -0.1, 20, (1,), reason="nominated")])
        store.add_evidence("default", [Evidence("dropout", -0.2, -0.3, -0.1, 20, (5,), reason="nominated")])
    return path


def run(db, *command):
    """Run a lessons command; returns what it printed."""
    result = CliRunner().invoke(app, ["lessons", *command, "--db", str(db)])
    assert result.exit_code == 0, result.output
    return result.stdout


def listed(db, *options):
    """The rows of `lessons list --json`."""
    return json.loads(run(db, "list", "--json", *options))["lessons"]


def test_every_column_is_there(db):
    """Id, text, effect with interval and kind, sources, times shown, version born and length, in two lines each."""
    said = run(db, "list")
    assert said.startswith("library 'default', version 2: 5 lessons\n")
    first = said.splitlines()[1:3]
    assert first[0] == f"  [1] {lesson(next(t for t in TOPICS if t in first[0]))}"
    assert "(gate, n=12); from 2 problems; shown 32 times; born in version 1; 16 tokens" in first[1]
    row = listed(db)[0]
    assert (row["shown"], row["born"], row["tokens"], len(row["problems"])) == (32, 1, 16, 2)
    assert row["effect"]["low"] < row["effect"]["estimate"] <= row["effect"]["high"]


def test_dropout_speaks_only_where_nothing_sharper_does(db):
    """A weak nomination does not hide the gate's own measurement, but is told when it is all there is."""
    effects = {row["id"]: row["effect"] for row in listed(db)}
    assert effects[1]["kind"] == "gate"
    assert effects[5]["kind"] == "dropout"


def test_lists_are_sorted_and_filtered(db):
    """Largest first except by id; filters say how many of how many are listed."""
    assert [row["id"] for row in listed(db)] == [1, 2, 3, 4, 5]
    assert listed(db, "--sort", "tokens")[0]["id"] == 5
    assert [row["id"] for row in listed(db, "--sort", "effect")][-1] == 5
    assert listed(db, "--sort", "shown")[-1]["shown"] == 0
    assert [row["id"] for row in listed(db, "--min-effect", "0.5")] == [1, 2, 3, 4]
    assert [row["id"] for row in listed(db, "--kind", "dropout")] == [5]
    assert listed(db, "--kind", "none") == []
    assert "5 lessons, 1 listed" in run(db, "list", "--kind", "dropout")


def test_an_effect_of_earlier_words_is_not_told_of_later_ones(db):
    """New words have no measured effect until they are measured."""
    run(db, "edit", "1", "Do something else.")
    assert listed(db)[0]["effect"] is None
    assert "no effect measured yet" in run(db, "show", "1").splitlines()[1]


def test_the_whole_story_reaches_down_to_the_rollouts(db):
    """Words, edit, sources with the texts and rewards of their rollouts, the contrast, verdicts and cost."""
    said = run(db, "show", "1")
    assert "  version 1: ADD " in said
    assert "problem: In topic " in said
    assert "reward 1.000: Answer: " in said
    assert "reward 0.000: Answer: " in said
    assert "and 2 more rollouts of the group" in said
    assert 'contrast: {"edits": [{"ids": []' in said
    assert "accepted: effect +1.00" in said
    assert "measured: effect -0.50 [-0.90, -0.10] (dropout, n=20): nominated" in said
    assert "cost: " in said
    assert said.count("tokens for the groups") == 1


def test_the_story_is_there_for_scripts_too(db):
    """With --json the origins hold question, rollouts and contrast."""
    story = json.loads(run(db, "show", "2", "--json"))
    assert story["lesson_id"] == 2
    assert {len(origin["rollouts"]) for origin in story["origins"]} == {2}
    assert all(origin["contrast"] for origin in story["origins"])


def test_long_texts_are_cut_unless_all_is_asked_for(tmp_path):
    """A rollout of many words does not flood the terminal."""
    path = tmp_path / "y.db"
    model = Model(rollout=lambda r: "so " * 2000 + f"\nAnswer: {400 if r.attempt % 2 else 1}")
    learn(model, rows(1), path)
    assert "characters left out" in run(path, "show", "1")
    assert "characters left out" not in run(path, "show", "1", "--all")
