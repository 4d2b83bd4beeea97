"""Identical calls at the same time become one request with `n`, where the endpoint honours it.

The G rollouts of a group share a prompt: asked for together it is read, and paid for, once. Calls join when they differ
in the attempt alone and their seeds count up by one, because an endpoint draws choice j with the seed plus j; so each
reply is the one that its own seed would have given. Whether an endpoint honours `n` is found out by the first joined
request and remembered: some return a single choice with HTTP 200, and then calls go out one by one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from typing import Any, Protocol

from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.joined import Choices, joined
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.types import FailureKind, Reply, Request

FACT = "honours_n"
MOST = 16
"""Choices in one request: all of them are lost when its connection breaks."""


class Memory(Protocol):
    """What is known of endpoints, kept from run to run; `experience_db.Store` is one."""

    def endpoint_fact(self, endpoint: str, model: str, name: str, /) -> str | None:
        """Return what was found out, or None."""
        ...

    def record_endpoint_fact(self, endpoint: str, model: str, name: str, value: str, /) -> None:
        """Keep what was found out."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """One call that may join others."""

    request: Request
    reply: asyncio.Future[Reply | None]
    """None asks the waiter to go alone."""


class Coalesced:
    """A backend whose identical calls of one turn of the event loop go out together."""

    def __init__(self, backend: Backend, endpoint: str, memory: Memory | None = None) -> None:
        """Remember where the calls go, and what holds the knowledge of earlier runs."""
        self.backend = backend
        self._endpoint = endpoint
        self._memory = memory
        self._gathering: dict[Hashable, list[_Waiting]] = {}
        self._honours: dict[str, bool | None] = {}
        self._probing: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._under_way: set[asyncio.Task[Sequence[Reply | None]]] = set()

    async def complete(self, request: Request) -> Reply:
        """Return the reply to `request`, asked alone or together with its likes."""
        # Without chance all choices are one, and some endpoints refuse to draw them.
        if request.sampling.temperature != 0 and self._known(request.model) is not False:
            loop = asyncio.get_running_loop()
            mine = _Waiting(request, loop.create_future())
            key = _question(request)
            if key not in self._gathering:
                self._gathering[key] = []
                # Siblings were started together: when their turn is over, all of them are here.
                loop.call_soon(self._send, key)
            self._gathering[key].append(mine)
            if (reply := await mine.reply) is not None:
                return reply
        return await self.backend.complete(request)

    async def aclose(self) -> None:
        """Close the backend below."""
        await close(self.backend)

    def _send(self, key: Hashable) -> None:
        for run in _runs(self._gathering.pop(key)):
            if len(run) == 1:
                _land(run, ())
                continue
            task = asyncio.get_running_loop().create_task(self._together(run))
            self._under_way.add(task)
            task.add_done_callback(partial(self._landed, run))
            for waiting in run:
                waiting.reply.add_done_callback(partial(_drop, run, task))

    def _landed(self, run: Sequence[_Waiting], task: asyncio.Task[Sequence[Reply | None]]) -> None:
        """Hand out what came; a request that ended otherwise ends all who wait for it."""
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is None:
            _land(run, task.result())
            return
        for waiting in run:
            if not waiting.reply.done():
                error = None if task.cancelled() else task.exception()
                waiting.reply.cancel() if error is None else waiting.reply.set_exception(error)

    async def _together(self, run: Sequence[_Waiting]) -> Sequence[Reply | None]:
        """Ask for all of `run` at once; the first such request to a model is the probe, and others wait for it."""
        model = run[0].request.model
        if self._known(model) is None:
            async with self._probing[model]:
                if self._known(model) is None:
                    return await self._probed(run)
        return await self._asked(run) if self._known(model) else ()

    async def _probed(self, run: Sequence[_Waiting]) -> Sequence[Reply | None]:
        """Ask, and draw the conclusion on `n`."""
        try:
            answer = await self._asked(run)
        except EndpointError:
            raise
        except ProviderError as error:
            if error.failure.kind is not FailureKind.REFUSED_REQUEST:
                raise
            # If it goes through without `n`, then `n` was at fault; if not, this says why.
            answer = (await self.backend.complete(run[0].request),)
        model, honoured = run[0].request.model, len(answer) > 1
        self._honours[model] = honoured
        if self._memory is not None:
            self._memory.record_endpoint_fact(self._endpoint, model, FACT, "yes" if honoured else "no")
        return answer

    async def _asked(self, run: Sequence[_Waiting]) -> Sequence[Reply | None]:
        reply = await self.backend.complete(joined([waiting.request for waiting in run]))
        return reply.choices if isinstance(reply, Choices) else (reply,)

    def _known(self, model: str) -> bool | None:
        """Whether `n` is honoured for `model`; None while nobody knows."""
        if model not in self._honours:
            said = self._memory and self._memory.endpoint_fact(self._endpoint, model, FACT)
            self._honours[model] = None if not said else said == "yes"
        return self._honours[model]


def _question(request: Request) -> Hashable:
    """Return what calls share that may join."""
    sampling = replace(request.sampling, seed=None)
    asked = repr((request.messages, request.tools, request.response_schema))
    return request.role, request.model, sampling, asked


def _runs(waiting: Sequence[_Waiting]) -> Iterator[list[_Waiting]]:
    """Split calls into those whose seeds count up by one, at most MOST at a time; without seeds any will do."""
    run: list[_Waiting] = []
    for one in sorted(waiting, key=lambda w: (w.request.sampling.seed or 0, w.request.attempt)):
        seed = one.request.sampling.seed
        last = run[-1].request.sampling.seed if run else None
        follows = seed is None if last is None else seed == last + 1
        if run and (not follows or len(run) == MOST):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _land(run: Sequence[_Waiting], answer: Sequence[Reply | None]) -> None:
    """Give everybody their choice; those without one go alone."""
    for waiting, choice in zip_longest(run, answer[: len(run)]):
        if not waiting.reply.done():
            waiting.reply.set_result(choice)


def _drop(run: Sequence[_Waiting], task: asyncio.Task[Any], reply: asyncio.Future[Any]) -> None:
    """End a request that nobody waits for any more."""
    if all(waiting.reply.cancelled() for waiting in run):
        task.cancel()
