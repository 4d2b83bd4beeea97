"""Several endpoints of one model share the load: each call goes to the one with the most room.

An endpoint that is dead (nothing listens, wrong key, no such model) is set aside by its own pace and tried again later;
its calls go to the others. The run ends only when all of them are dead.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.pace import Pace
from tfgrpo.errors import EndpointError
from tfgrpo.types import Reply, Request

log = logging.getLogger(__name__)


class Spread:
    """A backend that chooses among backends, each of which keeps to a pace of its own."""

    def __init__(self, backends: Sequence[Backend], paces: Sequence[Pace]) -> None:
        """Take one pace for each backend: the one that its `Limited` keeps to."""
        self._ways = tuple(zip(backends, paces, strict=True))
        self._next = 0

    async def complete(self, request: Request) -> Reply:
        """Ask the endpoint with the most room; one that turns out dead hands over to the next.

        Raises:
            EndpointError: all of them are dead; the message is that of the last one asked.
        """
        tried: list[Backend] = []
        while True:
            backend, pace = self._best(tried)
            alive = not pace.closed
            try:
                return await backend.complete(request)
            except EndpointError as error:
                tried.append(backend)
                if len(tried) == len(self._ways):
                    raise
                if alive and pace.closed:
                    log.warning("%s; the other endpoints go on without it for a while", error)

    async def aclose(self) -> None:
        """Close all backends."""
        for backend, _ in self._ways:
            await close(backend)

    def _best(self, tried: Sequence[Backend]) -> tuple[Backend, Pace]:
        """Return the way with the most room among those not tried; ties go round."""
        self._next += 1
        turned = [*self._ways[self._next % len(self._ways) :], *self._ways[: self._next % len(self._ways)]]
        return min((way for way in turned if way[0] not in tried), key=lambda way: (way[1].closed, way[1].load))
