"""A second request for a call that takes far longer than usual; whichever answers first is taken, both are paid.

It stands inside of the retries and outside of the limits, so the second request holds a slot of its own and counts for
the budget. Both carry the same seed.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tfgrpo.backends.base import Backend, close
from tfgrpo.errors import ProviderError
from tfgrpo.types import Reply, Request

ENOUGH = 8
"""Answers of a role before its usual time is known."""
RECENT = 64
LEAST = 1.0
"""Seconds before which no call is late."""


@dataclass(slots=True)
class Hedged:
    """A backend that asks twice where the first request is late."""

    backend: Backend
    times: float
    """Late is so many times the usual (median) time of the role."""
    clock: Callable[[], float] = time.monotonic
    _took: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=RECENT)))

    async def complete(self, request: Request) -> Reply:
        """Return the first reply; the failure of one request waits for the other, where there is one."""
        took = self._took[request.role]
        if len(took) < ENOUGH:
            return await self._timed(request)
        first = asyncio.ensure_future(self._timed(request))
        running = {first}
        try:
            await asyncio.wait(running, timeout=max(LEAST, self.times * statistics.median(took)))
            if first.done():
                return first.result()
            running.add(asyncio.ensure_future(self._timed(request)))
            while True:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                answered = [one for one in done if not isinstance(one.exception(), ProviderError)]
                if answered or not running:
                    return (answered or list(done))[0].result()
        finally:
            for left in running:
                left.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def aclose(self) -> None:
        """Close the backend below."""
        await close(self.backend)

    async def _timed(self, request: Request) -> Reply:
        began = self.clock()
        reply = await self.backend.complete(request)
        self._took[request.role].append(self.clock() - began)
        return reply
