"""Tool calls are kept like model calls: recorded before the result is used, so a resumed run sees the same web.

The key is the tool with its settings, the arguments, and the place: which rollout of which problem, and the how-manieth
call it is. Failures are recorded too: the model has read them, and what it said next rests on them; but when a run goes
on, what failed for a reason that may have passed is asked again, unless its step is stored. Both arms of a gate that
ask the same at the same place get the same answer.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from experience_db import Journal
from tfgrpo.backends.journaled import canonical, read_record
from tfgrpo.backends.limited import REPEATED, Ledger
from tfgrpo.backends.metered import Tally, count_call
from tfgrpo.boundary import boundary, failure_of
from tfgrpo.config import secrets
from tfgrpo.errors import EnvironmentFailed, ProviderError
from tfgrpo.system.redact import address_texts, clean_data, secret_hider
from tfgrpo.system.untrusted_json import StoredResult, read_model
from tfgrpo.system.waiting import patiently
from tfgrpo.tools.base import Restorable, SessionTool, Tool, ToolResult
from tfgrpo.types import Failure, FailureKind, Request, Usage

FREE = Usage()
PASSING = frozenset({FailureKind.TIMEOUT, FailureKind.RATE_LIMITED, FailureKind.PROVIDER})
"""Failures of a tool that a while later may not happen again."""
_sessions = itertools.count(1)


@dataclass(frozen=True, slots=True)
class CallingRollout:
    """The rollout that calls, as far as the journal needs to know."""

    role: str
    problem: tuple[str, str]
    """Id and question."""
    attempt: int
    seed: int | None = None


@dataclass(slots=True)
class Session:
    """What one rollout has called so far."""

    place: CallingRollout
    name: str = field(default_factory=lambda: f"rollout-{next(_sessions)}")
    """Of this execution alone; tools keep what belongs to the rollout under it."""
    made: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    """Tool and arguments of every call, in order; this one's position is their number."""
    missing: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    """Calls that the journal answered and that a tool with a memory has therefore not seen."""


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """One answered call."""

    result: ToolResult
    replayed: bool


@dataclass(frozen=True, slots=True)
class JournaledTools:
    """Answers tool calls from the journal, else by the tools."""

    journal: Journal | None = None
    run: str | None = None
    tally: dict[str, Tally] = field(default_factory=dict)
    """Where calls are counted as role `tool:NAME`."""
    ledger: Ledger | None = None
    """When it is closed, only the journal answers."""
    seconds: float = 120.0
    """Longest time that a call may take, whatever the tool's own limit."""
    made: set[str] = field(default_factory=set)
    """Keys of the calls that this execution has made itself."""
    mark: str = ""
    """Who the model is whose prompts did not fit, where its name does not say it."""

    async def call(self, tool: Tool, arguments: Mapping[str, Any], session: Session, position: int) -> AnsweredCall:
        """Answer one call; the record is committed before this returns.

        Args:
            tool: the tool.
            arguments: checked against its schema.
            session: of the rollout that asks; the call is in `session.made` already, at `position`.
            position: counted from 0 over all tools.

        Raises:
            ProviderError: the ledger is closed and there is no record.
        """
        role = f"tool:{tool.spec.name}"
        question = self._question(role, tool, arguments, session, position)
        key = Journal.key(question)
        if (known := self._known(key)) is not None:
            session.missing.setdefault(tool.spec.name, []).append(arguments)
            count_call(self.tally, role, FREE, replayed=True)
            return AnsweredCall(known, replayed=True)
        if self.ledger is not None and self.ledger.closed:
            raise ProviderError(REPEATED)
        result = _without_keys(tool, await self._ask(tool, arguments, session))
        count_call(self.tally, role, FREE, replayed=False)
        self.made.add(key)
        kept = await patiently(self.journal, lambda: self._kept(key, role, question, result))
        return AnsweredCall(kept, replayed=False)

    def _known(self, key: str) -> ToolResult | None:
        """What is recorded of a call; None where nothing is, or what may go better now."""
        if self.journal is None:
            return None
        known = read_record(self.journal, key, result_from_record)
        closed = self.ledger is not None and self.ledger.closed
        failed = known is not None and known.failure is not None and known.failure.kind in PASSING
        if failed and not closed and key not in self.made:
            self.journal.forget(key)
            return None
        return known

    def refused(self, request: Request) -> ProviderError | None:
        """Return the refusal of a prompt that did not fit when it was sent before; it need not be sent again."""
        if self.journal is None:
            return None
        record = self.journal.get(Journal.key(_refusal(request, self.mark)))
        return None if record is None else ProviderError(record["said"], FailureKind.REFUSED_REQUEST)

    def refuse(self, request: Request, said: str) -> None:
        """Keep that a prompt did not fit: what came after rests on it."""
        if self.journal is not None:
            asked = _refusal(request, self.mark)
            key = Journal.key(asked)
            self.journal.put(
                key,
                role=asked["role"],
                model="tool:context",
                request=asked,
                reply={"said": said},
                usd=0.0,
                run=self.run,
            )

    async def end(self, tools: Sequence[Tool], session: Session) -> None:
        """Give back what the tools hold for a rollout."""
        for tool in tools:
            if isinstance(tool, SessionTool):
                with boundary(EnvironmentFailed, f"tool {tool.spec.name} at the end of a rollout"):
                    await tool.end(session.name)

    def _question(
        self, role: str, tool: Tool, arguments: Mapping[str, Any], session: Session, position: int
    ) -> dict[str, Any]:
        place = session.place
        question = {
            "role": role,
            "model": role,
            "fingerprint": dict(tool.fingerprint),
            "arguments": dict(arguments),
            "rollout": place.role,
            "problem": list(place.problem),
            "attempt": place.attempt,
            "seed": place.seed,
            "position": position,
        }
        if isinstance(tool, SessionTool):
            # What such a tool answers depends on what it was asked before.
            earlier = [dict(given) for name, given in session.made[:position] if name == tool.spec.name]
            question["earlier"] = Journal.key({"calls": earlier})
        return question

    async def _ask(self, tool: Tool, arguments: Mapping[str, Any], session: Session) -> ToolResult:
        name = tool.spec.name
        try:
            with boundary(EnvironmentFailed, f"tool {name}"):
                if isinstance(tool, Restorable) and (missing := session.missing.pop(name, None)):
                    await tool.restore(session.name, missing)
                async with asyncio.timeout(self.seconds):
                    return await tool(arguments, session.name)
        except EnvironmentFailed as error:
            failure = failure_of(error)
        if failure.kind is FailureKind.TIMEOUT:
            failure = Failure(failure.kind, f"the tool {name} gave no answer within {self.seconds:g} s")
        return ToolResult(failure.message, failure)

    def _kept(self, key: str, role: str, question: dict[str, Any], result: ToolResult) -> ToolResult:
        """Commit a result and return the recorded one: another rollout may have asked the same meanwhile."""
        if self.journal is None:
            return result
        new = self.journal.put(
            key,
            role=role,
            model=role,
            request=question,
            reply=recordable(result),
            usd=0.0,
            seconds=result.seconds,
            run=self.run,
        )
        return result if new else read_record(self.journal, key, result_from_record) or result


def _refusal(request: Request, mark: str) -> dict[str, Any]:
    return {"role": "tool:context", "asker": request.role, "refused": Journal.key(canonical(request, mark))}


def recordable(result: ToolResult) -> dict[str, Any]:
    """Return a result as plain JSON values."""
    failure = None if result.failure is None else {**asdict(result.failure), "kind": str(result.failure.kind)}
    return {"text": result.text, "failure": failure, "detail": dict(result.detail), "seconds": result.seconds}


def result_from_record(record: Mapping[str, Any]) -> ToolResult:
    """Return the result in a record.

    Raises:
        ValueError: it is none.
    """
    kept = read_model(StoredResult, record)
    failure = None if kept.failure is None else Failure(FailureKind(kept.failure.kind), kept.failure.message)
    return ToolResult(kept.text, failure, kept.detail, kept.seconds)


def _without_keys(tool: Tool, result: ToolResult) -> ToolResult:
    """Return a result as it may be kept and shown to a model: services like to repeat the key that they were sent."""
    conceal = secret_hider(secrets(*address_texts(dict(tool.fingerprint))))
    if conceal is None:
        return result
    text, detail = clean_data((result.text, dict(result.detail)), conceal)
    failure = result.failure and replace(result.failure, message=conceal(result.failure.message))
    return replace(result, text=text, detail=detail, failure=failure)
