"""The command as a process of its own: interrupted, talked to over HTTP, and clean on stdout."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.killed import heard_hangups
from support.script import rows, solve, write
from support.server import Server

from tfgrpo.types import Request

WORLD = Path(__file__).parents[2] / "examples" / "tiny_model" / "worlds.py"
TFGRPO = (sys.executable, "-m", "tfgrpo.cli.app")


def run(folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` and wait."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "TFGRPO_"))} | variables
    command = [*TFGRPO, *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def answer(body: dict) -> str:
    """Answer a chat body as the scripted model does; contrasts propose nothing."""
    if "seed" not in body:
        return '{"edits": []}'
    request = Request("rollout", "m", tuple(body["messages"]), attempt=body["seed"] % 2)
    return str(solve(request))


@contextmanager
def stopped_at(server: Server, chats: int, folder: Path, ask: Sequence[str]) -> Iterator[tuple[Any, threading.Event]]:
    """Run a command up to its `chats`th call, which is answered once the event is set; the process is ended after."""
    reached, go_on = threading.Event(), threading.Event()

    def reply(body: dict) -> str:
        if server.chats >= chats:
            reached.set()
            go_on.wait(20)
        return answer(body)

    server.reply = reply
    with heard_hangups():
        process = subprocess.Popen(
            [*TFGRPO, *ask], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "OPENAI_API_KEY": "none"},
        )  # fmt: skip
    try:
        assert reached.wait(60)
        yield process, go_on
    finally:
        go_on.set()
        process.kill()
        process.wait()


@pytest.mark.slow
def test_an_interrupted_command_ends_with_130_and_goes_on(tmp_path: Path, server: Server):
    """SIGINT in the middle: exit code 130, a hint, finished calls kept; the same command makes the rest only."""
    write(tmp_path / "learn.jsonl", rows(6))
    ask = [
        "learn", "learn.jsonl", "--grader", "exact", "--model", "openai/test-model", "--base-url", server.url,
        "--heldout", "0", "--gate", "open", "--epochs", "1", "--concurrency", "1", "--json",
    ]  # fmt: skip
    with stopped_at(server, 3, tmp_path, ask) as (process, go_on):
        process.send_signal(signal.SIGINT)
        # The call in flight may end before the command does.
        go_on.set()
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted; the same command goes on from here"
    told = json.loads(run(tmp_path, *ask, OPENAI_API_KEY="none").stdout)
    assert told["rollouts"] == 30
    assert told["calls"]["rollout"]["replayed"] >= 5
    assert told["calls"]["rollout"]["new"] < 30


@pytest.fixture
def tiny_url() -> Iterator[str]:
    """The address of the embedded model behind HTTP, in a process that is ended afterwards."""
    command = [*TFGRPO, "models", "serve", "tiny", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/v1", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.send_signal(signal.SIGINT)
        process.wait(20)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGHUP, signal.SIGTERM])
def test_a_measurement_that_is_asked_to_end_keeps_what_is_under_way(tmp_path: Path, server: Server, sign: int):
    """What was sent is paid for: its answers are waited for and kept, and the same command asks the rest alone."""
    write(tmp_path / "rows.jsonl", rows(6))
    ask = [
        "eval", "rows.jsonl", "--grader", "exact", "--model", "openai/test-model", "--base-url", server.url,
        "--concurrency", "2", "--json",
    ]  # fmt: skip
    with stopped_at(server, 4, tmp_path, ask) as (process, go_on):
        process.send_signal(sign)
        assert "calls in flight may end" in process.stderr.readline()
        go_on.set()
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, ""), err
    before = server.chats
    assert before < 6
    told = json.loads(run(tmp_path, *ask, OPENAI_API_KEY="none").stdout)
    assert (server.chats, told["failures"]) == (6, {})


@pytest.mark.slow
def test_learning_over_http_equals_learning_in_the_process(tmp_path: Path, tiny_url: str):
    """The embedded model gives the same rewards, lessons and version behind a real endpoint as inside."""
    world = [sys.executable, str(WORLD), "--seed", "7", "--problems", "12", "--heldout", "10", "-o", str(tmp_path)]
    subprocess.run(world, check=True, capture_output=True)
    ask = [
        "learn", "problems.jsonl", "--heldout", "heldout.jsonl", "--grader", "exact", "--epochs", 1, "--json",
        "--gate", "open", "-s", "prompts=tiny", "-s", "evaluation.temperature=0.3", "-s", "evaluation.top_p=0.95",
    ]  # fmt: skip
    inside = run(tmp_path, *ask, "--model", "tiny", "--db", "a.db")
    outside = run(tmp_path, *ask, "--model", "openai/tiny", "--base-url", tiny_url, "--db", "b.db")
    assert (inside.returncode, outside.returncode) == (0, 0), inside.stderr + outside.stderr
    told, same = json.loads(outside.stdout), json.loads(inside.stdout)
    for part in ("reward", "groups", "edits", "lessons", "heldout", "version"):
        assert told[part] == same[part], part
    assert told["rollouts"] == 60
    assert sum(told["groups"].values()) == 12


def test_standard_output_holds_the_object_and_nothing_else(tmp_path: Path):
    """No banner, no warning, no progress gets between a script and its JSON; nothing is escaped for a terminal."""
    write(tmp_path / "g.jsonl", [{"answer": "½", "response": "½"}])
    result = run(tmp_path, "grade", "g.jsonl", "--grader", "exact", "--json", NO_COLOR="1", PYTHONWARNINGS="default")
    assert json.loads(result.stdout) == {"rows": 1, "graded": 1, "correct": 1, "mean": 1.0, "failures": 0}
    assert "\x1b" not in result.stdout + result.stderr


def test_the_installed_command_is_the_same(tmp_path: Path):
    """`tfgrpo` on the path runs the same application."""
    command = Path(sys.executable).parent / "tfgrpo"
    if not command.exists():
        pytest.skip("the package is not installed with its script")
    shown = subprocess.run([command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("tfgrpo ")
