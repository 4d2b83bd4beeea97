"""Anybody's agent: a callable, async or plain, that gets the problem and the lessons as text.

The agent makes its own model calls, so the journal records the whole rollout: an interrupted run does not run a
finished agent again.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, cast

from experience_db import Journal, Library
from tfgrpo.backends.journaled import read_record
from tfgrpo.backends.limited import REPEATED, Ledger
from tfgrpo.backends.metered import Tally, count_call
from tfgrpo.boundary import boundary, failure_of
from tfgrpo.environments.base import Slot
from tfgrpo.errors import EndpointError, EnvironmentFailed, MalformedReply, ProviderError
from tfgrpo.system.untrusted_json import StoredCall, StoredRollout, read_model
from tfgrpo.types import Failure, FailureKind, Message, Problem, Rollout, ToolCall, Usage

Agent = Callable[[Problem, str], Awaitable[str | Rollout]] | Callable[[Problem, str], str | Rollout]
"""`def` or `async def agent(problem, lessons) -> str | Rollout`; lessons is '' while the library is empty."""
THREADS = 64
"""Plain functions that run at once; each has a thread, so that one that waits holds up nobody."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """Runs the user's agent, once per rollout."""

    agent: Agent
    name: str
    """Stable name of the agent; part of the journal key."""
    journal: Journal | None = None
    run: str | None = None
    tally: dict[str, Tally] = field(default_factory=dict)
    """Where rollouts are counted as calls of their role, new and replayed."""
    ledger: Ledger | None = None
    """When it is closed, only the journal answers."""

    async def __call__(self, problem: Problem, library: Library, slot: Slot) -> Rollout:
        """Return the agent's rollout; what it raises becomes a failure of kind `environment`."""
        question = {
            "role": slot.role,
            "model": f"agent:{self.name}",
            "problem": [problem.id, problem.question],
            "lessons": library.block(),
            "attempt": slot.index,
        }
        key = Journal.key(question)
        if self.journal is not None and (revived := read_record(self.journal, key, partial(_revive, problem, slot))):
            count_call(self.tally, slot.role, revived.usage, replayed=True)
            return revived
        if self.ledger is not None and self.ledger.closed:
            return Rollout(problem.id, slot.index, failure=Failure(FailureKind.ENVIRONMENT, REPEATED))
        rollout = await self._attempt(problem, library, slot)
        if rollout.failure is None:
            count_call(self.tally, slot.role, rollout.usage, replayed=False)
            if self.journal is not None:
                self._record(key, question, rollout)
        return rollout

    async def _attempt(self, problem: Problem, library: Library, slot: Slot) -> Rollout:
        started = time.perf_counter()
        try:
            with boundary(EnvironmentFailed, f"agent {self.name} on problem {problem.id}"):
                answer = await _answered(self.agent, problem, library.block())
                if not isinstance(answer, str | Rollout):
                    raise TypeError(f"it returned {type(answer).__name__}; return a str or a Rollout")
        except EndpointError:
            raise
        except (EnvironmentFailed, ProviderError, MalformedReply) as error:
            return Rollout(problem.id, slot.index, failure=failure_of(error))
        if isinstance(answer, Rollout):
            return dataclasses.replace(answer, problem_id=problem.id, index=slot.index)
        messages: tuple[Message, ...] = (
            {"role": "user", "content": problem.question},
            {"role": "assistant", "content": answer},
        )
        # The agent pays its own model: what it cost is unknown here, which is not zero.
        return Rollout(
            problem.id,
            slot.index,
            messages,
            answer,
            "stop",
            Usage(usd=None),
            seconds=time.perf_counter() - started,
        )

    def _record(self, key: str, question: dict[str, Any], rollout: Rollout) -> None:
        assert self.journal is not None
        usage = rollout.usage
        self.journal.put(
            key,
            role=str(question["role"]),
            model=str(question["model"]),
            request=question,
            reply={
                "messages": list(rollout.messages),
                "answer": rollout.answer,
                "finish_reason": rollout.finish_reason,
                "usage": dataclasses.asdict(usage),
                "tainted": rollout.tainted,
                "tool_calls": [dataclasses.asdict(call) for call in rollout.tool_calls],
                "notes": list(rollout.notes),
            },
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            usd=usage.usd,
            seconds=rollout.seconds,
            run=self.run,
        )


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="tfgrpo-agent")


async def _answered(agent: Agent, problem: Problem, lessons: str) -> str | Rollout:
    """Return what an agent answers; a plain function runs in a thread."""
    call = agent if inspect.isroutine(agent) or isinstance(agent, partial) else getattr(agent, "__call__", agent)  # noqa: B004
    if inspect.iscoroutinefunction(call):
        answer: Any = agent(problem, lessons)
    else:
        work = partial(contextvars.copy_context().run, agent, problem, lessons)
        answer = await asyncio.get_running_loop().run_in_executor(_threads(), work)
    return cast("str | Rollout", await answer if inspect.isawaitable(answer) else answer)


def _revive(problem: Problem, slot: Slot, record: Mapping[str, Any]) -> Rollout:
    """Return the rollout in a record; raises ValueError where it is none."""
    found = read_model(StoredRollout, record)
    return Rollout(
        problem.id,
        slot.index,
        tuple(cast("list[Message]", found.messages)),
        found.answer,
        found.finish_reason,
        Usage(**found.usage.model_dump()),
        tainted=found.tainted,
        tool_calls=tuple(map(_call, found.tool_calls)),
        notes=tuple(found.notes),
    )


def _call(found: StoredCall) -> ToolCall:
    failed = found.failure
    failure = None if failed is None else Failure(FailureKind(failed.kind), failed.message)
    return ToolCall(**{**found.model_dump(), "failure": failure})
