"""Several endpoints share the load, and a dead one is set aside until it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from support.server import Fault, Server

from tfgrpo.backends import OpenAI, Pace, with_wrappers
from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.errors import EndpointError
from tfgrpo.types import Request

NO_WAIT = RetryPolicy(attempts=3, wait_initial=0, wait_max=0, jitter=0)
ASK = Request("rollout", "test-model", ({"role": "user", "content": "2+2?"},))


class Clock:
    """A clock that tests set."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at 0."""
    return Clock()


@pytest.fixture
async def pair(clock: Clock) -> AsyncIterator[tuple[Server, Server, Backend]]:
    """Two servers and a backend over both."""
    with Server(delay=0.02) as one, Server(delay=0.02) as two:
        paces = [Pace(4, clock=clock), Pace(4, clock=clock)]
        backend = with_wrappers([OpenAI(one.url), OpenAI(two.url)], policy=NO_WAIT, pace=paces)
        yield one, two, backend
        await close(backend)


async def ask(backend: Backend, count: int) -> None:
    """Ask so many different questions at once."""
    await asyncio.gather(*(backend.complete(replace(ASK, attempt=i)) for i in range(count)))


async def test_the_load_is_shared(pair):
    """Each endpoint gets half, and none more than its pace allows at once."""
    one, two, backend = pair
    await ask(backend, 32)
    assert abs(one.chats - two.chats) <= 4
    assert max(one.busiest, two.busiest) <= 4


async def test_a_dead_endpoint_is_set_aside_and_tried_again(pair, clock):
    """Its calls go to the other at once; after a while it is asked again and takes its share."""
    one, two, backend = pair
    one.faults = lambda index, body: Fault.UNAUTHORIZED
    await ask(backend, 16)
    refused = one.chats
    assert 1 <= refused <= 4
    assert two.chats == 16
    await ask(backend, 8)
    assert one.chats == refused
    one.faults = ()
    clock.now = 31.0
    await ask(backend, 16)
    assert one.chats >= refused + 4


async def test_an_endpoint_that_goes_away_costs_nothing(pair):
    """Calls in flight there are asked again at the other."""
    one, two, backend = pair
    await ask(backend, 8)
    one.stop()
    await ask(backend, 16)
    assert one.chats + two.chats == 24


async def test_only_when_all_are_dead_the_run_ends(pair):
    """Then the message names one of them."""
    one, two, backend = pair
    one.faults = two.faults = lambda index, body: Fault.UNAUTHORIZED
    with pytest.raises(EndpointError, match="answered 401"):
        await backend.complete(ASK)
    assert (one.chats, two.chats) == (1, 1)


async def test_the_faster_endpoint_gets_more(pair):
    """A call goes where there is room, so a slow endpoint holds nobody up."""
    one, two, backend = pair
    one.delay = 0.3
    left = iter(range(40))

    async def worker() -> None:
        for i in left:
            await backend.complete(replace(ASK, attempt=i))

    await asyncio.gather(*(worker() for _ in range(6)))
    assert two.chats > 2 * one.chats


@pytest.fixture
async def uneven(clock: Clock) -> AsyncIterator[tuple[Server, Server, Backend]]:
    """Two servers, the first of which counts three times as much as the second."""
    with Server() as one, Server() as two:
        ways, paces = [OpenAI(one.url), OpenAI(two.url)], [Pace(6, clock=clock), Pace(2, clock=clock)]
        backend = with_wrappers(ways, policy=NO_WAIT, pace=paces, weights=[3, 1])
        yield one, two, backend
        await close(backend)


async def test_a_full_load_is_shared_by_weight(uneven):
    """With more calls than slots each endpoint takes its share of them."""
    one, two, backend = uneven
    one.delay = two.delay = 0.02
    await ask(backend, 64)
    assert one.chats == pytest.approx(48, abs=5)
    assert one.chats + two.chats == 64


async def test_single_calls_are_shared_by_weight(uneven, clock):
    """One call at a time goes round by weight; an endpoint that was away gets its share again and no backlog."""
    one, two, backend = uneven
    for _ in range(20):
        await ask(backend, 1)
    assert (one.chats, two.chats) == (15, 5)
    two.faults = lambda index, body: Fault.UNAUTHORIZED
    for _ in range(20):
        await ask(backend, 1)
    two.faults, clock.now = (), 31.0
    before = two.chats
    for _ in range(20):
        await ask(backend, 1)
    assert two.chats - before == pytest.approx(5, abs=1)
