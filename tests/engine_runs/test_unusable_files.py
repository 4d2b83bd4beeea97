"""A database that cannot be used, or that somebody else writes: one sentence, exit 2, and nothing overwritten."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from support import world
from support.rights import bound_by_rights
from support.server import Server
from typer.testing import CliRunner

from experience_db import Edit, Op, Store
from tfgrpo.cli.app import app


def learn(folder: Path, db: Path, url: str = "http://127.0.0.1:9/v1") -> list[str]:
    """Return the arguments of a run."""
    return [
        "learn", str(folder / "problems.jsonl"), "--heldout", str(folder / "heldout.jsonl"), "--db", str(db),
        "--model", "openai/test-model", "--base-url", url, "--grader", "exact", "--epochs", "1", "--group-size", "2",
    ]  # fmt: skip


def refused(arguments: list[str]) -> str:
    """Run the command in this process; return its one line of complaint."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in result.output
    return line


@pytest.fixture
def folder() -> Path:
    """Return a folder that every user may enter, with datasets and a database that holds a lesson."""
    made = Path(tempfile.mkdtemp(prefix="tfgrpo-test-"))
    made.chmod(0o755)
    world.write(made / "problems.jsonl", 4)
    world.write(made / "heldout.jsonl", 4, seed=5)
    with Store.open(made / "x.db") as store:
        store.commit("default", [Edit(Op.ADD, world.GOOD)], parent=store.create_library("default").version)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


def test_a_truncated_database_is_left_as_it_is(folder):
    """Half a file is reported as damaged and keeps its bytes."""
    db = folder / "x.db"
    half = db.read_bytes()[: db.stat().st_size // 2]
    db.write_bytes(half)
    assert "is no database or is damaged" in refused(learn(folder, db))
    assert db.read_bytes() == half


def test_a_newer_schema_is_left_as_it_is(folder):
    """A file of a later release is named as such and keeps its bytes."""
    db = folder / "x.db"
    raw = sqlite3.connect(db)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    before = db.read_bytes()
    assert "has schema 99" in refused(learn(folder, db))
    assert db.read_bytes() == before


def test_a_read_only_database_says_so(folder):
    """Without the right to write, learning is refused before any call is made."""
    db = folder / "x.db"
    db.chmod(0o444)
    with bound_by_rights():
        assert "cannot be written" in refused(learn(folder, db))


def test_a_full_disk_ends_the_run_with_a_whole_database(folder):
    """When the file cannot grow, the run says so, and the same command goes on once there is room."""
    db = folder / "x.db"
    room = 95_000  # It ends among the calls: 80,000 and 110,000 do, too.

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    with Server(reply=world.reply) as server:
        arguments = [sys.executable, "-m", "tfgrpo.cli.app", *learn(folder, db, server.url)]
        ended = subprocess.run(
            arguments, preexec_fn=small_files, capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.returncode == 2, ended.stderr
        assert "run the same command again" in ended.stderr
        assert "Traceback" not in ended.stderr
        before = server.chats
        with Store.open(db) as store:
            assert store.verify() == ()
        again = CliRunner().invoke(app, learn(folder, db, server.url))
        assert again.exit_code == 0, again.output
        assert 0 < server.chats - before < before + server.chats


@pytest.mark.slow
def test_a_second_writer_of_a_library_is_refused(folder):
    """While one run teaches a library, another run and `lessons add` are told who holds it; readers work."""
    db = folder / "x.db"
    arrived, go = threading.Event(), threading.Event()

    def slow(body):
        arrived.set()
        go.wait(30)
        return world.reply(body)

    with Server(reply=slow) as server:
        first = subprocess.Popen(
            [sys.executable, "-m", "tfgrpo.cli.app", *learn(folder, db, server.url)], stderr=subprocess.PIPE, text=True
        )
        try:
            assert arrived.wait(30)
            held = f"(process {first.pid}) is writing library 'default'"
            assert held in refused([*learn(folder, db, server.url), "--run", "mine"])
            assert held in refused(["lessons", "add", "Be careful.", "--db", str(db)])
            assert world.GOOD in CliRunner().invoke(app, ["lessons", "list", "--db", str(db)]).stdout
        finally:
            go.set()
            first.communicate(timeout=60)
    assert first.returncode == 0
