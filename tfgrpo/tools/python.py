"""The tool `python`: runs what the model wrote and gives back what it printed.

Each call is a process of its own, or, with `session = true`, a cell of one interpreter per rollout, which keeps its
variables. What a session holds is lost with it; a resumed run gets it back by running the recorded cells again.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from tfgrpo.errors import UsageError
from tfgrpo.prompting.transcript import cut_middle
from tfgrpo.tools import sandbox
from tfgrpo.tools.base import Tool, ToolResult, ToolSpec
from tfgrpo.tools.sandbox import Isolation, Limits, RunResult, launch, run_python
from tfgrpo.tools.sandbox_process import BoundedProcess, now
from tfgrpo.tools.sandbox_wire import encode_orders
from tfgrpo.types import Failure, FailureKind

CODE: Mapping[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "Python source; print what you want to see."}},
    "required": ["code"],
}
FRESH = "Every call starts afresh: nothing of earlier calls is left."
KEPT = "Variables stay from call to call."
STATUS = 3
"""Digits of the exit status behind a mark."""


def make(
    *, isolation: Any = "bubblewrap", session: Any = False, shown: Any = 8000, python: str = "python3", **limits: Any
) -> Tool:
    """Return the tool.

    Args:
        isolation: `bubblewrap`, `limits` (no walls), or a command prefix: `docker run --rm -i --network none IMAGE`.
        session: keep one interpreter per rollout.
        shown: characters of output that the model gets to see; the middle of longer ones is left out.
        python: the interpreter behind a command prefix.
        limits: fields of `Limits`: seconds, memory_mb, output_bytes, processes, files_mb.

    Raises:
        UsageError: an option that does not exist, or an isolation that does not work here.
    """
    try:
        bounds = Limits(**limits)
    except TypeError as error:
        known = ", ".join(["isolation", "session", "shown", "python", *asdict(Limits())])
        wrong = ", ".join(name for name in limits if name not in asdict(Limits()))
        raise UsageError(f"tools.python does not take {wrong}; its options are {known}") from error
    if not isinstance(session, bool) or type(shown) is not int or shown < 1:
        raise UsageError(f"tools.python: session is true or false, shown a whole number, not {session!r} and {shown!r}")
    isolated = sandbox.isolation(isolation, python=str(python))
    sandbox.check_isolation(isolated)
    return (PythonSession if session else Python)(bounds, isolated, shown)


@dataclass(frozen=True, slots=True)
class Python:
    """Runs each call in a fresh process."""

    limits: Limits
    isolation: Isolation
    shown: int

    @property
    def spec(self) -> ToolSpec:
        """Name, description and arguments."""
        return ToolSpec("python", _about(self.limits, FRESH), CODE)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Limits, isolation and interpreter."""
        return _fingerprint("fresh", self.limits, self.isolation, self.shown)

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> ToolResult:
        """Run `arguments["code"]`; reaching a limit is a failure that the model is told of."""
        ran = await run_python(str(arguments["code"]), limits=self.limits, isolation=self.isolation, notebook=True)
        return result(ran, self.limits, self.shown)


@dataclass(slots=True)
class _Live:
    """One interpreter of one rollout."""

    child: BoundedProcess
    stack: ExitStack
    name: str
    heard: asyncio.Event


@dataclass(frozen=True, slots=True)
class PythonSession:
    """Runs the calls of a rollout in one interpreter."""

    limits: Limits
    isolation: Isolation
    shown: int
    _live: dict[str, _Live] = field(default_factory=dict)
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)

    @property
    def spec(self) -> ToolSpec:
        """Name, description and arguments."""
        return ToolSpec("python", _about(self.limits, KEPT), CODE)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Limits, isolation and interpreter."""
        return _fingerprint("session", self.limits, self.isolation, self.shown)

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> ToolResult:
        """Run `arguments["code"]` in the session's interpreter; calls of one session wait for each other."""
        async with self._turns.setdefault(session, asyncio.Lock()):
            ran = await self._cell(str(arguments["code"]), session)
        return result(ran, self.limits, self.shown, session=True)

    async def restore(self, session: str, earlier: Sequence[Mapping[str, Any]]) -> None:
        """Run the recorded calls of a resumed rollout again, for what they leave behind."""
        for arguments in earlier:
            await self(arguments, session)

    async def end(self, session: str) -> None:
        """End the interpreter of a rollout."""
        self._turns.pop(session, None)
        await self._drop(session)

    async def _drop(self, session: str) -> None:
        live = self._live.pop(session, None)
        if live is not None:
            with live.stack:
                live.child.stop("end")
                await live.child.gone(0)

    async def aclose(self) -> None:
        """End all interpreters."""
        for session in tuple(self._live):
            await self.end(session)

    async def _cell(self, code: str, session: str) -> RunResult:
        began, mark = now(), secrets.token_hex(16)
        live = self._live.get(session) or await self._begin(session)
        child = live.child
        child.stdout.clear()
        child.stderr.clear()
        child.write(encode_orders({"code": code, "mark": mark}))
        try:
            async with asyncio.timeout(self.limits.seconds):
                while not (done := _done(child, mark.encode())) and not child.ended.done():
                    live.heard.clear()
                    await live.heard.wait()
        except TimeoutError:
            done = False
            child.stop("time")
        except asyncio.CancelledError:
            await self._drop(session)
            raise
        stopped = "" if done else child.stopped or "exit"
        if not done:
            await self._drop(session)
        out, _, tail = bytes(child.stdout).partition(mark.encode())
        err, _, _ = bytes(child.stderr).partition(mark.encode())
        status = int(tail[:STATUS]) if done else None
        return RunResult(_words(out), _words(err), status, stopped, live.name, now() - began)

    async def _begin(self, session: str) -> _Live:
        stack, heard = ExitStack(), asyncio.Event()
        order = {"session": True}
        child, inside = await launch(self.isolation, self.limits, order, stack, heard=heard.set)
        self._live[session] = live = _Live(child, stack, inside.name, heard)
        return live


def result(ran: RunResult, limits: Limits, shown: int, *, session: bool = False) -> ToolResult:
    """Return what a run gave as the model reads it: output, then errors, then why it was stopped."""
    parts = [ran.stdout.rstrip(), ran.stderr.rstrip()]
    said, failure = "", None
    if ran.stopped:
        said = _stopped(ran.stopped, limits) + (" The variables are gone." if session else "")
        kind = FailureKind.TIMEOUT if ran.timed_out else FailureKind.ENVIRONMENT
        failure = Failure(kind, said)
    elif ran.exit and not ran.stderr.strip():
        said = f"It ended with exit status {ran.exit}."
    text = "\n".join(part for part in parts if part)
    text = cut_middle(text, shown) if text else ("" if said else "No output. Print what you want to see.")
    detail = {"isolation": ran.isolation, "exit": ran.exit, "stopped": ran.stopped}
    return ToolResult("\n".join(p for p in (text, f"[{said}]" if said else "") if p), failure, detail, ran.seconds)


def _stopped(why: str, limits: Limits) -> str:
    reasons = {
        "time": f"Stopped: it ran longer than {limits.seconds:g} s.",
        "output": f"Stopped: it printed more than {limits.output_bytes} bytes.",
        "memory": f"Stopped: it used more than {limits.memory_mb} MiB.",
        "processes": f"Stopped: it started more than {limits.processes} processes.",
    }
    return reasons.get(why, "The interpreter ended.")


def _about(limits: Limits, state: str) -> str:
    return (
        "Runs Python code and returns what it prints, and the value of a last expression. "
        f"{state} No network, no files of yours; at most {limits.seconds:g} s and {limits.memory_mb} MiB."
    )


def _fingerprint(state: str, limits: Limits, isolated: Isolation, shown: int) -> Mapping[str, Any]:
    inside = isolated.python if isolated.command else ".".join(map(str, sys.version_info[:2]))
    walls = " ".join(isolated.command) or isolated.kind
    return {"state": state, **asdict(limits), "isolation": walls, "python": inside, "shown": shown}


def _done(child: BoundedProcess, mark: bytes) -> bool:
    at = child.stdout.find(mark)
    return at >= 0 and len(child.stdout) >= at + len(mark) + STATUS and mark in child.stderr


def _words(data: bytes) -> str:
    return data.decode("utf-8", "replace")
