"""Identical calls at the same time become one request with `n`, where the endpoint honours it.

The G rollouts of a group share a prompt: asked for together it is read, and paid for, once. Calls join when they differ
in the attempt alone and their seeds count up by one, because an endpoint draws choice j with the seed plus j; so each
reply is the one that its own seed would have given. Whether an endpoint honours `n`, and up to how many, is found out
by the first joined requests and remembered: some return a single choice with HTTP 200, and then calls go out one by
one; on others the number of slots is the limit, which is found by halving.
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
from tfgrpo.backends.n_choices import ChoicesReply, Outcome, join_requests, redraw_request
from tfgrpo.backends.retry_policy import Redraw, Transient
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.types import FailureKind, Reply, Request

FACT = "honours_n"
LARGEST, TOO_MANY = "largest_n", "refused_n"
"""Facts: the most choices that came from one request, and the fewest that did not."""
REFUSING = {404, 405, 500, 501}
"""Statuses with which some servers refuse several choices; 400 and its like always may mean it."""
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
    reply: asyncio.Future[Outcome | None]
    """None asks the waiter to go alone; so does a failure that may pass."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """How many choices a model gives to one request."""

    honours: bool | None = None
    """Whether more than one; None while nobody knows."""
    works: int = 0
    """The most that came."""
    fails: int = 0
    """The fewest that did not; 0 while none is known."""

    def next(self) -> int:
        """How many to ask for: halfway between what works and what fails, until they meet."""
        if not self.fails or not self.works:
            return MOST
        return min(MOST, max(self.works, (self.works + self.fails) // 2))


_FACTS = (FACT, LARGEST, TOO_MANY)


class Coalesced:
    """A backend whose identical calls of one turn of the event loop go out together."""

    def __init__(self, backend: Backend, endpoint: str, memory: Memory | None = None) -> None:
        """Remember where the calls go, and what holds the knowledge of earlier runs."""
        self.backend = backend
        self._endpoint = endpoint
        self._memory = memory
        self._gathering: dict[Hashable, list[_Waiting]] = {}
        self._sizes: dict[str, _Sizes] = {}
        self._probing: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._under_way: set[asyncio.Task[Sequence[Outcome | None]]] = set()

    async def complete(self, request: Request) -> Reply:
        """Return the reply to `request`, asked alone or together with its likes."""
        # Without chance all choices are one, and some endpoints refuse to draw them.
        if request.sampling.temperature != 0 and self._sizes_of(request.model).honours is not False:
            loop = asyncio.get_running_loop()
            mine = _Waiting(request, loop.create_future())
            key = _question(request)
            if key not in self._gathering:
                self._gathering[key] = []
                # Siblings were started together: when their turn is over, all of them are here.
                loop.call_soon(self._send, key)
            self._gathering[key].append(mine)
            outcome = await mine.reply
            if isinstance(outcome, Reply):
                return outcome
            if isinstance(outcome, Redraw):
                return await self.backend.complete(redraw_request(request, outcome.failure.kind))
            if isinstance(outcome, ProviderError) and not isinstance(outcome, Transient):
                raise outcome
        return await self.backend.complete(request)

    async def aclose(self) -> None:
        """Close the backend below."""
        await close(self.backend)

    def _send(self, key: Hashable) -> None:
        gathered = self._gathering.pop(key)
        for run in _runs(gathered, self._sizes_of(gathered[0].request.model).next()):
            if len(run) == 1:
                _land(run, ())
                continue
            task = asyncio.get_running_loop().create_task(self._together(run))
            self._under_way.add(task)
            task.add_done_callback(partial(self._landed, run))
            for waiting in run:
                waiting.reply.add_done_callback(partial(_drop, run, task))

    def _landed(self, run: Sequence[_Waiting], task: asyncio.Task[Sequence[Outcome | None]]) -> None:
        """Hand out what came; a request that ended otherwise ends all who wait for it."""
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is None:
            _land(run, task.result())
            return
        for waiting in run:
            if not waiting.reply.done():
                error = None if task.cancelled() else task.exception()
                waiting.reply.cancel() if error is None else waiting.reply.set_exception(error)

    async def _together(self, run: Sequence[_Waiting]) -> Sequence[Outcome | None]:
        """Ask for all of `run` at once; the first such request to a model is the probe, and others wait for it."""
        model = run[0].request.model
        if self._sizes_of(model).honours is None:
            async with self._probing[model]:
                if self._sizes_of(model).honours is None:
                    return await self._sized(run)
        return await self._sized(run) if self._sizes_of(model).honours else ()

    async def _sized(self, run: Sequence[_Waiting]) -> Sequence[Outcome | None]:
        """Ask for `run` at once, and learn from what comes; what is too much at once is asked for in parts."""
        model = run[0].request.model
        sizes = self._sizes_of(model)
        new = len(run) > sizes.works
        try:
            answer = await self._asked(run, tries=2 if new else None)
        except ProviderError as error:
            if not new or isinstance(error, EndpointError) or not _may_be_about_n(error):
                raise
            return await self._in_parts(run, error)
        came, short = len(answer), len(answer) < len(run)
        if came > 1 and (new or short):
            fails = came + 1 if short else sizes.fails
            self._learn(model, _Sizes(True, max(sizes.works, came), fails))
        elif short and not sizes.works:
            self._learn(model, _Sizes(False))
        return answer

    async def _in_parts(self, run: Sequence[_Waiting], error: ProviderError) -> Sequence[Outcome | None]:
        """Ask for one choice alone, which says whether so many were at fault, and for the rest in smaller parts."""
        model = run[0].request.model
        outcomes: list[Outcome | None] = [await self.backend.complete(run[0].request)]
        # These may have passed by themselves meanwhile, so other runs find out anew.
        keep = error.status is None or error.status == 501 or (error.status < 500 and error.status != 404)
        sizes = self._sizes_of(model)
        if len(run) == 2 and not sizes.works:
            self._learn(model, _Sizes(False), keep=keep)
            return outcomes
        self._learn(model, replace(sizes, fails=len(run)), keep=keep)
        part = sizes.works or max(2, len(run) // 2)
        for start in range(1, len(run), part):
            some = run[start : start + part]
            joins = len(some) > 1 and self._sizes_of(model).honours is not False
            answer = await self._sized(some) if joins else ()
            outcomes += [*answer, *[None] * (len(some) - len(answer))]
        return outcomes

    async def _asked(self, run: Sequence[_Waiting], tries: int | None = None) -> Sequence[Outcome | None]:
        reply = await self.backend.complete(join_requests([waiting.request for waiting in run], tries))
        return reply.choices if isinstance(reply, ChoicesReply) else (reply,)

    def _sizes_of(self, model: str) -> _Sizes:
        """What is known of `n` for a model, from this run or an earlier one."""
        if model not in self._sizes:
            said = [self._memory and self._memory.endpoint_fact(self._endpoint, model, f) for f in _FACTS]
            works, fails = (int(word) if word and word.isdecimal() else 0 for word in said[1:])
            honours = None if not said[0] else said[0] == "yes"
            self._sizes[model] = _Sizes(honours, max(works, 2) if honours else 0, fails)
        return self._sizes[model]

    def _learn(self, model: str, found: _Sizes, *, keep: bool = True) -> None:
        """Take a conclusion over; one drawn from what may have been an outage is not kept for other runs."""
        self._sizes[model] = found
        if self._memory is None or not keep or found.honours is None:
            return
        values = ("yes" if found.honours else "no", str(found.works), str(found.fails))
        for fact, value in zip(_FACTS, values, strict=True):
            if value != "0":
                self._memory.record_endpoint_fact(self._endpoint, model, fact, value)


def _may_be_about_n(error: ProviderError) -> bool:
    return error.failure.kind is FailureKind.REFUSED_REQUEST or error.status in REFUSING


def _question(request: Request) -> Hashable:
    """Return what calls share that may join."""
    sampling = replace(request.sampling, seed=None)
    asked = repr((request.messages, request.tools, request.response_schema))
    return request.role, request.model, sampling, asked


def _runs(waiting: Sequence[_Waiting], most: int) -> Iterator[list[_Waiting]]:
    """Split calls into those whose seeds count up by one, at most `most` at a time; without seeds any will do."""
    run: list[_Waiting] = []
    for one in sorted(waiting, key=lambda w: (w.request.sampling.seed or 0, w.request.attempt)):
        seed = one.request.sampling.seed
        last = run[-1].request.sampling.seed if run else None
        follows = seed is None if last is None else seed == last + 1
        if run and (not follows or len(run) == most):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _land(run: Sequence[_Waiting], answer: Sequence[Outcome | None]) -> None:
    """Give everybody their choice; those without one go alone."""
    for waiting, choice in zip_longest(run, answer[: len(run)]):
        if not waiting.reply.done():
            waiting.reply.set_result(choice)


def _drop(run: Sequence[_Waiting], task: asyncio.Task[Any], reply: asyncio.Future[Any]) -> None:
    """End a request that nobody waits for any more."""
    if all(waiting.reply.cancelled() for waiting in run):
        task.cancel()
