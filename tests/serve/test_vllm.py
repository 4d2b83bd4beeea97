"""vLLM as a child: what it is told, how it is waited for, started again, ended; the engine tests run it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import fake_vllm
from tfgrpo.errors import EndpointError, UsageError
from tfgrpo.serve.vllm import Plan, arguments, keep_up, last_line, start

FAKE = [sys.executable, str(Path(fake_vllm.__file__))]


def silent(*_: object) -> None:
    """Say nothing."""


def starts(folder: Path) -> list[dict]:
    """Return what each server that was started has written."""
    return [json.loads(line) for line in (folder / "starts.jsonl").read_text().splitlines()]


def alive(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    """Wait for a process to end."""
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_flags_suit_the_work():
    """Prefixes are cached and told, the name is the last part of the path, and what the user adds comes last."""
    plan = Plan("/models/Qwen3-8B", slots=64, context=8192, tool_parser="hermes", more=("--seed", "3"))
    told = arguments(plan, 8001)
    assert told[:3] == ["/models/Qwen3-8B", "--served-model-name", "Qwen3-8B"]
    for words in ("--port 8001", "--enable-prefix-caching", "--max-num-seqs 64", "--max-model-len 8192"):
        assert words in " ".join(told)
    assert "--enable-auto-tool-choice --tool-call-parser hermes" in " ".join(told)
    assert told[-2:] == ["--seed", "3"]
    assert "--max-model-len" not in arguments(Plan("m"), 1)


def test_a_server_is_waited_for_and_ended(tmp_path):
    """The wait shows the server's own words; afterwards no process is left."""
    shown = []
    server = start(Plan("/m/tiny"), tmp_path / "log", lambda *said: shown.append(said), [*FAKE, str(tmp_path), "1.2"])
    assert server.url.startswith("http://127.0.0.1:")
    assert any(said == "Loading weights: 50%" for _, said in shown)
    pid = starts(tmp_path)[0]["pid"]
    assert alive(pid)
    server.stop()
    assert gone(pid)


def test_one_that_ends_early_is_told_with_its_last_words(tmp_path):
    """The error names why and where the log is."""
    (tmp_path / "crash").touch()
    with pytest.raises(EndpointError, match="ended before it was healthy: RuntimeError: CUDA error: out of memory"):
        start(Plan("m"), tmp_path / "log", silent, [*FAKE, str(tmp_path), "60"])


def test_one_that_takes_too_long_is_ended(tmp_path):
    """Patience has an end, and the server with it."""
    with pytest.raises(EndpointError, match="not healthy after 1 s"):
        start(Plan("m", patience=1), tmp_path / "log", silent, [*FAKE, str(tmp_path), "60"])
    assert gone(starts(tmp_path)[0]["pid"])


def test_a_port_that_is_taken_is_told(tmp_path):
    """Before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}"):
            start(Plan("m", port=port), tmp_path / "log", silent, [*FAKE, str(tmp_path), "0"])
    assert not (tmp_path / "starts.jsonl").exists()


@pytest.mark.slow
def test_a_crash_is_mended_within_limits(tmp_path):
    """Each new server has the same port; one crash more than allowed ends it with the reason."""
    crashes, urls = [], []

    def ready(server):
        urls.append(server.url)
        (tmp_path / "crash").touch()

    with pytest.raises(EndpointError, match=r"status 7: RuntimeError.*started again 2 times"):
        keep_up(Plan("m", restarts=2), tmp_path / "log", ready, silent, crashes.append, [*FAKE, str(tmp_path), "0"])
    assert len(urls) == 3
    assert len(set(urls)) == 1
    assert [words.rpartition("(")[2] for words in crashes] == ["1 more try)", "0 more tries)"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_the_command(tmp_path, number):
    """However the command ends, its server does not outlive it; the command says what to export."""
    own = tmp_path / "vllm"
    own.write_text(f'#!/bin/sh\nexec {" ".join(FAKE)} {tmp_path} 0 "$@"\n')
    own.chmod(0o755)
    command = subprocess.Popen(
        [sys.executable, "-m", "tfgrpo.cli", "models", "serve", "/m/qwen", "--port", "0", "--engine", "vllm",
         "--log", str(tmp_path / "log")],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with command:
        said = [command.stdout.readline() for _ in range(3)]
        assert said[0].startswith("qwen is served at http://127.0.0.1:")
        assert said[1].startswith("  export OPENAI_BASE_URL=http://127.0.0.1:")
        pid = starts(tmp_path)[0]["pid"]
        command.send_signal(number)
        assert command.wait(30) in (130, -number)
        assert gone(pid)


def test_the_last_line_is_the_last_that_says_something(tmp_path):
    """Blank lines and what was there before do not count."""
    log = tmp_path / "log"
    log.write_text("old words\n")
    assert last_line(log, log.stat().st_size) == ""
    log.write_text("old words\nnew\n\n")
    assert last_line(log, 10) == "new"
