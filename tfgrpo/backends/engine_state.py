"""What engines say of themselves beside the calls: how many requests they hold (`/metrics`), and whether they are well.

vLLM and llama.cpp tell both. Other clients of an engine show in its counts alone, and an engine whose worker died goes
on listening while its calls fail: `/health` says so. Where nothing is told, nothing is asked again.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.http import Answer, Http, NotDelivered, TooLarge
from tfgrpo.backends.transports import addressed

log = logging.getLogger(__name__)
EVERY = 2.0
"""Seconds between two looks at an engine, while calls are made."""
SECONDS = 5.0
"""Longest wait for what it says."""
HELD = re.compile(
    r"^(?:vllm:num_requests_(?:running|waiting)|llamacpp:requests_(?:processing|deferred))(?:\{[^}\n]*\})?\s+(\S+)",
    re.MULTILINE,
)
CACHE = re.compile(r"^vllm:prefix_cache_(queries|hits)(?:_total)?(?:\{[^}\n]*\})?\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class EngineState:
    """What one look found; None where the engine does not say."""

    held: int | None = None
    """Requests that it runs or keeps waiting, of all its clients."""
    well: bool | None = None
    queried: float = 0.0
    """Tokens of prompts that were looked up in its prefix cache since it began."""
    hit: float = 0.0
    """Tokens that were found there."""


@runtime_checkable
class Speaks(Protocol):
    """A backend whose engine can be asked about itself."""

    async def engine_state(self) -> EngineState:
        """Ask once."""
        ...


class EngineDoor:
    """The way to what one engine says of itself."""

    def __init__(self, base_url: str, api_key: str | None) -> None:
        url, self._headers = addressed(base_url, api_key)
        self._root = url.partition("?")[0].rstrip("/").removesuffix("/v1")
        self._silent: set[str] = set()
        self._closed = False
        self._http = Http(SECONDS)

    async def state(self) -> EngineState:
        """Ask once; what it has not, it is not asked for again."""
        metrics, health = await asyncio.gather(self._got("/metrics"), self._got("/health"))
        said = metrics.text if metrics and metrics.status == 200 else ""
        held, cache = [float(n) for n in HELD.findall(said)], CACHE.findall(said)
        counts = [sum(float(n) for name, n in cache if name == kind) for kind in ("queries", "hits")]
        well = None if "/health" in self._silent else health is not None and health.status == 200
        return EngineState(int(sum(held)) if held else None, well, *counts)

    async def aclose(self) -> None:
        """Close the connections; nothing is asked any more."""
        self._closed = True
        await self._http.aclose()

    async def _got(self, path: str) -> Answer | None:
        if self._closed or path in self._silent:
            return None
        try:
            async with asyncio.timeout(SECONDS):
                answer = await self._http.send("GET", f"{self._root}{path}", None, self._headers)
        except (NotDelivered, TooLarge, TimeoutError):
            return None
        if answer.status in {401, 403, 404, 405}:
            self._silent.add(path)
        return answer


class EngineWatch:
    """Looks at all engines of a line now and then, aside of the calls, and sets those aside that are not well."""

    def __init__(
        self,
        backends: Sequence[object],
        paces: Sequence[Pace],
        *,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._asked = [(i, one, paces[i]) for i, one in enumerate(backends) if isinstance(one, Speaks)]
        self._every = every
        self._clock = clock
        self._due = clock()
        self._look: asyncio.Task[None] | None = None
        self._were_well: set[int] = set()
        self.elsewhere = [0] * len(backends)
        """Requests of others that each engine held at the last look."""

    def look(self, own: Sequence[int]) -> None:
        """Ask all engines, unless that was done a moment ago; `own` is how many calls each has of ours."""
        if self._asked and self._clock() >= self._due and (self._look is None or self._look.done()):
            self._due = self._clock() + self._every
            self._look = asyncio.ensure_future(self._all(tuple(own)))

    async def aclose(self) -> None:
        """Give up a look that is under way."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)

    async def _all(self, own: Sequence[int]) -> None:
        await asyncio.gather(*(self._one(i, engine, pace, own[i]) for i, engine, pace in self._asked))

    async def _one(self, place: int, engine: Speaks, pace: Pace, own: int) -> None:
        state = await engine.engine_state()
        self.elsewhere[place] = max(0, (state.held or 0) - own)
        if state.well:
            self._were_well.add(place)
            if pace.reopen():
                log.warning("endpoint %d is well again and takes calls", place + 1)
        elif state.well is False and place in self._were_well:
            self._were_well.discard(place)
            pace.set_aside("its /health says that it is not well")
            log.warning("endpoint %d is not well by its /health; the others go on without it for a while", place + 1)
