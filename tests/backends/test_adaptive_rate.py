"""The pace of an endpoint: slots, overload, pauses and death."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tfgrpo.backends import Ledger, Limited, OpenAI, Pace, Scripted
from tfgrpo.backends.retry_policy import Crowded, Transient, Unreachable
from tfgrpo.errors import EndpointError, UsageError
from tfgrpo.types import Reply, Request, Sampling, Usage

ASK = Request("rollout", "m", ({"role": "user", "content": "hi"},))


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds


def pace(concurrency: int = 8, **settings: object) -> tuple[Pace, Clock]:
    """Return a pace on a clock of its own."""
    clock = Clock()
    return Pace(concurrency, clock=clock, sleep=clock.sleep, **settings), clock


async def call(pace: Pace, error: Exception | None = None) -> None:
    """Hold a slot and end well or badly."""
    async with pace.slot():
        if error:
            raise error


async def fail(pace: Pace, error: Exception) -> None:
    """Hold a slot, end badly, and let nobody know."""
    with pytest.raises(type(error)):
        await call(pace, error)


async def test_never_more_calls_at_once_than_allowed(server):
    """Twenty calls with a concurrency of three: the server sees three at once, and answers all."""
    server.delay = 0.01
    backend = OpenAI(server.url)
    limited = Limited(backend, Ledger(), Pace(3))
    await asyncio.gather(*[limited.complete(ASK) for _ in range(20)])
    await backend.aclose()
    assert (server.busiest, server.chats) == (3, 20)


async def test_overload_halves_the_width_and_answers_grow_it_back():
    """A 429 halves; about one round of answers adds one; it never passes what was asked for."""
    slots, clock = pace(8)
    await fail(slots, Transient("x", status=429))
    assert slots.width == 4
    clock.now += 1
    for _ in range(4):
        await call(slots)
    assert 4.8 < slots.width < 5.1
    for _ in range(100):
        await call(slots)
    assert slots.width == 8


async def test_a_refusal_now_and_then_costs_little():
    """One 429 in twenty leaves most of the width; when all calls are refused it halves again each time."""
    slots, clock = pace(64)
    for number in range(400):
        clock.now += 1
        await (fail(slots, Transient("x", status=429)) if number % 20 == 0 else call(slots))
    assert slots.width > 40
    for _ in range(40):
        clock.now += 1
        await fail(slots, Transient("x", status=429))
    assert slots.width == 1


async def test_calls_that_fail_together_halve_it_once():
    """Eight calls under way meet the same overload: that is one piece of news."""
    slots, clock = pace(8)
    started = asyncio.Event()

    async def refused() -> None:
        async with slots.slot():
            await started.wait()
            raise Transient("x", status=503)

    tasks = [asyncio.ensure_future(refused()) for _ in range(8)]
    await asyncio.sleep(0)
    clock.now += 1
    started.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert slots.width == 4
    assert slots.in_flight == 0


async def test_the_width_never_falls_below_one():
    """However bad it is, one call at a time goes on."""
    slots, clock = pace(4)
    for _ in range(10):
        clock.now += 1
        await fail(slots, Transient("x", status=429))
    assert slots.width == 1


async def test_a_retry_after_pauses_everybody():
    """The next call of any role starts when the endpoint said."""
    slots, clock = pace()
    await fail(slots, Transient("x", status=429, retry_after=20))
    await call(slots)
    assert clock.now == 1020


async def test_calls_per_minute_are_kept():
    """The third call of a minute that allows two waits for the minute to end."""
    slots, clock = pace(per_minute=2)
    for _ in range(3):
        await call(slots)
    assert clock.now == 1060


async def test_tokens_per_minute_are_kept():
    """Calls count by estimate while they run and by what they took afterwards."""
    slots, clock = pace(tokens_per_minute=100)
    async with slots.slot(60) as took:
        took(90)
    await call(slots)  # Calls without tokens are free.
    async with slots.slot(10):
        assert clock.now == 1000
    async with slots.slot(10):
        assert clock.now == 1060


async def test_a_call_larger_than_a_minute_starts_alone():
    """It would never start otherwise."""
    slots, clock = pace(tokens_per_minute=100)
    for wanted in (1000, 1060):
        async with slots.slot(500):
            assert clock.now == wanted


async def test_a_limited_backend_counts_the_tokens_of_its_replies():
    """The second call waits because of what the first one took, though it had been expected to take more."""
    slots, clock = pace(tokens_per_minute=1000)
    backend = Limited(Scripted([Reply("a", usage=Usage(500, 480)), "b"]), Ledger(), slots)
    short = replace(ASK, sampling=Sampling(max_tokens=50))
    await backend.complete(short)
    assert clock.now == 1000
    await backend.complete(short)
    assert clock.now == 1060


async def test_a_dead_endpoint_is_not_asked_again_for_a_while():
    """After a wrong key the calls that wait end with the same words and send nothing; later one may look again."""
    slots, clock = pace()
    model = Scripted([EndpointError("wrong key"), "ok"])
    backend = Limited(model, Ledger(), slots)
    for _ in range(5):
        with pytest.raises(EndpointError, match="wrong key"):
            await backend.complete(ASK)
    assert len(model.requests) == 1
    clock.now += 31
    assert (await backend.complete(ASK)).text == "ok"


async def test_many_refused_connections_in_a_row_mean_dead():
    """One answer in between starts the count again."""
    slots, _ = pace(dead_after=3)
    for error in [Unreachable("gone"), Unreachable("gone"), Transient("x"), *[Unreachable("gone")] * 3]:
        await fail(slots, error)
    with pytest.raises(EndpointError, match="gone") as caught:
        await call(slots)
    assert not isinstance(caught.value, Transient)


async def test_cancelled_waiters_lose_no_slot():
    """Calls that give up while they wait leave the line to the others."""
    slots, _ = pace(1)
    hold = asyncio.Event()

    async def holding() -> None:
        async with slots.slot():
            await hold.wait()

    tasks = [asyncio.ensure_future(holding()) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    hold.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert slots.in_flight == 0
    await asyncio.wait_for(call(slots), 60)


def test_a_pace_without_slots_is_refused():
    """Nothing could ever be called."""
    with pytest.raises(UsageError):
        Pace(0)


@pytest.mark.parametrize(("answered", "kind"), [(False, EndpointError), (True, Unreachable)])
async def test_a_wait_of_hours_holds_nobody(answered, kind):
    """An endpoint that begins so ends the run at once; one that has answered is asked a few times more, and soon."""
    its, clock = pace()
    if answered:
        await call(its)
    with pytest.raises(EndpointError, match=r"asks to wait 7,200 s, more than the 600 s") as told:
        await call(its, Transient("busy", status=429, retry_after=7200.0))
    assert type(told.value) is kind
    before = clock.now
    if answered:
        await call(its)
    else:
        await fail(its, EndpointError("asks to wait"))
    assert clock.now == before


async def test_no_room_for_connections_halves_the_calls_at_once():
    """As overload does, though it is this machine that is full."""
    its, _ = pace(8)
    await fail(its, Crowded("full"))
    assert its.width == 4.0
