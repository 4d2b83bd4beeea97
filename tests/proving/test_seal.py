"""A sealed test set: its record is on disk before the first answer, survives a kill, and tells of further looks."""

import json
import os
import signal
import subprocess
import sys

import pytest
from proving.conftest import data

from tfgrpo.proving import seal

KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from support.script import Model, play
from tfgrpo.cli.app import app
def die(request):
    os.kill(os.getpid(), signal.SIGKILL)
name = play(Model(prove=die))
app(["prove", "good.md", "--on", "tasks.jsonl", "--grader", "exact", "--model", name, "--seal", "test"])
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
    kinds = [next(k for k in ("sealed", "opened", "closed") if k in r) for r in records(tmp_path)]
    assert kinds == ["sealed", "opened", "closed", "opened", "closed", "opened", "closed"]
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


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_while_scoring(prove, tmp_path):
    """A process that is killed at the first answer has opened the seal: another question is the second look."""
    code = KILLED.format(tests=os.path.dirname(os.path.dirname(__file__)))
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


def test_a_set_without_a_file_cannot_be_sealed(cli):
    """A seal belongs to a file."""
    assert (
        cli("prove", "good.md", "--on", "aime24", "--grader", "exact", "--model", "tiny", "--seal", "x").exit_code == 2
    )
