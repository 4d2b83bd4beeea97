"""Budgets are hard: what does not fit is not sent."""

from __future__ import annotations

import asyncio

import pytest
from support.server import Fault

from tfgrpo.backends import Budget, Journaled, Ledger, Limited, OpenAI, Pace, Retried, Scripted, with_wrappers
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.retry_policy import RetryPolicy, Transient
from tfgrpo.errors import BudgetReached, ProviderError, UsageError
from tfgrpo.types import Reply, Request, Sampling, Usage

NO_WAIT = RetryPolicy(attempts=3, wait_initial=0, wait_max=0, jitter=0)
PROMPT = 13
"""Tokens that are reserved for the prompt below."""


def ask(attempt: int = 0, max_tokens: int | None = 10) -> Request:
    """Return a call; its prompt of one word is reserved with PROMPT tokens."""
    return Request(
        "rollout", "m", ({"role": "user", "content": "hi"},), Sampling(max_tokens=max_tokens), attempt=attempt
    )


def spending(prompt: int, completion: int):
    """Return a model whose replies use so many tokens."""

    async def reply(request: Request) -> Reply:
        await asyncio.sleep(0)
        return Reply("ok", usage=Usage(prompt, completion, usd=None))

    return Scripted(reply)


async def run(backend, calls: int) -> list[Reply | BaseException]:
    """Make calls at once and return what came of them."""
    return await asyncio.gather(*[backend.complete(ask(i)) for i in range(calls)], return_exceptions=True)


@pytest.mark.parametrize("budget", [0, 1, 7])
async def test_a_budget_of_n_calls_never_sends_one_more(server, budget):
    """Fifty calls at once against a flaky endpoint: no more than N requests reach the socket, retries included."""
    server.faults = lambda index, body: Fault.SERVER_ERROR if index % 3 == 1 else None
    backend = OpenAI(server.url)
    outcomes = await run(with_wrappers(backend, policy=NO_WAIT, ledger=Ledger(Budget(calls=budget))), 50)
    await backend.aclose()
    assert server.chats == budget
    reached = [outcome for outcome in outcomes if isinstance(outcome, BudgetReached)]
    assert len(reached) + sum(isinstance(outcome, Reply) for outcome in outcomes) == 50
    assert reached


@pytest.mark.parametrize("concurrent", [1, 20])
async def test_tokens_stay_within_the_budget(concurrent):
    """Each call uses 20 tokens and reserves 23, so 100 tokens let four through however many ask at once."""
    ledger, model = Ledger(Budget(tokens=100)), spending(10, 10)
    backend = Limited(model, ledger)
    for _ in range(20 // concurrent):
        outcomes = await run(backend, concurrent)
    assert ledger.tokens == 80
    assert len(model.requests) == 4
    assert isinstance(outcomes[-1], BudgetReached)


async def test_money_stays_within_the_budget():
    """The price turns tokens into money; the call that might pass the limit is not sent."""
    price = Price(prompt=1e4, completion=1e5)
    ledger, model = Ledger(Budget(usd=4.0)), spending(10, 5)
    outcomes = await run(Limited(model, ledger, price=price), 20)
    assert ledger.usd == pytest.approx(len(model.requests) * (10 * 0.01 + 5 * 0.1))
    assert ledger.usd <= 4.0
    assert ledger.usd + PROMPT * 0.01 + 10 * 0.1 > 4.0
    assert isinstance(outcomes[-1], BudgetReached)


async def test_no_call_starts_after_its_time():
    """The clock starts with the first call."""
    now = [100.0]
    backend = Limited(Scripted(lambda request: "ok"), Ledger(Budget(seconds=5), clock=lambda: now[0]))
    await backend.complete(ask())
    now[0] = 105.1
    with pytest.raises(BudgetReached, match="budget of 5 seconds"):
        await backend.complete(ask())


async def test_a_money_budget_needs_a_price():
    """Unknown prices cannot be kept within a budget, and that is said before anything is sent."""
    model = Scripted(["ok"])
    backend = Limited(model, Ledger(Budget(usd=1.0)))
    assert not backend.price_known
    with pytest.raises(UsageError, match="set a price"):
        await backend.complete(ask())
    assert model.requests == []


async def test_replayed_calls_are_free():
    """With a budget of no calls at all, a journal still answers what it knows."""

    class Full:
        """A journal that knows everything."""

        def key(self, request):
            """Return one key for all."""
            return "k"

        def get(self, key):
            """Return one reply for all."""
            return {"text": "4", "finish_reason": "stop", "usage": {}}

        def put_many(self, calls):
            """Keep nothing."""

    backend = Journaled(Limited(Scripted([]), Ledger(Budget(calls=0))), Full())
    assert (await backend.complete(ask())).replayed


async def test_what_earlier_commands_used_counts():
    """A run that goes on starts from what it used before."""
    backend = Limited(Scripted(["ok", "ok"]), Ledger(Budget(calls=3), calls=2))
    await backend.complete(ask())
    with pytest.raises(BudgetReached, match="3 used"):
        await backend.complete(ask())


async def test_failures_release_what_they_reserved():
    """A failed call uses nothing, an empty reply what the endpoint counted, and a cancelled one all it might have."""
    ledger = Ledger(Budget(tokens=1000))
    lines = [ProviderError("no"), Transient("empty", usage=Usage(3, 4)), "ok"]
    backend = Limited(Scripted(lines), ledger)
    with pytest.raises(ProviderError):
        await backend.complete(ask())
    assert ledger.tokens == 0
    await Retried(backend, NO_WAIT).complete(ask())
    assert ledger.tokens == 7 + PROMPT

    reached = asyncio.Event()

    async def forever(request: Request) -> str:
        reached.set()
        await asyncio.Event().wait()
        return ""

    task = asyncio.ensure_future(Limited(Scripted(forever), ledger).complete(ask()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ledger.tokens == 7 + PROMPT + PROMPT + 10


async def test_without_max_tokens_the_longest_reply_so_far_is_reserved():
    """The first call reserves a guess, later ones what was seen."""
    ledger, model = Ledger(Budget(tokens=1100)), spending(20, 30)
    backend = Limited(model, ledger)
    while ledger.tokens < 1000:
        await backend.complete(ask(max_tokens=None))
    assert len(model.requests) == 20


@pytest.mark.parametrize("policy", [RetryPolicy(9, wait_initial=3600, wait_max=3600), RetryPolicy(9)])
async def test_a_stop_ends_every_wait_for_another_try(policy):
    """A call that waits for its next try, by our policy or the endpoint's word, gives up when none is admitted."""
    ledger, tried = Ledger(), asyncio.Event()

    async def busy(request: Request) -> Reply:
        tried.set()
        raise Transient("busy", status=429, retry_after=None if policy.wait_initial > 1 else 500.0)

    backend = with_wrappers(Scripted(busy), policy=policy, ledger=ledger, pace=Pace(2, sleep=ledger.sleep))
    waiting = asyncio.gather(*[backend.complete(ask(i)) for i in range(6)], return_exceptions=True)
    await tried.wait()
    await asyncio.sleep(0)
    ledger.stop("interrupted")
    async with asyncio.timeout(30):
        outcomes = await waiting
    assert {str(outcome) for outcome in outcomes} == {"interrupted"}
    assert {type(outcome) for outcome in outcomes} == {BudgetReached}


async def test_no_wait_is_begun_that_ends_after_the_last_second():
    """With ten seconds left a call that is told to come back in a minute ends at once."""
    ledger = Ledger(Budget(seconds=10))

    async def busy(request: Request) -> Reply:
        raise Transient("busy", status=429, retry_after=60.0)

    async with asyncio.timeout(30):
        with pytest.raises(BudgetReached, match="budget of 10 seconds"):
            await with_wrappers(Scripted(busy), ledger=ledger).complete(ask())
