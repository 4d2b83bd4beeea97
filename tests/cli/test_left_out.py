"""A figure says what it is about: how many rows had a score, and why the others had none."""

from __future__ import annotations

import json
from pathlib import Path

from support.server import Server
from typer.testing import CliRunner

from tfgrpo.cli.app import app


def ask(folder: Path, server: Server, command: str, *more: str):
    """Run a command over twelve rows, of which every third has a blank reference; all answers are right."""
    server.reply = lambda body: "4"
    found = [{"id": f"q{i}", "question": f"Compute {i}.", "answer": "4" if i % 3 else " "} for i in range(12)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, found)))
    told = CliRunner().invoke(
        app,
        [command, str(folder / "rows.jsonl"), "--grader", "exact", "--model", "openai/m", "--base-url", server.url,
         "--db", str(folder / "x.db"), *more],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    return told


def test_a_measurement_names_what_is_in_no_figure(tmp_path: Path, server: Server):
    """Eight of twelve problems have a score, so that is the n of the interval and of what can be seen."""
    told = ask(tmp_path, server, "eval")
    assert "n=8 of 12\n" in told.stdout
    assert "at n=8 you can see" in told.stdout
    assert "note: 4 of 12 rollouts have no score (4 grader); for instance: problem 'q0' has no ref" in told.stderr
    assert json.loads(ask(tmp_path, server, "eval", "--json").stdout)["failures"] == {"grader": 4}


def test_a_run_that_learned_nothing_names_why_groups_had_no_scores(tmp_path: Path, server: Server):
    """With the words of the grader, not the name of a kind alone."""
    told = ask(tmp_path, server, "learn", "--heldout", "0", "--gate", "open", "--epochs", "1", "--group-size", "2")
    assert "4 of 12 groups could not be graded (8 grader), for instance: problem 'q0' has no reference" in told.stdout
