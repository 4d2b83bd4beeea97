"""Kill -9 anywhere, then the same command: no finished call is sent again, and the end is the same."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import world
from support.server import Server

from experience_db import Journal, Store
from experience_db.texts import STANDS

CONCURRENCY = 8
GROUP = 3
TIMES = {"created", "started", "finished", "seconds", "applied_at"}
STAGES: Mapping[str, Sequence[tuple[str, int]]] = {
    "start": [("migrations.py:migrate", 1), ("libraries.py:create_library", 1), ("runs.py:start_run", 1)],
    "rollout": [
        ("backends/openai.py:_where", 1),
        ("backends/wire.py:reply_of", 5),
        ("backends/journaled.py:recordable", 2),
        ("journal.py:_put", 9),
        ("backends/openai.py:_where", 13),
        ("backends/wire.py:reply_of", 3),
    ],
    "grade": [("graders/base.py:judged", 20), ("graders/exact.py:_accepted", 15), ("rollout.py:make_group", 3)],
    "summarize": [
        ("summarize.py:contrast_variables", 1),
        ("summarize.py:contrast_variables", 3),
        ("replies.py:parse_edits", 1),
        ("summarize.py:_checked", 3),
    ],
    "consolidate": [
        ("edits.py:join_duplicates", 1),
        ("consolidate.py:_left_out", 1),
        ("consolidate.py:within_budget", 1),
    ],
    "gate": [
        ("gates/touch.py:touched", 1),
        ("gates/base.py:observation", 9),
        ("journal.py:_put", 7),
        ("backends/wire.py:reply_of", 6),
        ("gates/sequential.py:add", 1),
        ("gates/verdicts.py:gate_evidence", 1),
    ],
    "commit": [
        ("record_step.py:record_group", 1),
        ("groups.py:record_group", 4),
        ("libraries.py:_advance", 1),
        ("libraries.py:_move_lessons", 1),
        ("record_step.py:_record_evidence", 1),
        ("runs.py:record_uses", 1),
        ("runs.py:record_step", 1),
        ("groups.py:record_group", 2),
        ("record_step.py:_record_evidence", 1),
        ("runs.py:finish_run", 1),
    ],
}
"""Where to kill, by stage: the N-th call of a function since the program started."""


AHEAD = [
    ("backends/wire.py:reply_of", 20),
    ("graders/exact.py:_accepted", 20),
    ("replies.py:parse_edits", 1),
    ("consolidate.py:within_budget", 1),
    ("journal.py:_put", 5),
    ("gates/base.py:observation", 3),
    ("backends/wire.py:reply_of", 6),
    ("gates/sequential.py:add", 1),
    ("record_step.py:record_group", 2),
    ("libraries.py:_advance", 1),
    ("overlap.py:lesson_uses", 1),
    ("overlap.py:lesson_uses", 1),
    ("runs.py:record_step", 2),
    ("runs.py:record_step", 1),
    ("journal.py:_put", 3),
    ("runs.py:finish_run", 1),
]
"""The same for a run whose next batch is under way while one is judged."""


def command(folder: Path, db: str, url: str) -> list[str]:
    """Return the arguments of a small run in which a lesson passes the gate."""
    return [
        "learn", str(folder / "problems.jsonl"), "--heldout", str(folder / "heldout.jsonl"),
        "--model", "openai/test-model", "--base-url", url, "--grader", "exact", "--db", str(folder / db),
        "--epochs", "1", "--batch-size", "6", "--group-size", str(GROUP), "--concurrency", str(CONCURRENCY), "--json",
        "-s", "gate.options={look=8, nmax=16}",
    ]  # fmt: skip


def run(arguments: Sequence[str], kill: tuple[str, int] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, or to where it is killed."""
    tests = str(Path(__file__).parents[1])
    module = ["-m", "tfgrpo.cli.app"] if kill is None else ["-m", "support.killed", kill[0], str(kill[1])]
    environment = {**os.environ, "PYTHONPATH": tests}
    return subprocess.run(
        [sys.executable, *module, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=100
    )


def tables(db: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every table without times, in an order of its own; calls and texts, which come in any order, sorted."""
    connection = sqlite3.connect(db)
    marks = dict(connection.execute("SELECT id, hex(mark) FROM texts"))
    names = [r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    found = {}
    for name in names:
        rows = connection.execute(f"SELECT * FROM {name}")
        columns = [c[0] for c in rows.description]
        kept = [i for i, c in enumerate(columns) if c not in TIMES]
        if name == "texts":
            kept = [i for i in kept if columns[i] != "id"]
        found[name] = [
            tuple(_timeless(row[i]) if columns[i] == "summary" else _named(row[i], marks) for i in kept) for row in rows
        ]
        if name in {"calls", "texts", "_sqlite_migrations"}:
            found[name].sort(key=repr)
    connection.close()
    return found


def _named(value: Any, marks: Mapping[int, str]) -> Any:
    """Put the mark of a text where its number stands, which says when the text came."""
    return (
        STANDS.sub(lambda match: match[1][: match[1].startswith("-")] + marks[abs(int(match[1]))], value)
        if isinstance(value, str)
        else value
    )


def _timeless(value: str) -> dict[str, Any]:
    """Take durations out of a JSON object."""
    return {k: v for k, v in json.loads(value).items() if k not in TIMES}


def asked(body: Mapping[str, Any]) -> list[str]:
    """Return the questions of a call, one for each choice: its messages and the choice's seed."""
    first = body.get("seed")
    seeds = [None] if first is None else range(first, first + body.get("n", 1))
    return [json.dumps([body["messages"], seed]) for seed in seeds]


def finished(db: Path) -> set[str]:
    """Return the questions whose answers are in the journal."""
    if not db.exists():
        return set()
    with Store.open(db) as store:
        requests = [call.request for call in Journal(store).calls()]
    return {q for r in requests for q in asked({"messages": r["messages"], "seed": r["sampling"]["seed"]})}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a dataset and held-out problems."""
    world.write(tmp_path / "problems.jsonl", 12)
    world.write(tmp_path / "heldout.jsonl", 16, seed=5)
    return tmp_path


def kill_along(folder: Path, kills: Sequence[tuple[str, int]], *options: str) -> None:
    """Kill one run at each of `kills` in turn, let it end, and compare it with a run that nothing disturbed."""
    with Server(reply=world.reply) as server:
        whole = run([*command(folder, "whole.db", server.url), *options])
        assert whole.returncode == 0, whole.stderr
        fresh = Counter(q for body in server.bodies for q in asked(body))
        assert max(fresh.values()) == 1
        sent: list[str] = []
        for kill in [*kills, None]:
            done = finished(folder / "killed.db")
            server.bodies.clear()
            ended = run([*command(folder, "killed.db", server.url), *options], kill)
            assert ended.returncode == (0 if kill is None else -signal.SIGKILL), (kill, ended.stderr[-2000:])
            again = [q for body in server.bodies for q in asked(body)]
            assert not done & set(again), f"a finished call was sent again after {kill}"
            sent += again
    assert set(sent) == set(fresh)
    assert len(sent) <= len(fresh) + len(kills) * CONCURRENCY * GROUP
    assert tables(folder / "killed.db") == tables(folder / "whole.db")
    before, after = (json.loads(r.stdout) for r in (whole, ended))
    assert before["version"] == after["version"] > 0
    assert before["heldout"] == after["heldout"]


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stood(folder):
    """Killed in a rollout and in a commit, the run ends like one that nothing disturbed."""
    kill_along(folder, [("journal.py:_put", 20), ("record_step.py:_record_evidence", 1)])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_in_every_stage_goes_on_where_it_stood(folder):
    """Killed more than 30 times, at several points of each stage, the run still ends the same."""
    kills = [kill for stage in STAGES.values() for kill in stage]
    assert len(kills) >= 30
    kill_along(folder, kills)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_one_batch_ahead_killed_in_every_stage_goes_on_where_it_stood(folder):
    """The same while each batch runs beside the judging of the one before: every batch sees the version it saw."""
    kill_along(folder, AHEAD, "-s", "engine.overlap=1", "-s", "batch_size=4")
