"""Runs Python code of unknown origin: one process per call, shut in by bubblewrap, held to limits from both sides.

    ran = await run_python("print(input())", stdin="hello", limits=Limits(seconds=5))
    ran.stdout, ran.exit, ran.stopped, ran.isolation

The child limits itself before the code starts and cannot go back; this side watches the whole tree of processes and
ends it. `isolation = "limits"` has no walls: the code can read and write what this process can. It is not a sandbox.
"""

from __future__ import annotations

import math
import os
import platform
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tfgrpo import config as configuration
from tfgrpo.errors import UsageError
from tfgrpo.tools import sandbox_bubblewrap as bubblewrap
from tfgrpo.tools import sandbox_cgroup as cgroup
from tfgrpo.tools import sandbox_seccomp as seccomp
from tfgrpo.tools.sandbox_process import BoundedProcess, Bounds, now, start
from tfgrpo.tools.sandbox_wire import CHILD, encode_orders

HANDED_ON = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "CONTAINER_HOST")
"""What a command prefix finds in its environment; it decides itself what the code finds in its own."""
LATE = 2.0
"""Seconds that a container's own watch waits beyond the time limit."""

PROBE = "import fractions, subprocess\nprint(fractions.Fraction(42))"
"""Says 42 where Python and its library can be read."""
LEAST: Mapping[str, float] = {"seconds": 0.1, "memory_mb": 64, "output_bytes": 1, "processes": 1, "files_mb": 1}
"""Smallest value of each limit."""
NUMBER: Mapping[tuple[type, ...], str] = {(int, float): "number", (int,): "whole number"}
SESSION = 3600.0
"""Seconds that a session in a container may last."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use."""

    seconds: float = 30.0
    """Wall time."""
    memory_mb: int = 1024
    """Address space of each process, and memory of all together: shared, in memory files and in sockets as well."""
    output_bytes: int = 1_000_000
    """stdout and stderr together; more ends the run."""
    processes: int = 64
    """At once, threads included where the kernel counts them."""
    files_mb: int = 64
    """Size of /tmp, and of the largest file."""

    def __post_init__(self) -> None:
        """Refuse limits that nothing could run under."""
        for name, least in LEAST.items():
            value = getattr(self, name)
            kinds = (int, float) if name == "seconds" else (int,)
            if type(value) not in kinds or not least <= value < math.inf:
                raise UsageError(f"the limit {name} is {value!r}; give a {NUMBER[kinds]} of at least {least}")


@dataclass(frozen=True, slots=True)
class Isolation:
    """What stands between the code and this machine."""

    kind: str = "bubblewrap"
    """`bubblewrap`, `limits` or `command`."""
    command: tuple[str, ...] = ()
    """The prefix of kind `command`, for instance of docker, up to and with the image."""
    python: str = "python3"
    """The interpreter behind a prefix; everywhere else it is the one that runs this."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run gave."""

    stdout: str
    stderr: str
    exit: int | None
    """Exit status; above 128 it was a signal. None when the run was stopped."""
    stopped: str = ""
    """Why it was stopped: `time`, `output`, `memory` or `processes`; empty when it ended by itself."""
    isolation: str = ""
    """What was really used."""
    seconds: float = 0.0

    @property
    def timed_out(self) -> bool:
        """Whether the time limit ended it."""
        return self.stopped == "time"


@dataclass(frozen=True, slots=True)
class ChildSetup:
    """How a child is started, and what it is told about itself."""

    command: tuple[str, ...]
    name: str
    env: Mapping[str, str]
    scratch: bool = False
    """Whether it needs a folder made for it."""
    orders: Mapping[str, Any] = field(default_factory=dict)
    filtered: bytes = b""
    """The filter of system calls that bubblewrap loads; empty for none."""
    group: Path | None = None
    """Where a group of cgroup v2 can be made for it."""
    windows: bool = False
    """Whether it has namespaces of its own, whose memory is counted through descriptors that it hands out."""


def isolation(wanted: Any, *, python: str = "python3") -> Isolation:
    """Read an isolation: `bubblewrap`, `limits`, or a command prefix, as text or as a list of words.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(wanted, Isolation):
        return wanted
    try:
        words = tuple(shlex.split(wanted) if isinstance(wanted, str) else map(str, wanted))
    except (ValueError, TypeError) as error:
        raise UsageError(f"isolation {wanted!r} cannot be read as a command: {error}") from error
    if words in {("bubblewrap",), ("limits",)}:
        return Isolation(words[0])
    if len(words) < 2:
        raise UsageError(
            f"isolation {wanted!r} is unknown; use bubblewrap, limits, or a command prefix (docker run ...)"
        )
    return Isolation("command", words, python)


def check_isolation(isolated: Isolation) -> str:
    """Try it with a small program and return what it is called in records; the answer is kept.

    Raises:
        UsageError: it does not work here; the message says how to get it, or what else there is.
    """
    return _inside(isolated, Limits()).name


async def run_python(
    code: str,
    *,
    stdin: str = "",
    limits: Limits = Limits(),
    isolation: Isolation = Isolation(),
    files: Mapping[str, str] | None = None,
    notebook: bool = False,
) -> RunResult:
    """Run `code` as a script in a fresh process, in an empty folder that is gone afterwards.

    Args:
        code: Python source.
        stdin: what the code reads.
        limits: reaching one ends the run and is told in `stopped`.
        isolation: refused where it does not work.
        files: further files beside the script, by relative path; they can be imported.
        notebook: print the value of a last expression, as notebooks do.

    Raises:
        UsageError: the isolation does not work here.
    """
    began = now()
    order = {"code": code, "notebook": notebook, "files": dict(files or {})}
    with ExitStack() as stack:
        child, inside = await launch(isolation, limits, order, stack)
        child.write(stdin.encode("utf-8", "surrogateescape"), last=True)
        await child.gone(limits.seconds)
    status = None if child.stopped else _status(child.returncode)
    # Where the machine is free the limit on CPU time is met as soon as the one on the clock.
    stopped = "time" if status == 128 + signal.SIGXCPU else child.stopped
    status = None if stopped else status
    return RunResult(_text(child.stdout), _text(child.stderr), status, stopped, inside.name, now() - began)


async def launch(
    isolated: Isolation, limits: Limits, order: Mapping[str, Any], stack: ExitStack, **how: Any
) -> tuple[BoundedProcess, ChildSetup]:
    """Start a child and give it its orders; `stack` removes its folder. `how` goes to `start`.

    Raises:
        UsageError: the isolation does not work here.
    """
    inside = _inside(isolated, limits)
    cwd = stack.enter_context(tempfile.TemporaryDirectory(prefix="tfgrpo-")) if inside.scratch else None
    memory, processes = limits.memory_mb * 2**20 * 5 // 4, limits.processes + 4
    command, handed, orders = inside.command, [], _orders(inside, limits, session=bool(order.get("session")))
    group = None
    if inside.filtered:
        handed.append(_held(seccomp.program_descriptor(inside.filtered), stack))
        command = (command[0], "--seccomp", str(handed[-1]), *command[1:])
    if inside.group:
        # It also holds the shell that enters it and bubblewrap itself.
        group = stack.enter_context(cgroup.group(inside.group, memory=memory, processes=processes + 4))
        command = group.entering(command)
    mine = None
    if inside.windows and group is None:
        mine, theirs = (stack.enter_context(end) for end in socket.socketpair())
        mine.setblocking(False)
        handed.append(theirs.fileno())
        orders["channel"] = theirs.fileno()
    bounds = Bounds(limits.output_bytes, memory, processes, limits.files_mb * 2**20, group, mine)
    env = {**inside.env, "HOME": cwd} if isolated.kind == "limits" and cwd else inside.env
    child = await start(command, bounds, env=env, cwd=cwd, handed=handed, **how)
    child.write(encode_orders({**order, **orders}))
    return child, inside


def _held(descriptor: int, stack: ExitStack) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _inside(isolated: Isolation, limits: Limits) -> ChildSetup:
    # A user id of its own for each run: the kernel counts processes by it.
    orders = {"uid": random.randrange(2**30, 2**31 - 2**20)} if os.geteuid() == 0 else {}
    if isolated.kind == "bubblewrap":
        walls = _bubblewrap()
        command = (
            *bubblewrap.bubblewrap_command(files_mb=limits.files_mb, way=walls.way),
            *_interpreter(sys.executable),
        )
        orders = orders if walls.way == bubblewrap.ROOT else {}
        place = cgroup.place()
        return ChildSetup(
            command, walls.name(place), {}, orders=orders, filtered=walls.filtered, group=place.folder, windows=True
        )
    if isolated.kind == "limits":
        here = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        return ChildSetup(_interpreter(sys.executable), "limits", here, scratch=True, orders=orders)
    env = {name: value for name in HANDED_ON if (value := configuration.environment(name))}
    command = (*isolated.command, *_interpreter(isolated.python))
    name = f"command: {' '.join(isolated.command)}"
    _command_works(isolated)
    return ChildSetup(command, name, env, scratch=True, orders={**orders, "watch": limits.seconds + LATE})


def _interpreter(python: str) -> tuple[str, ...]:
    return (python, "-I", "-B", "-c", CHILD)


def _orders(inside: ChildSetup, limits: Limits, *, session: bool) -> dict[str, Any]:
    cpu, memory, size = (
        math.ceil(limits.seconds) * (10 if session else 1),
        limits.memory_mb * 2**20,
        limits.files_mb * 2**20,
    )
    most = {"AS": memory, "FSIZE": size, "CORE": 0, "NOFILE": 256}
    if inside.name.startswith("bubblewrap"):
        # Outside of a namespace it would count everything that this user runs.
        most["NPROC"] = limits.processes
    watch = {"watch": SESSION} if session and "watch" in inside.orders else {}
    return {**inside.orders, **watch, "rlimits": {**{name: (n, n) for name, n in most.items()}, "CPU": (cpu, cpu + 1)}}


@dataclass(frozen=True, slots=True)
class Walls:
    """How bubblewrap works here."""

    way: str
    """One of its ways."""
    filtered: bytes
    """The filter of system calls; empty where none can be loaded."""
    unfiltered: str = ""
    """Why there is none."""

    def name(self, place: cgroup.Place) -> str:
        """Return what stands, and by name what does not."""
        way = self.way
        if os.geteuid() == 0 and way != bubblewrap.ROOT:
            way += " (still root outside: it may not become another user here)"
        calls = "system calls filtered" if self.filtered else f"system calls not filtered ({self.unfiltered})"
        memory = "memory by cgroup" if place.folder else f"memory counted ({place.why})"
        return f"{bubblewrap.version()}, {way}, {calls}, {memory}"


@cache
def _bubblewrap() -> Walls:
    """Return the best way in which bubblewrap works here, with a filter of system calls if one can be loaded."""
    tried, refused = "", f"there is none for {platform.machine()}"
    assembled = seccomp.program()
    for filtered in (assembled, b"") if assembled else (b"",):
        for way in bubblewrap.WAYS if bubblewrap.version() else ():
            command = [*bubblewrap.bubblewrap_command(files_mb=1, way=way), *_interpreter(sys.executable)]
            uid = 2**30 if way == bubblewrap.ROOT else 0
            order = {"code": PROBE, "notebook": False, "rlimits": {}, "uid": uid}
            works, tried = _probe(command, order, {}, filtered)
            if works:
                return Walls(way, filtered, "" if filtered else refused)
        refused = " ".join(tried.split())[-100:]
    raise UsageError(bubblewrap.missing_sentence(tried))


@cache
def _command_works(isolated: Isolation) -> None:
    first = isolated.command[0]
    if shutil.which(first) is None:
        raise UsageError(f"the isolation command {first!r} is not here; install it, or choose another isolation")
    env = {name: value for name in HANDED_ON if (value := configuration.environment(name))}
    order = {"code": PROBE, "notebook": False, "rlimits": {}}
    works, tried = _probe([*isolated.command, *_interpreter(isolated.python)], order, env)
    if not works:
        raise UsageError(
            f"the isolation {' '.join(isolated.command)!r} does not run Python: {' '.join(tried.split())[-300:]}"
        )


def _probe(
    command: list[str], order: Mapping[str, Any], env: Mapping[str, str], filtered: bytes = b""
) -> tuple[bool, str]:
    with ExitStack() as stack:
        how: dict[str, Any] = {"env": dict(env), "cwd": stack.enter_context(tempfile.TemporaryDirectory())}
        if filtered:
            descriptor = _held(seccomp.program_descriptor(filtered), stack)
            command = [command[0], "--seccomp", str(descriptor), *command[1:]]
            how["pass_fds"] = (descriptor,)
        try:
            told = subprocess.run(
                command, input=encode_orders(order), capture_output=True, timeout=60, check=False, **how
            )
        except (OSError, subprocess.SubprocessError) as error:
            return False, str(error)
    return told.stdout.split() == [b"42"], told.stderr.decode("utf-8", "replace") or f"exit status {told.returncode}"


def _status(returncode: int | None) -> int | None:
    """Return a shell's exit status: a signal is 128 and its number."""
    return 128 - returncode if returncode is not None and returncode < 0 else returncode


def _text(data: bytearray) -> str:
    return data.decode("utf-8", "replace")
