"""A child process held to its limits from outside: output, time, memory and number of processes.

Memory is the kernel's matter where the child runs in a group of cgroup v2, else it is counted ten times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from tfgrpo.tools.sandbox_cgroup import MemoryGroup
from tfgrpo.tools.sandbox_memory import Windows, held, received

POLL = 0.1
"""Seconds between two looks at memory and processes."""
GRACE = 0.5
"""Seconds that pipes may stay open once the process has ended."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the tree of processes as a whole may use."""

    output: int
    """Bytes on stdout and stderr together."""
    memory: int
    """Bytes of memory that all processes keep together."""
    processes: int
    file: int = 2**26
    """Bytes of the largest file."""
    group: MemoryGroup | None = None
    """The kernel's group that holds the memory; without one it is counted."""
    channel: socket.socket | None = None
    """Through which the child hands out windows into its namespaces, before the code starts."""


class BoundedProcess(asyncio.SubprocessProtocol):
    """One child with its output so far; `ended` is set once it is gone and its pipes are closed."""

    def __init__(self, bounds: Bounds, heard: Callable[[], None] | None = None) -> None:
        self.stdout, self.stderr = bytearray(), bytearray()
        self.stopped = ""
        """Why it was ended from outside: `time`, `output`, `memory`, `processes`; empty when it ended by itself."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bounds, self._heard = bounds, heard
        self._windows: Windows | None = None
        self._transport: asyncio.SubprocessTransport | None = None
        self._poll: asyncio.TimerHandle | None = None

    @property
    def returncode(self) -> int | None:
        """Exit status; negative for a signal, None while it runs."""
        return self._transport.get_returncode() if self._transport else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to watch."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._look()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep what was printed; more than the limit ends the child."""
        room = self._bounds.output - len(self.stdout) - len(self.stderr)
        (self.stdout if fd == 1 else self.stderr).extend(data[: max(room, 0)])
        if len(data) > room:
            self.stop("output")
        elif self._heard:
            self._heard()

    def process_exited(self) -> None:
        """Say whether the kernel ended it, and close pipes that something else still holds open."""
        if self._bounds.group and self._bounds.group.exhausted:
            self.stopped = self.stopped or "memory"
        asyncio.get_running_loop().call_later(GRACE, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """All is over."""
        if self._poll:
            self._poll.cancel()
        if self._windows:
            self._windows.close()
            self._windows = None
        if self._transport:
            # All pipes are closed; Python warns of a transport that was not told so.
            self._transport.close()
        if not self.ended.done():
            self.ended.set_result(None)
        if self._heard:
            self._heard()

    def write(self, data: bytes, *, last: bool = False) -> None:
        """Send something to its stdin; `last` closes it."""
        assert self._transport is not None
        pipe = cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(0))
        if pipe is None or pipe.is_closing():
            return
        pipe.write(data)
        if last:
            pipe.write_eof()

    def stop(self, reason: str) -> None:
        """Kill the whole tree; the first reason is kept."""
        if self.ended.done() or self._transport is None:
            return
        self.stopped = self.stopped or reason
        if self._bounds.group:
            self._bounds.group.kill()
        pid = self._transport.get_pid()
        for each in (*reversed(descendants(pid)), pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)

    async def gone(self, seconds: float) -> None:
        """Wait for the end, at most so many seconds, then make it end; cancelling makes it end too."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self.ended)
        except TimeoutError:
            self.stop("time")
        finally:
            if not self.ended.done():
                self.stop("cancelled")
                await asyncio.shield(self.ended)

    def _close(self) -> None:
        if self._transport and not self.ended.done():
            self._transport.close()

    def _look(self) -> None:
        if self.ended.done() or self._transport is None or self.returncode is not None:
            return
        pid = self._transport.get_pid()
        tree = descendants(pid)
        if len(tree) > self._bounds.processes:
            self.stop("processes")
        elif self._bounds.group is None and self._kept((pid, *tree)) > self._bounds.memory:
            self.stop("memory")
        self._poll = asyncio.get_running_loop().call_later(POLL, self._look)

    def _kept(self, tree: tuple[int, ...]) -> int:
        if self._windows is None and self._bounds.channel is not None:
            self._windows = received(self._bounds.channel)
        return held(tree, self._windows, most=self._bounds.memory, file=self._bounds.file)


async def start(
    command: Sequence[str],
    bounds: Bounds,
    *,
    env: Mapping[str, str],
    cwd: str | None = None,
    heard: Callable[[], None] | None = None,
    handed: Sequence[int] = (),
) -> BoundedProcess:
    """Start a child in a session of its own, with this environment and no other; raises OSError.

    `handed` are descriptors that it inherits under their numbers, beside its three streams.
    """
    loop = asyncio.get_running_loop()
    _, watched = await loop.subprocess_exec(
        lambda: BoundedProcess(bounds, heard),
        *command,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
        pass_fds=tuple(handed),
    )
    return watched


def descendants(pid: int) -> tuple[int, ...]:
    """Return the processes below `pid`, parents first; () where the system does not tell (no /proc)."""
    found: list[int] = []
    waiting = [pid]
    while waiting and len(found) < 10_000:
        for child in _children(waiting.pop()):
            found.append(child)
            waiting.append(child)
    return tuple(found)


def _children(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    children: list[int] = []
    for thread in threads:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
            children += map(int, file.read().split())
    return children


def now() -> float:
    """Return the clock that durations are measured with, in seconds."""
    return time.monotonic()
