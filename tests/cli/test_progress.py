"""What a person sees while a run goes: lines in a log, a live display on a terminal, and Ctrl-C that loses nothing."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import world
from support.server import Raw, Server

from experience_db import Journal, Store
from tfgrpo.backends import Ledger, Pace
from tfgrpo.backends.metered import Tally
from tfgrpo.cli.progress_lines import duration
from tfgrpo.learning.forecast import Plan
from tfgrpo.learning.progress import Progress
from tfgrpo.types import Group, GroupStatus, Problem, Usage

TFGRPO = (sys.executable, "-m", "tfgrpo.cli.app")
KEPT = Group(Problem("p", "?"), (), (), (), (), GroupStatus.KEPT, 0)


@pytest.fixture
def ask(tmp_path: Path, server: Server) -> list[str]:
    """The arguments of a small run against the server."""
    server.reply = world.reply
    world.write(tmp_path / "problems.jsonl", 8)
    return [
        *TFGRPO, "learn", str(tmp_path / "problems.jsonl"), "--db", str(tmp_path / "x.db"), "--grader", "exact",
        "--model", "openai/m", "--base-url", server.url, "--heldout", "0", "--gate", "open", "--epochs", "1",
        "--group-size", "3", "--batch-size", "4", "--concurrency", "2",
    ]  # fmt: skip


def on_terminal(command: list[str], **variables: str) -> str:
    """Run a command with stderr on a terminal of 100 columns; return what it wrote there."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm", **variables}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=follower, env=environment)
    os.close(follower)
    written = b""
    try:
        while chunk := os.read(leader, 65536):
            written += chunk
    except OSError:
        pass  # The other end is closed.
    os.close(leader)
    assert process.wait(60) == 0, written
    return written.decode()


def test_a_log_gets_plain_lines_with_an_estimate(ask):
    """Without a terminal: the start, an estimate after the first groups, each step; nothing that moves."""
    told = subprocess.run(ask, capture_output=True, text=True, check=True).stderr
    assert "\x1b" not in told
    assert re.search(r"estimate: about \d+ calls in all.*; [\d,]+ prompt and [\d,]+ completion", told)
    assert re.search(r"price unknown; \d+ s left", told)
    assert told.count("reward") == 2


@pytest.mark.slow
def test_quiet_says_nothing(ask):
    """With --quiet stderr stays empty."""
    assert subprocess.run([*ask, "--quiet"], capture_output=True, text=True, check=True).stderr == ""


@pytest.mark.parametrize("variables", [{}, pytest.param({"NO_COLOR": "1"}, marks=pytest.mark.slow)], ids=str)
def test_a_terminal_gets_a_live_display(ask, server, variables):
    """Problems, groups, calls, tokens, time and the newest lesson are in view; in no colour with NO_COLOR."""
    server.delay = 0.1
    told = on_terminal(ask, **variables)
    for name in ("problems", "groups", "calls", "tokens", "time"):
        assert name in told
    assert re.search(r"\d+ answered, [12] in flight of 2 allowed", told)
    assert "new lesson" in told
    assert world.GOOD[:50] in told
    assert "step 2 (epoch 1)" in told
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", told)


def drawn(written: str, columns: int) -> list[str]:
    """The lines that a terminal shows, hard breaks at its last column included."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "\n")
    lines = [line.rstrip() for line in plain.split("\n")]
    return [line[i : i + columns] for line in lines for i in range(0, max(1, len(line)), columns)]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 100])
def test_no_number_is_broken_at_the_edge(ask, server, columns):
    """The display and the lines above it name phase, reward, budget and time, and break at blanks alone."""
    server.delay = 0.15
    told = on_terminal([*ask, "--heldout", "0.25", "--budget-calls", "123456"], COLUMNS=str(columns))
    shown = drawn(told, columns)
    assert max(map(len, shown)) <= columns
    full = {line for line in shown if len(line) == columns}
    # A line that fills the width was not cut within a word or a number: it is whole in what was written.
    written = set(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told).replace("\r", "\n").split("\n"))
    assert full <= {line.rstrip() for line in written}
    text = "\n".join(shown)
    for phase in ("measure", "rollouts", "lessons", "held-out"):
        assert re.search(rf"phase +[a-z+ -]*{phase}", text), phase
    assert re.search(r"reward +0\.\d{3} \[#*\.*\] \(held-out", " ".join(text.split()).replace("before: ", ""))
    assert re.search(r"budget +[\d,]+ of 123,456 calls \(0%\)", text)
    assert re.search(r"time +\d+ s, about (\d+ s|unknown) left", text)


def interrupted(ask: list[str], server: Server, times: int) -> tuple[int, str, int]:
    """Interrupt a run while two calls hang at the server; returns exit code, stderr and calls that had arrived."""
    arrived, go_on = threading.Event(), threading.Event()

    def reply(body):
        if server.chats >= 4:
            arrived.set()
            go_on.wait(30)
        return world.reply(body)

    server.reply = reply
    with subprocess.Popen(ask, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert arrived.wait(60)
        said = ""
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            while times and "interrupt again" not in said:
                said += process.stderr.readline()
        count = server.chats
        if times > 1:
            process.wait(30)
        go_on.set()
        out, err = process.communicate(timeout=60)
    assert out == ""
    return process.returncode, said + err, count


@pytest.mark.slow
def test_the_first_interrupt_lets_calls_in_flight_end(ask, server, tmp_path):
    """Their replies are recorded, no other call goes out, the exit code is 130, and the same command goes on."""
    code, told, count = interrupted(ask, server, 1)
    assert code == 130
    assert "calls in flight may end; interrupt again to stop now" in told
    assert told.splitlines()[-1] == "interrupted; the same command goes on from here"
    with Store.open(tmp_path / "x.db") as store:
        assert [run.status for run in store.runs()] == ["interrupted"]
        recorded = len(Journal(store))
    asked = sum(body.get("n", 1) for body in server.bodies)
    assert recorded == asked
    assert server.chats <= count + 1
    assert subprocess.run(ask, capture_output=True, check=False).returncode == 0
    assert sum(body.get("n", 1) for body in server.bodies[server.chats :]) == 0


def test_an_interrupt_does_not_wait_for_another_try(ask, server, tmp_path):
    """Calls that were told to come back in five minutes give up at once, and the same command goes on."""
    arrived = threading.Event()

    def busy(body):
        arrived.set()
        return Raw(429, "{}", {"Retry-After": "300"})

    server.reply = busy
    with subprocess.Popen([*ask, "-s", "engine.attempts=9"], stderr=subprocess.PIPE, text=True) as process:
        assert arrived.wait(60)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert told.splitlines()[-1] == "interrupted; the same command goes on from here"
    server.reply = world.reply
    assert subprocess.run(ask, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_the_second_interrupt_stops_now(ask, server, tmp_path):
    """Without waiting for the calls in flight; the database is whole and the same command goes on."""
    code, told, _ = interrupted(ask, server, 2)
    assert code == 130
    assert "Traceback" not in told
    with Store.open(tmp_path / "x.db") as store:
        assert store.verify() == ()
        assert [run.status for run in store.runs()] == ["interrupted"]
    assert subprocess.run(ask, capture_output=True, check=False).returncode == 0


def test_an_estimate_scales_what_was_seen():
    """Calls of problems grow with the groups, the held-out ones are made twice, and nothing gets less than it was."""
    tally = {
        "rollout": Tally(10, 0, Usage(100, 10, 0, 1.0)),
        "evaluate": Tally(5, 0, Usage(50, 5, 0, 0.5)),
        "gate": Tally(8, 0, Usage(80, 8, 0, 0.0)),
    }
    time = iter([0.0, 10.0])
    watch = Progress(Ledger(), (Pace(4),), tally, clock=lambda: next(time))
    plan = Plan(20, 5, 4, 5, consolidates=False, gated=False)
    assert watch.estimate(plan) is None
    watch.count_group(KEPT)
    watch.count_group(KEPT)
    ahead = watch.estimate(plan)
    assert ahead is not None
    assert (ahead.low, ahead.calls, ahead.high) == (100 + 10 + 8 + 4, 100 + 10 + 8 + 12, 100 + 10 + 8 + 20)
    assert ahead.usage.completion_tokens >= 100 + 10 + 8
    assert ahead.seconds == pytest.approx((130 - 23) / 23 * 10)


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")])
def test_durations_are_said_as_people_do(seconds, words):
    """Seconds, then minutes, then hours."""
    assert duration(seconds) == words
