"""A database that somebody moves, locks, damages or leaves behind while runs use it."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support import world
from support.killed import heard_hangups
from support.server import Server
from typer.testing import CliRunner

from experience_db import Store
from tfgrpo.cli.app import app


class Held:
    """A server whose answers wait, from the given call on, until they are let go."""

    def __init__(self, free: int) -> None:
        self.free, self.asked = free, 0
        self.arrived, self.go = threading.Event(), threading.Event()

    def __call__(self, body):
        """Answer a call."""
        self.asked += 1
        if self.asked > self.free:
            self.arrived.set()
            self.go.wait(60)
        return world.reply(body)


@contextmanager
def learning(folder: Path, server: Server, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Start `learn` in a process of its own; the database is folder/x.db."""
    world.write(folder / "problems.jsonl", 4)
    world.write(folder / "heldout.jsonl", 4, seed=5)
    command = [
        sys.executable, "-m", "tfgrpo.cli.app", "learn", str(folder / "problems.jsonl"), "--heldout",
        str(folder / "heldout.jsonl"), "--db", str(folder / "x.db"), "--model", "openai/test-model", "--base-url",
        server.url, "--grader", "exact", "--epochs", "1", "--group-size", "2", *more,
    ]  # fmt: skip
    with heard_hangups():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit status and what was said."""
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, err


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_database_that_is_taken_away_ends_the_run(tmp_path: Path, how: str):
    """Exit 1 with a sentence, and what was answered until then is kept beside it: the next run pays nothing twice."""
    reply = Held(6)
    with Server(reply=reply) as server:
        with learning(tmp_path, server) as process:
            assert reply.arrived.wait(60)
            db = tmp_path / "x.db"
            db.unlink() if how == "deleted" else db.rename(tmp_path / "y.db")
            reply.go.set()
            status, said = ended(process)
        assert status == 1, said
        assert "moved, deleted or replaced while it was in use" in said
        (kept,) = tmp_path.glob("x.db-kept-*")
        with Store.open(kept, readonly=True) as store:
            assert store.verify() == ()
            assert sum(usage.calls for usage in store.usage().values()) >= 1


@pytest.mark.slow
def test_a_lock_that_is_held_long_is_waited_for_and_answers_are_kept(tmp_path: Path):
    """Calls go on while another process writes, and what they answered is in the journal afterwards."""
    reply = Held(4)
    with Server(reply=reply) as server:
        with learning(tmp_path, server) as process:
            assert reply.arrived.wait(60)
            with closing(sqlite3.connect(tmp_path / "x.db", timeout=30)) as other:
                other.execute("BEGIN IMMEDIATE")
                reply.go.set()
                time.sleep(1.0)
                assert process.poll() is None
                other.execute("COMMIT")
            status, said = ended(process)
            assert status == 0, said
        with Store.open(tmp_path / "x.db", readonly=True) as store:
            assert store.verify() == ()
        once = server.chats
        with learning(tmp_path, server) as process:
            assert ended(process)[0] == 0
        assert server.chats == once


@pytest.mark.slow
def test_a_lock_that_never_ends_is_told_after_the_time_that_was_set(tmp_path: Path):
    """One sentence that names the setting."""
    reply = Held(4)
    with Server(reply=reply) as server, learning(tmp_path, server, "-s", "engine.lock_wait=0.3") as process:
        assert reply.arrived.wait(60)
        with closing(sqlite3.connect(tmp_path / "x.db", timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            reply.go.set()
            status, said = ended(process)
    assert status == 2, said
    assert "engine.lock_wait=SECONDS" in said


@pytest.mark.parametrize("sign", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_ends_a_run_like_a_request_to_end(tmp_path: Path, sign: signal.Signals):
    """Calls in flight end, the run is recorded as interrupted, exit 130, and the same command goes on."""
    reply = Held(4)
    with Server(reply=reply) as server:
        with learning(tmp_path, server) as process:
            assert reply.arrived.wait(60)
            process.send_signal(sign)
            time.sleep(0.2)
            reply.go.set()
            status, said = ended(process)
        assert status == 130, said
        with Store.open(tmp_path / "x.db", readonly=True) as store:
            assert store.runs()[0].status == "interrupted"


def test_a_run_whose_process_is_gone_is_not_called_running(tmp_path: Path):
    """While it lives it runs; after kill -9 it has died, in words and in JSON."""
    reply = Held(4)

    def status() -> str:
        told = CliRunner().invoke(app, ["runs", "list", "--db", str(tmp_path / "x.db"), "--json"])
        return json.loads(told.stdout)["runs"][0]["status"]

    with Server(reply=reply) as server, learning(tmp_path, server) as process:
        assert reply.arrived.wait(60)
        assert status() == "running"
        process.kill()
        process.wait(30)
        assert status() == "died"
        reply.go.set()
    assert "  died  " in CliRunner().invoke(app, ["runs", "list", "--db", str(tmp_path / "x.db")]).stdout


def test_a_damaged_database_is_found_before_anything_is_spent(tmp_path: Path):
    """`learn` refuses it, `db check` tells what is wrong, `db backup` copies a whole one."""
    db = tmp_path / "x.db"
    runner = CliRunner()
    with Store.open(db) as store:
        store.create_library("default")
    copied = runner.invoke(app, ["db", "backup", str(tmp_path / "copy.db"), "--db", str(db), "--json"])
    assert json.loads(copied.stdout)["bytes"] == (tmp_path / "copy.db").stat().st_size
    assert runner.invoke(app, ["db", "check", "--db", str(db)]).stdout == f"{db} is whole: 1 libraries, 0 runs\n"
    assert runner.invoke(app, ["db", "vacuum", "--db", str(db)]).exit_code == 0
    with closing(sqlite3.connect(db)) as other:
        other.executescript("INSERT INTO lesson_uses VALUES ('default', 1, 'nobody', 0, 1)")
    with Server(reply=world.reply) as server, learning(tmp_path, server) as process:
        status, said = ended(process)
        assert (status, server.chats) == (2, 0)
        assert "tfgrpo db check" in said
    found = runner.invoke(app, ["db", "check", "--db", str(db), "--json"])
    assert found.exit_code == 1
    assert "names a row of runs that is not there" in json.loads(found.stdout)["faults"][0]
    assert runner.invoke(app, ["db", "check", "--db", str(tmp_path / "none.db")]).exit_code == 2
    assert not (tmp_path / "none.db").exists()
