"""Calls that differ in the attempt alone travel together where the endpoint honours `n`, and draw the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.server import Fault, Server, error

from experience_db import Journal, Store
from tfgrpo.backends import Budget, Ledger, OpenAI, with_wrappers
from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.errors import BudgetReached, ProviderError
from tfgrpo.types import Reply, Request, Sampling, Usage

NO_WAIT = RetryPolicy(attempts=3, wait_initial=0, wait_max=0, jitter=0)
ASK = Request("rollout", "test-model", ({"role": "user", "content": "2+2?"},), Sampling(1.0, seed=100))


@pytest.fixture
def store(tmp_path: Path):
    """An empty store, which also remembers endpoints."""
    with Store.open(tmp_path / "x.db") as opened:
        yield opened


@pytest.fixture
async def make(server: Server, store: Store):
    """Make a backend that joins calls; each has an engine of its own and they share the store."""
    server.reply = lambda body: f"seed {body.get('seed')}"
    made: list[Backend] = []

    def make(**options) -> Backend:
        backend = OpenAI(server.url, timeout=60)
        made.append(with_wrappers(backend, policy=NO_WAIT, joining=server.url, memory=store, **options))
        return made[-1]

    yield make
    for backend in made:
        await close(backend)


async def ask(backend: Backend, seeds: Sequence[int | None], **changes) -> list[Reply]:
    """Ask once for each seed, all at the same time."""
    asked = [
        replace(ASK, attempt=i, sampling=replace(ASK.sampling, seed=seed), **changes) for i, seed in enumerate(seeds)
    ]
    replies = await asyncio.gather(*map(backend.complete, asked), return_exceptions=True)
    for reply in replies:
        if isinstance(reply, BaseException):
            raise reply
    return replies


async def test_a_group_goes_out_as_one_request(make, server):
    """Five rollouts with seeds that count up are one call, and each gets what its own seed draws."""
    replies = await ask(make(), [102, 100, 101, 104, 103])
    assert [r.text for r in replies] == [f"seed {s}" for s in (102, 100, 101, 104, 103)]
    assert [(b["n"], b["seed"]) for b in server.bodies] == [(5, 100)]


async def test_shares_of_the_usage_sum_up_to_the_whole(make):
    """The prompt is paid for once, so it is counted once."""
    replies = await ask(make(), [100, 101, 102])
    assert sum((r.usage for r in replies), Usage()) == Usage(1, 6, 0, None)
    assert sorted(r.usage.prompt_tokens for r in replies) == [0, 0, 1]


@pytest.mark.parametrize(
    ("seeds", "sizes"),
    [([5, 9, 6], [2, 1]), ([None, None], [2]), ([7], [1]), (range(20), [16, 4]), ([3, 3], [1, 1])],
    ids=str,
)
async def test_only_seeds_that_count_up_join(make, server, seeds, sizes):
    """Others would draw what no record says; 16 is the most in one request."""
    replies = await ask(make(), list(seeds))
    assert sorted(b.get("n", 1) for b in server.bodies) == sorted(sizes)
    assert [r.text for r in replies] == [f"seed {s}" for s in seeds]


async def test_different_questions_do_not_join(make, server):
    """Another prompt, role or temperature is another question; without chance there is nothing to draw twice."""
    backend = make()
    await asyncio.gather(
        ask(backend, [1]),
        ask(backend, [2], role="gate"),
        ask(backend, [2], messages=({"role": "user", "content": "3+3?"},)),
    )
    greedy = [replace(ASK, attempt=i, sampling=Sampling(0.0, seed=i)) for i in range(2)]
    await asyncio.gather(*map(backend.complete, greedy))
    assert server.chats == 5
    assert not any("n" in body for body in server.bodies)


async def test_an_endpoint_that_ignores_n_is_asked_one_by_one_ever_after(make, server, store):
    """The first choice is used, the rest is asked for, and the next run knows it from the database."""
    server.honours_n = False
    assert [r.text for r in await ask(make(), [1, 2, 3])] == ["seed 1", "seed 2", "seed 3"]
    assert [b.get("n") for b in server.bodies] == [3, None, None]
    assert store.endpoint_fact(server.url, "test-model", "honours_n") == "no"
    await ask(make(), [4, 5])
    assert [b.get("n") for b in server.bodies[3:]] == [None, None]


async def test_an_endpoint_that_refuses_n_loses_no_call(make, server, store):
    """A 400 about `n` costs one request once; a 400 about the question is the failure of each call."""
    server.reply = lambda body: error(400, "n must be 1") if body.get("n") else "4"
    assert [r.text for r in await ask(make(), [1, 2])] == ["4", "4"]
    assert store.endpoint_fact(server.url, "test-model", "honours_n") == "no"
    server.reply = lambda body: error(400, "maximum context length")
    with pytest.raises(ProviderError, match="context"):
        await ask(make(), [3, 4])


async def test_only_one_call_probes(make, server):
    """While nothing is known the others wait for the probe, then all join."""
    backend = make()
    server.delay = 0.05
    await asyncio.gather(*(ask(backend, [i, i + 1], messages=ASK.messages * i) for i in range(1, 6)))
    assert [b["n"] for b in server.bodies] == [2] * 5
    assert server.busiest == 4


async def test_a_choice_that_is_missing_or_empty_is_asked_for_alone(make, server):
    """The others keep theirs."""
    backend = make()
    await ask(backend, [1, 2])
    server.bodies.clear()
    server.reply = lambda body: "" if body["seed"] == 11 and body.get("n") else f"seed {body['seed']}"
    assert [r.text for r in await ask(backend, [10, 11, 12])] == ["seed 10", "seed 11", "seed 12"]
    assert [(b.get("n"), b["seed"]) for b in server.bodies] == [(3, 10), (None, 11)]


async def test_a_passing_fault_is_retried_and_a_lasting_one_fails_each_call(make, server):
    """Retries see the joined request as one call."""
    backend = make()
    server.faults = [Fault.SERVER_ERROR]
    assert len(await ask(backend, [1, 2])) == 2
    assert server.chats == 2
    server.faults = lambda index, body: Fault.SERVER_ERROR
    with pytest.raises(ProviderError, match="tried 3 times"):
        await ask(backend, [3, 4])
    assert server.chats == 5


async def test_each_choice_of_a_joined_request_counts_for_the_budget(make, server):
    """A budget of calls means the same whether calls are joined or not, and tokens are reserved for every choice."""
    ledger = Ledger(Budget(calls=4))
    backend = make(ledger=ledger)
    await ask(backend, [1, 2, 3])
    with pytest.raises(BudgetReached):
        await ask(backend, [4, 5])
    assert (server.chats, ledger.calls) == (1, 3)
    tight = make(ledger=Ledger(Budget(tokens=250)))
    limited = replace(ASK, sampling=Sampling(1.0, max_tokens=100))
    with pytest.raises(BudgetReached):
        await asyncio.gather(*(tight.complete(replace(limited, attempt=i)) for i in range(3)))
    assert server.chats == 1


async def test_each_attempt_has_a_record_of_its_own(make, server, store):
    """What came together is replayed apart."""
    about = {"config": {}, "library": None, "base_version": None, "dataset": "d"}
    store.start_run("r", name="r", kind="learn", fingerprint="f", **about)
    await ask(make(journal=Journal(store), run="r"), [1, 2, 3])
    replayed = await ask(make(journal=Journal(store), run="r"), [1, 2, 3])
    assert [r.text for r in replayed] == ["seed 1", "seed 2", "seed 3"]
    assert all(r.replayed for r in replayed)
    assert server.chats == 1


async def test_a_request_that_nobody_waits_for_ends(make, server):
    """Cancelling all of its calls ends it; one that is left keeps it."""
    backend = make()
    await ask(backend, [1, 2])
    server.delay = 0.2
    tasks = [asyncio.ensure_future(backend.complete(replace(ASK, sampling=Sampling(1.0, seed=i)))) for i in (3, 4)]
    while server.chats < 2:
        await asyncio.sleep(0.01)
    tasks[0].cancel()
    assert (await tasks[1]).text == "seed 4"


@pytest.mark.parametrize("status", [400, 404, 405, 500, 501])
@pytest.mark.parametrize("answered", [False, True])
async def test_several_choices_that_are_refused_by_a_status_are_asked_for_singly(make, server, status, answered):
    """Whatever the status, and whether or not single calls were answered before, no call is lost and no run ends."""
    backend = make()
    if answered:
        await backend.complete(replace(ASK, attempt=99))
    server.reply = lambda body: error(status, "no") if body.get("n", 1) > 1 else f"seed {body['seed']}"
    replies = await asyncio.gather(ask(backend, range(100, 104)), ask(backend, range(200, 204)))
    assert [r.text for part in replies for r in part] == [f"seed {s}" for s in (*range(100, 104), *range(200, 204))]
