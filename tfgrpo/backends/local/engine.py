"""One engine per file of weights and user: the first who needs it starts it, others join, the last one ends it."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tfgrpo.backends.local.weights import KNOWN, Weights, verify_weights
from tfgrpo.config.engine import LocalConfig
from tfgrpo.errors import EndpointError, UsageError

CHILD = Path(__file__).with_name("child.py")
PATIENCE = 180.0
"""Seconds that weights may take to load."""


@dataclass(slots=True)
class Engine:
    """A running engine that this process holds."""

    url: str
    """Where its API begins, ending in `/v1`."""
    joined: bool
    """Whether somebody else started it."""
    pid: int
    users: IO[bytes]
    """The file whose shared lock keeps it alive."""
    process: subprocess.Popen[bytes] | None = None

    def gone(self) -> bool:
        """Say whether its process has ended, as one does that was killed or that found no memory."""
        if self.process is not None:
            return self.process.poll() is not None
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            # The number of a process that has ended may be another user's by now.
            return True
        return False

    def release(self) -> None:
        """Stop holding it: it ends now if nobody else holds it, and with the last of the others if somebody does."""
        if self.users.closed:
            return
        try:
            # The whole lock can be had by the last holder alone.
            fcntl.flock(self.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if self.process is not None:
                _LEFT.append(self.process)
        else:
            self._end()
        # Said aloud: a forked child may hold the same lock without knowing.
        fcntl.flock(self.users, fcntl.LOCK_UN)
        self.users.close()

    def _end(self) -> None:
        """End the child, which keeps nothing that could be lost; one of another process finds out by itself."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()


_LEFT: list[subprocess.Popen[bytes]] = []
"""Engines begun here that others still use; they end with the last of those."""


@atexit.register
def _let_go() -> None:
    """Ask after engines that others used; one that they still use is left to them, and no warning says that it runs."""
    for process in _LEFT:
        if process.poll() is None:
            process.returncode = 0


def hold(weights: Weights, config: LocalConfig = LocalConfig(), port: int = 0, child: Path = CHILD) -> Engine:
    """Start the engine for these weights, or join the one that is up, and hold it until `release`.

    Args:
        weights: what it shall run.
        config: slots, context and threads; engines that differ in them are different engines.
        port: where it shall listen; 0 takes a free one, or that of the engine that is up.
        child: the program that is started, which takes the arguments of `child.py`.

    Raises:
        UsageError: the weights are not what they should be, or the engine that is up listens at another port.
        EndpointError: it did not come up.
    """
    folder = _folder(weights, config)
    with _alone(folder / "start.lock"):
        users = (folder / "users.lock").open("wb")
        fcntl.flock(users, fcntl.LOCK_SH)
        state = _state(folder)
        if state is not None and _healthy(state["url"]):
            if port not in (0, int(state["url"].rpartition(":")[2])):
                users.close()
                raise UsageError(f"local/{weights.name} is up at {state['url']}/v1 already; use that, or end it first")
            return Engine(f"{state['url']}/v1", joined=True, pid=state["pid"], users=users)
        try:
            if weights.name in KNOWN:
                verify_weights(weights.name, weights.path)
            process = _spawned(weights, config, port, folder, child)
            url = _ready(process, weights, folder)
        except (EndpointError, UsageError, OSError):
            users.close()
            raise
        (folder / "engine.json").write_text(json.dumps({"url": url, "pid": process.pid}), encoding="utf-8")
        return Engine(f"{url}/v1", joined=False, pid=process.pid, users=users, process=process)


def _spawned(weights: Weights, config: LocalConfig, port: int, folder: Path, child: Path) -> subprocess.Popen[bytes]:
    """Start the child; it belongs to no terminal, so an interrupt meets the run alone, which ends in order."""
    wanted = {
        "path": str(weights.path),
        "name": weights.name,
        "port": port,
        "slots": config.slots,
        "context": config.context,
        "threads": config.threads or _cores(),
        "users": str(folder / "users.lock"),
    }
    with (folder / "engine.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", str(child), json.dumps(wanted)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )


def _ready(process: subprocess.Popen[bytes], weights: Weights, folder: Path) -> str:
    """Return where the child listens; ends it where it does not within PATIENCE."""
    assert process.stdout is not None
    deadline, url = time.monotonic() + PATIENCE, ""
    try:
        while not url and (left := deadline - time.monotonic()) > 0:
            if not select.select([process.stdout], [], [], left)[0] or not (said := process.stdout.readline()):
                break
            url = str(json.loads(said)["url"])
    finally:
        process.stdout.close()
        # Whoever interrupts a start wants no process that goes on loading.
        if not url:
            process.kill()
            process.wait()
    if url:
        return url
    lines = (folder / "engine.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    why = lines[-1] if lines else "it said nothing"
    raise EndpointError(f"the engine for local/{weights.name} did not come up: {why}; its log is {folder}/engine.log")


def _folder(weights: Weights, config: LocalConfig) -> Path:
    """Return the folder, of this user alone, where what is known of one engine lies."""
    stat = weights.path.stat()
    told = [str(weights.path), stat.st_size, stat.st_mtime_ns, config.slots, config.context, config.threads]
    mark = hashlib.sha256(json.dumps([*told, sys.prefix]).encode()).hexdigest()[:12]
    root = Path(tempfile.gettempdir()) / f"tfgrpo-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    owner = root.lstat()
    if owner.st_uid != os.getuid() or owner.st_mode & 0o077 or root.is_symlink():
        raise UsageError(f"{root} is not a folder of this user alone; remove it, or set TMPDIR to another place")
    folder = root / f"engine-{mark}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other starters of the same engine waiting."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _state(folder: Path) -> dict[str, Any] | None:
    try:
        state = json.loads((folder / "engine.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) and {"url", "pid"} <= set(state) else None


def _healthy(url: str) -> bool:
    try:
        # Past any proxy of the environment: the address is our own, on loopback.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/health", timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _cores() -> int:
    """Return how many threads suit: the cores that this process may use, and no more than small weights can feed."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, usable))
