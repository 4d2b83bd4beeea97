"""A sealed test set: its record is on disk before the first answer, survives a kill, and tells of further looks."""

import json
import os
import signal
import subprocess
import sys

import pytest
from proving.conftest import data
from support.script import play, rows, write

from tfgrpo.proving import seal

TESTS = os.path.dirname(os.path.dirname(__file__))
KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from support.script import Model, play
from tfgrpo.cli.app import app
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
name = play(Model(prove=lambda _: "Answer: 1"))
app(["prove", "good.md", "--on", "tasks.jsonl", "--grader", "dying:die", "--model", name, "--seal", "test"])
"""


def records(tmp_path):
    """The lines of the seal."""
    return [json.loads(line) for line in (tmp_path / "tasks.jsonl.seal").read_text(encoding="utf-8").splitlines()]


def test_first_and_second_look(prove, tmp_path):
    """The first look is told as such, another text is a second look, the same question again is none."""
    first = data(prove("good.md", "--seal", "test set of the release", "--json"))
    assert (first["seal"]["looks"], first["seal"]["purpose"]) == (1, "test set of the release")
    again = data(prove("good.md", "--json"))["seal"]
    assert (again["looks"], again["again"], again["openings"]) == (1, True, 2)
    second = prove("idle.md")
    assert "look 2" in second.stdout
    assert "sealed for 'test set of the release', opened before by" in second.stdout
    assert data(prove("good.md", "--json"))["seal"]["looks"] == 1
    kinds = [next(k for k in ("sealed", "opened", "closed") if k in r) for r in records(tmp_path)]
    assert kinds == ["sealed", *["opened", "closed"] * 4]
    assert records(tmp_path)[1]["texts"] == ["good.md"]


def test_a_thrown_away_database_hides_no_look(prove, tmp_path):
    """The record stands beside the tasks, so another database does not make a look the first one again."""
    prove("good.md", "--seal", "test", "--db", "one.db")
    assert data(prove("idle.md", "--db", "two.db", "--json"))["seal"]["looks"] == 2


def test_changed_tasks_break_the_seal(prove, tmp_path, model):
    """A set that is not the one that was sealed is refused before any call."""
    prove("good.md", "--seal", "test")
    model.requests.clear()
    with (tmp_path / "tasks.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"question": "In topic maple: what comes of 7?", "answer": "14"}\n')
    result = prove("good.md")
    assert result.exit_code == 2
    assert "sealed" in result.stderr
    assert not model.requests


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_while_scoring(prove, tmp_path):
    """A process that is killed as it scores its first answer has opened the seal: another question is a second look."""
    (tmp_path / "dying.py").write_text(KILLED[: KILLED.index("name =")].format(tests=TESTS), encoding="utf-8")
    code = KILLED.format(tests=TESTS)
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False)
    assert run.returncode == -signal.SIGKILL
    assert len(records(tmp_path)) == 2
    assert data(prove("idle.md", "--json"))["seal"]["looks"] == 2


def test_a_line_cut_by_a_crash(prove, tmp_path):
    """A last line that a crash cut is left out, the next record begins on a new line; damage inside is told."""
    prove("good.md", "--seal", "test")
    place = tmp_path / "tasks.jsonl.seal"
    place.write_bytes(place.read_bytes() + b'{"opened": "x", "que')
    assert len(seal.read_seal(tmp_path / "tasks.jsonl").openings) == 1
    place.write_bytes(b"rubbish\n" + place.read_bytes())
    result = prove("good.md")
    assert result.exit_code == 2
    assert "tasks.jsonl.seal:1" in result.stderr


def test_a_seal_outlives_a_crash(prove, tmp_path):
    """After a line that a crash cut, anywhere in a letter, the record goes on; what is no object is damage."""
    prove("good.md", "--seal", "test")
    place = tmp_path / "tasks.jsonl.seal"
    place.write_bytes(place.read_bytes() + '{"by": "\u00e4'.encode()[:-1])
    for openings in (2, 3):
        assert prove("good.md").exit_code == 0
        assert len(seal.read_seal(tmp_path / "tasks.jsonl").openings) == openings
    place.write_bytes(b"5\n" + place.read_bytes())
    assert prove("good.md").exit_code == 2


def asked(*more):
    """Arguments that ask to seal the tasks."""
    return ("prove", "good.md", "--on", "tasks.jsonl", "--seal", "test", *more)


def test_what_is_refused_opens_nothing(cli, tmp_path, model):
    """A model without a key, an address where nothing listens, tasks without answers: told, the set is untouched."""
    refused = cli(*asked("--grader", "exact", "--model", "anthropic/some"))
    assert (refused.exit_code, refused.stdout) == (2, "")
    nowhere = ("--base-url", "http://127.0.0.1:9/v1", "-s", "engine.attempts=1")
    assert cli(*asked("--grader", "exact", "--model", "openai/m", *nowhere)).exit_code == 3
    write(tmp_path / "tasks.jsonl", [{"question": row["question"]} for row in rows(8)])
    unfit = cli(*asked("--grader", "exact", "--model", play(model)))
    assert unfit.exit_code == 2
    assert "answer" in unfit.stderr
    assert not model.requests
    assert not (tmp_path / "tasks.jsonl.seal").exists()


def test_a_seal_that_cannot_be_written_is_told_before_any_call(prove, tmp_path, model):
    """Where the record cannot be kept nothing is asked."""
    (tmp_path / "tasks.jsonl.seal").mkdir()
    result = prove("good.md", "--seal", "test")
    assert result.exit_code == 2
    assert "tasks.jsonl.seal" in result.stderr
    assert not model.requests


def test_a_set_without_a_file_cannot_be_sealed(cli):
    """A seal belongs to a file."""
    assert (
        cli("prove", "good.md", "--on", "aime24", "--grader", "exact", "--model", "tiny", "--seal", "x").exit_code == 2
    )
