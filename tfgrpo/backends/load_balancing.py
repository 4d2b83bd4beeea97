"""Several endpoints of one model share the load: a call goes to the one that has its prompt warm, while it has room.

The rollouts of a group and the turns of a conversation begin with the same words, which an engine keeps between
requests. So each beginning has an order of endpoints of its own (rendezvous hashing with weights), and a call goes to
the first of them that is no busier than LEAN times its share (consistent hashing with bounded loads, Mirrokni et al.
2018, section 2); where none is, or `sticky` is off, to the one with the most room for its weight.

Engines that tell how much they hold (`engine_state`) are counted with the requests of their other clients.

An endpoint that is dead (nothing listens, wrong key, no such model) or not well by its `/health` is set aside by its
own pace and tried again later, or as soon as it says that it is well again; its calls go to the others. The run ends
only when all of them are dead.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.engine_state import EngineWatch
from tfgrpo.errors import EndpointError
from tfgrpo.types import Reply, Request

log = logging.getLogger(__name__)
LEAN = 1.25
"""How far above its share of the calls under way an endpoint may be preferred for what it has warm."""
FEW = 8
"""So many calls at once are no load for an engine, whatever the others do."""
BEGINNING = 2
"""Messages that make the beginning: of a rollout the system's, with the lessons, and the problem."""


@dataclass(eq=False, slots=True)
class _Way:
    """One endpoint."""

    place: int
    """Its place in the configuration, which is its name here."""
    backend: Backend
    pace: Pace
    weight: float
    due: float = 0.0
    """Its next turn."""
    under_way: int = 0
    """Calls that it was given and has not answered."""
    mourned: bool = False
    """Whether it was said that it is dead."""


class LoadBalanced:
    """A backend that chooses among backends, each of which keeps to a pace of its own."""

    def __init__(
        self,
        backends: Sequence[Backend],
        paces: Sequence[Pace],
        weights: Sequence[float] | None = None,
        *,
        sticky: bool = True,
        watch: EngineWatch | None = None,
    ) -> None:
        """Take one pace for each backend, the one that its `Limited` keeps to; without weights all count the same."""
        weights = weights or [1.0] * len(backends)
        each = zip(range(len(backends)), backends, paces, weights, strict=True)
        self._ways = tuple(_Way(*way) for way in each)
        self._turn = 0.0
        self._sticky = sticky
        self._watch = watch

    async def complete(self, request: Request) -> Reply:
        """Ask the endpoint with the most room; one that turns out dead hands over to the next.

        Raises:
            EndpointError: all of them are dead; the message is that of the last one asked.
        """
        tried: list[_Way] = []
        if self._watch is not None:
            self._watch.look([way.under_way for way in self._ways])
        while True:
            way = self._warm(request, tried) or self._best(tried)
            way.under_way += 1
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
            finally:
                way.under_way -= 1

    async def aclose(self) -> None:
        """Close all backends."""
        if self._watch is not None:
            await self._watch.aclose()
        for way in self._ways:
            await close(way.backend)

    def _warm(self, request: Request, tried: Sequence[_Way]) -> _Way | None:
        """Return the first endpoint in the order of the request's beginning that has room, or None."""
        if not self._sticky:
            return None
        ways = [way for way in self._ways if way not in tried and not way.pace.closed]
        weight, calls = sum(way.weight for way in ways), sum(map(self._held, ways)) + 1
        words = json.dumps(request.messages[:BEGINNING], sort_keys=True, ensure_ascii=False)
        for way in _ranked(words, ways):
            share = max(FEW, math.ceil(LEAN * calls * way.weight / weight))
            if self._held(way) < share and way.under_way < int(way.pace.width):
                return way
        return None

    def _best(self, tried: Sequence[_Way]) -> _Way:
        """Return the way with the most room among those not tried; where rooms are equal, they take turns by weight.

        The slots of a way are in proportion to its weight, so room alone shares a full load. Turns are start-time fair
        queueing (Goyal et al. 1996): one that was away or full for a while gets no backlog of calls.
        """
        left = [way for way in self._ways if way not in tried]
        best = min(left, key=lambda way: (way.pace.closed, self._load(way), max(self._turn, way.due)))
        self._turn = max(self._turn, best.due)
        best.due = self._turn + 1 / best.weight
        return best

    def _held(self, way: _Way) -> int:
        """Requests at an endpoint: ours, and what its engine told of others."""
        return way.under_way + (self._watch.elsewhere[way.place] if self._watch else 0)

    def _load(self, way: _Way) -> float:
        elsewhere = self._watch.elsewhere[way.place] if self._watch else 0
        return way.pace.load + elsewhere / max(1, int(way.pace.width))


def _ranked(words: str, ways: Iterable[_Way]) -> list[_Way]:
    """Return the endpoints in the order of `words`: each is first for a share of all words in proportion to its weight.

    The order of the others does not change when one goes or comes (weighted rendezvous hashing).
    """

    def score(way: _Way) -> float:
        digest = hashlib.blake2b(f"{way.place}:{words}".encode(errors="replace"), digest_size=8).digest()
        uniform = (int.from_bytes(digest, "big") + 0.5) / 2**64
        return -way.weight / math.log(uniform)

    return sorted(ways, key=score, reverse=True)
