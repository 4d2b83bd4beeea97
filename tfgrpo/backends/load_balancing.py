"""Several endpoints of one model share the load: each call goes to the one with the most room for its weight.

An endpoint that is dead (nothing listens, wrong key, no such model) is set aside by its own pace and tried again later;
its calls go to the others. The run ends only when all of them are dead.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.base import Backend, close
from tfgrpo.errors import EndpointError
from tfgrpo.types import Reply, Request

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Way:
    """One endpoint."""

    backend: Backend
    pace: Pace
    weight: float
    due: float = 0.0
    """Its next turn."""
    mourned: bool = False
    """Whether it was said that it is dead."""


class LoadBalanced:
    """A backend that chooses among backends, each of which keeps to a pace of its own."""

    def __init__(
        self, backends: Sequence[Backend], paces: Sequence[Pace], weights: Sequence[float] | None = None
    ) -> None:
        """Take one pace for each backend, the one that its `Limited` keeps to; without weights all count the same."""
        weights = weights or [1.0] * len(backends)
        self._ways = tuple(_Way(*each) for each in zip(backends, paces, weights, strict=True))
        self._turn = 0.0

    async def complete(self, request: Request) -> Reply:
        """Ask the endpoint with the most room; one that turns out dead hands over to the next.

        Raises:
            EndpointError: all of them are dead; the message is that of the last one asked.
        """
        tried: list[_Way] = []
        while True:
            way = self._best(tried)
            try:
                reply = await way.backend.complete(request)
            except EndpointError as error:
                tried.append(way)
                if len(tried) == len(self._ways):
                    raise
                if way.pace.closed and not way.mourned:
                    way.mourned = True
                    log.warning("%s; the other endpoints go on without it for a while", error)
            else:
                way.mourned = False
                return reply

    async def aclose(self) -> None:
        """Close all backends."""
        for way in self._ways:
            await close(way.backend)

    def _best(self, tried: Sequence[_Way]) -> _Way:
        """Return the way with the most room among those not tried; where rooms are equal, they take turns by weight.

        The slots of a way are in proportion to its weight, so room alone shares a full load. Turns are start-time fair
        queueing (Goyal et al. 1996): one that was away or full for a while gets no backlog of calls.
        """
        left = [way for way in self._ways if way not in tried]
        best = min(left, key=lambda way: (way.pace.closed, way.pace.load, max(self._turn, way.due)))
        self._turn = max(self._turn, best.due)
        best.due = self._turn + 1 / best.weight
        return best
