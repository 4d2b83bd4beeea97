"""Learning from traces and from sessions: no rollout is paid, and nothing enters without a trial."""

from __future__ import annotations

import json
import time

import pytest
from support.script import Model, edits, lesson, play, rows, text_of, write
from typer.testing import CliRunner

from experience_db import Store, open_library
from tfgrpo.cli.app import app
from tfgrpo.config import LearnConfig
from tfgrpo.readers import read
from tfgrpo.studies.stored_rollouts import groups_of_sessions, groups_of_traces


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `tfgrpo learn` in an empty folder; returns its result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "TFGRPO_DB"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        result = CliRunner().invoke(app, ["learn", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return call


def traces(path, messages=False):
    """Four problems with two stored attempts each, one of them right."""
    found = []
    for row in rows(4):
        for score in (1, 0):
            said = [{"role": "user", "content": row["question"]}, {"role": "tool", "content": "x"}] if messages else []
            found.append({"id": row["id"], "question": row["question"], "answer": row["answer"], "score": score,
                          "response": f"Answer {score}", "messages": said})  # fmt: skip
    return write(path, found)


def test_traces_teach_without_a_rollout(run, tmp_path):
    """Attempts that are stored are contrasted; what they teach waits, and a second time is proposed by nobody."""
    model = Model()
    name = play(model, "stored")
    file = traces(tmp_path / "t.jsonl")
    found = json.loads(run("--from-traces", file, "--model", name, "--json").stdout)
    assert (found["groups"], found["proposed"], found["waiting"], found["version"]) == (4, 4, 4, 0)
    assert {call.role for call in model.requests} == {"contrast", "consolidate"}
    with Store.open("experience.db") as store:
        waiting = store.pending("default")
    assert all(item.reason.startswith("waits for sessions") for item in waiting)
    again = json.loads(run("--from-traces", file, "--model", name, "--json").stdout)
    assert again["waiting"] == 0
    assert again["usage"]["completion_tokens"] == found["usage"]["completion_tokens"]


def test_the_gate_runs_live_where_there_are_problems(run, tmp_path):
    """With held-out problems and a grader the edits are tried at once, and enter with the gate's evidence."""
    name = play(Model(), "stored-gate")
    write(tmp_path / "held.jsonl", rows(32, 100))
    result = run(
        "--from-traces", traces(tmp_path / "t.jsonl"), "--heldout", "held.jsonl", "--grader", "exact", "--model", name,
        "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["edits"]["accepted"] == 4
    with Store.open("experience.db") as store:
        assert len(store.library("default")) == 4
        assert {e.kind for e in store.evidence("default") if e.verdict == "accepted"} >= {"gate"}


def test_tool_output_in_traces_waits_for_a_person(run, tmp_path):
    """What a stranger may have written is not tried before somebody has read it, unless that is told."""
    name = play(Model(), "stored-taint")
    file = traces(tmp_path / "t.jsonl", messages=True)
    run("--from-traces", file, "--model", name, "--library", "a")
    run("--from-traces", file, "--model", name, "--library", "b", "--no-review")
    with Store.open("experience.db") as store:
        assert {item.reason.partition(":")[0] for item in store.pending("a")} == {"waits for review"}
        assert {item.reason.partition(",")[0] for item in store.pending("b")} == {"waits for sessions"}


def test_traces_without_a_contrast_are_told(run, tmp_path):
    """Attempts without scores, or with one each, end with the counts, before any model is asked."""
    file = write(tmp_path / "t.jsonl", [{"id": 1, "question": "q", "response": "a"}])
    result = run("--from-traces", file, "--model", "tiny")
    assert result.exit_code == 2
    assert "1 rows, 0 with a score, 1 items" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "none was given"),
        (["x.jsonl", "--from-sessions"], "DATASET and --from-sessions were given"),
        (["x.jsonl"], "--grader"),
        (["--from-sessions", "--heldout", "x"], "sessions are tried on sessions"),
        (["x.jsonl", "--grader", "exact", "--follow"], "--from-sessions"),
        (["--from-sessions", "-s", "sessions.controll=1"], "controll"),
        (["--from-sessions", "-s", "sessions.control=much"], "not a number"),
        (["--from-sessions", "-s", "sessions.control=0.9"], "no three shares"),
    ],
)
def test_options_that_do_not_go_together(run, arguments, word):
    """Each is one sentence and exit code 2."""
    result = run("--model", "tiny", *arguments)
    assert result.exit_code == 2, result.output
    assert word in result.stderr


def test_groups_take_the_best_and_the_worst(tmp_path):
    """Of many attempts eight are shown; unscored ones take no part, and failures are no wrong answers."""
    many = [{"id": "a", "question": "q", "score": i / 20, "response": str(i)} for i in range(20)]
    many += [
        {"id": "a", "error": "429"},
        {"id": "b", "question": "p", "score": 1},
        {"id": "b", "question": "p", "score": 1},
    ]
    (group,) = groups_of_traces(read(write(tmp_path / "t.jsonl", many)), LearnConfig(), 3)
    assert [r.answer for r in group.rollouts_G] == ["0", "1", "2", "3", "16", "17", "18", "19"]
    assert group.version == 3


def sessions(db, count=24):
    """Sessions of two kinds of tasks, every second of which succeeds."""
    with Store.open(db) as store:
        store.create_library("app")
    library = open_library("app", db=db)
    for i in range(count):
        topic = ("maple", "granite")[i // 2 % 2]
        with library.session(task=f"In topic {topic}: what comes of 7?", user=i, tainted=False) as s:
            s.inject([{"role": "user", "content": s.task}])
            s.add({"role": "assistant", "content": f"Answer {i}"})
            s.report(float(i % 2), feedback=f"said {i}")


def test_sessions_are_grouped_by_what_they_are_about(tmp_path):
    """Sessions of a similar task are the attempts of one group, of each user one, with what users said."""
    sessions(tmp_path / "e.db")
    with Store.open(tmp_path / "e.db") as store:
        groups = groups_of_sessions(store, "app", LearnConfig())
    assert [(len(g.rollouts_G), g.weight) for g in groups] == [(8, 12.0), (8, 12.0)]
    assert groups[0].scores_G[0].why.startswith("said ")
    assert "topic maple" in groups[0].problem.question


@pytest.mark.slow
def test_sessions_teach_and_are_asked(run, tmp_path):
    """One look contrasts, puts what was proposed on trial, and the next sessions meet it by chance."""
    db = tmp_path / "experience.db"
    sessions(db)
    name = play(Model(), "stored-sessions")
    options = ("--from-sessions", "--library", "app", "--model", name, "-s", "sessions.patience=0")
    found = json.loads(run(*options, "--json").stdout)
    assert (found["sessions"], found["groups"], found["waiting"]) == (24, 2, 2)
    assert [event["kind"] for event in found["events"]] == ["trial", "trial"]
    met = set()
    library = open_library("app", db=db)
    for _ in range(60):
        with library.session(task="In topic maple: what comes of 7?") as s:
            met.add((s.arm, len(s.library)))
    assert {arm for arm, _ in met} == {"served", "control", "canary"}
    assert max(count for _, count in met) == 2
    text = run(*options).stdout
    assert "not clear yet" in text
    assert lesson("maple") in text


@pytest.mark.slow
def test_follow_looks_again_until_it_is_stopped(tmp_path):
    """It goes on by itself, says what happens once, and ends with a signal."""
    import os
    import signal
    import subprocess
    import sys
    from pathlib import Path

    sessions(tmp_path / "experience.db", 8)
    (tmp_path / "mine.py").write_text(
        "class Backend:\n"
        "    async def complete(self, request):\n"
        "        from tfgrpo.types import Reply\n"
        f"        return Reply({edits({'op': 'ADD', 'text': lesson('maple')})!r})\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "tfgrpo.cli", "learn", "--from-sessions", "--follow", "--library", "app",
               "--model", "scripted/mine:Backend", "-s", "sessions.patience=0"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        assert "of the sessions meet" in running.stdout.readline()
        time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0


def test_the_contrast_sees_what_users_said(run, tmp_path):
    """Feedback of a session reaches the model that explains, and secrets in it do not."""
    model = Model()
    db = tmp_path / "experience.db"
    sessions(db, 7)
    library = open_library("app", db=db)
    with library.session(task="In topic maple: what comes of 7?", user="z") as s:
        s.inject([{"role": "user", "content": s.task}])
        s.report(0.0, feedback="wrong, and my key is sk-abcdefghijklmnop")
    run("--from-sessions", "--library", "app", "--model", play(model, "stored-said"), "-s", "sessions.patience=0")
    asked = "\n".join(text_of(request) for request in model.requests if request.role == "contrast")
    assert "wrong, and my key is [secret]" in asked
    assert "sk-abc" not in asked
