"""Several endpoints share the load, and a dead one is set aside until it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from support.server import Fault, Server

from tfgrpo.backends import OpenAI, Pace, with_wrappers
from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.engine_state import EngineWatch
from tfgrpo.backends.limited import Ledger, Limited
from tfgrpo.backends.load_balancing import LoadBalanced
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.errors import EndpointError
from tfgrpo.types import Reply, Request

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
        backend = with_wrappers(ways, policy=NO_WAIT, pace=paces, weights=[3, 1], sticky=False)
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


class Slow:
    """A backend that keeps each call until it is told, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = asyncio.Event()

    async def complete(self, request: Request) -> Reply:
        """Answer when told."""
        self.asked.append(request.messages[0]["content"])
        await self.open.wait()
        return Reply("4")


def about(question: str, turn: int = 0) -> Request:
    """Return a request of a conversation that begins with `question`."""
    later = ({"role": "assistant", "content": f"{i}"} for i in range(turn))
    return Request("rollout", "m", ({"role": "user", "content": question}, {"role": "user", "content": "x"}, *later))


async def held(ways: list[Slow], requests: list[Request], **options: Any) -> None:
    """Ask all at once, each in turn, and then let all be answered."""
    balanced = LoadBalanced(ways, [Pace(64) for _ in ways], **options)
    calls = [asyncio.create_task(balanced.complete(request)) for request in requests]
    await asyncio.sleep(0)
    for way in ways:
        way.open.set()
    await asyncio.gather(*calls)


async def test_what_begins_alike_goes_to_the_same_endpoint():
    """Turns and rollouts of one problem meet one engine; problems spread over all."""
    ways = [Slow() for _ in range(3)]
    for way in ways:
        way.open.set()
    balanced = LoadBalanced(ways, [Pace(64) for _ in ways])
    for number in range(60):
        for turn in range(4):
            await balanced.complete(about(f"problem {number}", turn))
    assert sorted(q for way in ways for q in set(way.asked)) == sorted(f"problem {n}" for n in range(60))
    assert all(10 <= len(set(way.asked)) <= 30 for way in ways)


async def test_a_busy_endpoint_is_not_preferred_beyond_its_share():
    """Forty rollouts of one problem spread over two engines, at most a quarter above an even share each."""
    ways = [Slow(), Slow()]
    await held(ways, [about("the same")] * 40)
    assert max(len(way.asked) for way in ways) <= 26


async def test_a_few_calls_stay_together():
    """A group of five is no load."""
    ways = [Slow(), Slow()]
    await held(ways, [about("the same")] * 5)
    assert {len(way.asked) for way in ways} == {0, 5}


async def test_where_one_goes_only_its_own_move():
    """What the others had warm stays where it is."""

    async def homes(paces: list[Pace]) -> dict[str, int]:
        ways = [Slow() for _ in paces]
        for way in ways:
            way.open.set()
        balanced = LoadBalanced(ways, paces)
        for n in range(60):
            await balanced.complete(about(f"problem {n}"))
        return {q: place for place, way in enumerate(ways) for q in way.asked}

    dead = Pace(64, dead_after=1)
    with pytest.raises(EndpointError):
        async with dead.slot():
            raise EndpointError("gone")
    before, after = await homes([Pace(64) for _ in range(3)]), await homes([Pace(64), dead, Pace(64)])
    assert 1 not in after.values()
    assert all(after[q] == place for q, place in before.items() if place != 1)


async def test_weights_hold_for_beginnings_too():
    """An endpoint of three times the weight is the home of three times the problems."""
    ways = [Slow(), Slow()]
    for way in ways:
        way.open.set()
    balanced = LoadBalanced(ways, [Pace(64), Pace(64)], [3.0, 1.0])
    for n in range(400):
        await balanced.complete(about(f"problem {n}"))
    assert 0.68 <= len(ways[0].asked) / 400 <= 0.82


async def test_stickiness_can_be_left_off():
    """Then calls take turns, whatever they ask."""
    ways = [Slow(), Slow()]
    await held(ways, [about("the same")] * 6, sticky=False)
    assert {len(way.asked) for way in ways} == {3}


METRICS = """# HELP vllm:num_requests_running Number of requests in model execution batches.
vllm:num_requests_running{engine="0",model_name="m"} %d.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 400.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 1e2
"""


async def looked(backend: Backend, servers: tuple[Server, ...], until: Callable[[], bool] = lambda: True) -> None:
    """Make a call, and wait until its look at all engines has ended; once more until what is waited for holds."""
    for _ in range(40):
        before = [server.calls["/health"] for server in servers]
        await ask(backend, 1)
        for _ in range(200):
            if all(server.calls["/health"] > b for server, b in zip(servers, before, strict=True)):
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        if until():
            return


def watched(*servers: Server) -> tuple[LoadBalanced, list[Pace]]:
    """Return a backend that looks at its engines before every call, and their paces."""
    bare, paces = [OpenAI(server.url) for server in servers], [Pace(64) for _ in servers]
    ways = [Limited(one, Ledger(), pace) for one, pace in zip(bare, paces, strict=True)]
    return LoadBalanced(ways, paces, watch=EngineWatch(bare, paces, every=0.0)), paces


async def test_what_an_engine_holds_for_others_counts():
    """The one that runs forty requests of somebody else gets what the other has no room for."""
    with Server(delay=0.02) as one, Server(delay=0.02) as two:
        one.metrics, two.metrics = METRICS % 40, METRICS % 0
        one.health = two.health = 200
        bare = [OpenAI(one.url), OpenAI(two.url)]
        state = await bare[0].engine_state()
        assert (state.held, state.well, state.queried, state.hit) == (41, True, 400.0, 100.0)
        backend = with_wrappers(bare, policy=NO_WAIT, pace=[Pace(64), Pace(64)], sticky=False)
        await looked(backend, (one, two))
        seen = one.chats
        await ask(backend, 30)
        assert one.chats == seen
        await close(backend)


async def test_an_engine_that_is_not_well_is_set_aside_and_comes_back():
    """`/health` decides before calls are lost, and takes it in again before its time is over."""
    with Server() as one, Server() as two:
        one.health = two.health = 200
        backend, paces = watched(one, two)
        await looked(backend, (one, two))
        one.health = 503
        await looked(backend, (one, two), lambda: paces[0].closed)
        seen = one.chats
        await ask(backend, 20)
        assert (one.chats, paces[0].closed) == (seen, True)
        one.health = 200
        await looked(backend, (one, two), lambda: not paces[0].closed)
        assert not paces[0].closed
        await close(backend)


async def test_a_wrong_key_stays_one_whatever_health_says():
    """An engine that is well and refuses is not asked again at every look."""
    with Server(faults=lambda index, body: Fault.UNAUTHORIZED) as one, Server() as two:
        one.health = two.health = 200
        backend, _ = watched(one, two)
        await ask(backend, 16)
        await looked(backend, (one, two))
        seen = one.chats
        await ask(backend, 16)
        assert one.chats == seen
        await close(backend)
