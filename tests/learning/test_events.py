"""`learn --events FILE`: a run as JSON lines, for whoever follows it from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.script import Model, play, rows, write
from typer.testing import CliRunner

from tfgrpo.cli.app import app


@pytest.fixture
def learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `tfgrpo learn` with a scripted model in an empty folder."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "learn.jsonl", rows(4))
    name = play(Model(), "events")
    fixed = ["learn", "learn.jsonl", "--grader", "exact", "--model", name, "--epochs", "1", "--heldout", "0"]
    return lambda *more: CliRunner().invoke(app, [*fixed, "--gate", "open", *more])


def test_the_file_holds_the_run_from_beginning_to_end(learn):
    """One line per event: the run, its groups and verdicts, its steps, the summary; and the same when repeated."""
    assert learn("--events", "events.jsonl").exit_code == 0
    events = [json.loads(line) for line in Path("events.jsonl").read_text(encoding="utf-8").splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds == ["run", *["group"] * 4, *["verdict"] * 4, "step", "end"]
    assert events[-1]["lessons"] == 4
    assert learn("--events", "again.jsonl").exit_code == 0
    again = [json.loads(line) for line in Path("again.jsonl").read_text(encoding="utf-8").splitlines()]
    assert again[1:-1] == events[1:-1]


def test_a_place_that_cannot_be_written_is_wrong_usage(learn):
    """The command ends before any call."""
    result = learn("--events", "nowhere/events.jsonl")
    assert result.exit_code == 2
    assert "cannot write nowhere/events.jsonl" in result.stderr
    assert not Path("experience.db").exists()
