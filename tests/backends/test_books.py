"""The bill is what a counting server counted, budgets hold, and restarts forget nothing."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import world
from support.server import Fault, Raw, Server, error

import tfgrpo
from experience_db import Journal, Store
from tfgrpo.backends import Budget, Ledger, OpenAI, with_wrappers
from tfgrpo.backends.adaptive_timeout import FLOOR, AdaptiveTimeout
from tfgrpo.backends.base import close
from tfgrpo.backends.hedged import Hedged
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.errors import BudgetReached, ProviderError
from tfgrpo.system.http_server import end
from tfgrpo.types import Reply, Request, Sampling, Usage

NO_WAIT = RetryPolicy(attempts=6, wait_initial=0, wait_max=0, jitter=0)
ASK = Request("rollout", "test-model", ({"role": "user", "content": "2+2?"},), Sampling(1.0, seed=100))


class Counting:
    """A reply function that counts the tokens of everything it answers with 200, as a vendor's bill does."""

    def __init__(self, spoil: float = 0.0, seed: int = 0, longest: int = 60) -> None:
        self.tokens = 0
        self.largest = 0
        self._luck = random.Random(seed)
        self._spoil, self._longest = spoil, longest

    def __call__(self, body: dict[str, Any]) -> Raw:
        """Answer with so many words; some answers are of no use, and are billed all the same."""
        n, completion = body.get("n") or 1, self._luck.randint(self._longest // 3, self._longest)
        usage = {"prompt_tokens": 20, "completion_tokens": completion * n}
        good = {"message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}
        spoilt = [
            {**good, "finish_reason": "error"},
            {**good, "finish_reason": "content_filter"},
            {"message": {"content": None, "reasoning_content": "hm"}, "finish_reason": "stop"},
            {"message": {"content": ""}, "finish_reason": "stop"},
            None,
        ]
        choices = [self._luck.choice(spoilt) if self._luck.random() < self._spoil else good for _ in range(n)]
        self.tokens += 20 + completion * n
        self.largest = max(self.largest, 20 + completion * n)
        return Raw(200, json.dumps({"choices": choices, "usage": usage}))


async def ask(backend: Any, count: int, **changes: Any) -> list[Any]:
    """Make calls at once; returns what came of each."""
    asked = [
        replace(ASK, attempt=i, sampling=replace(ASK.sampling, seed=100 + 50 * i), **changes) for i in range(count)
    ]
    return list(await asyncio.gather(*map(backend.complete, asked), return_exceptions=True))


@pytest.mark.parametrize("budget", [700, 2000, 5001])
@pytest.mark.parametrize("seed", range(3))
async def test_a_token_budget_is_passed_by_one_call_at_most(server: Server, budget, seed):
    """Sixty-four calls at once, replies of any length up to twenty times the shortest, none with a limit."""
    server.reply = counting = Counting(seed=seed, longest=400)
    ledger, bare = Ledger(Budget(tokens=budget)), OpenAI(server.url)
    found = await ask(with_wrappers(bare, policy=NO_WAIT, ledger=ledger), 64)
    await bare.aclose()
    assert any(isinstance(one, BudgetReached) for one in found)
    assert ledger.tokens == counting.tokens <= budget + counting.largest
    assert counting.tokens > budget / 4


async def test_every_billed_reply_is_in_the_books(server: Server):
    """Failed, filtered, empty, broken in one choice: replies and lost calls together are what the server counted."""
    server.reply, server.honours_n = (counting := Counting(spoil=0.4)), False  # its reply is the whole answer
    ledger, bare, lost = Ledger(), OpenAI(server.url), []
    calls = []

    def on_lost(request: Request, usage: Usage, count: int, why: str) -> None:
        lost.append(usage)
        calls.append(count)

    ledger.on_failure = on_lost
    backend = with_wrappers(bare, policy=NO_WAIT, ledger=ledger, joining=server.url)
    found = [one for _ in range(6) for one in await ask(backend, 5)]
    joined = [replace(ASK, attempt=i, sampling=Sampling(1.0, seed=7 + i)) for i in range(8)]
    found += await asyncio.gather(*map(backend.complete, joined), return_exceptions=True)
    await bare.aclose()
    assert all(isinstance(one, Reply | ProviderError) for one in found)
    used = sum((one.usage for one in found if isinstance(one, Reply)), Usage()) + sum(lost, Usage())
    assert used.prompt_tokens + used.completion_tokens == counting.tokens == ledger.tokens
    assert sum(calls) + sum(isinstance(one, Reply) for one in found) == ledger.calls


def spent(db: Path) -> tuple[int, int]:
    """Calls and tokens of the only run in a database."""
    with Store.open(db, readonly=True) as store:
        calls, tokens, _ = Journal(store).spent(store.runs()[0].id)
        return calls, tokens


@pytest.mark.slow
def test_failed_tries_count_over_restarts(tmp_path: Path, server: Server):
    """A budget of calls that failed tries used up stays used up; the bill of the run names what all of them took."""
    world.write(tmp_path / "learn.jsonl", 6)
    counted = {"calls": 0, "tokens": 0}

    def reply(body: dict[str, Any]) -> Any:
        counted["calls"] += body.get("n") or 1
        if counted["calls"] % 3 == 0:
            counted["tokens"] += 1009
            thought = {"message": {"content": None, "reasoning_content": "hm"}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 9, "completion_tokens": 1000}
            return {"choices": [thought], "usage": usage}
        counted["tokens"] += 30
        choice = {"message": {"content": world.reply(body)}, "finish_reason": "stop"}
        return {"choices": [choice], "usage": {"prompt_tokens": 20, "completion_tokens": 10}}

    server.reply = reply
    asked: dict[str, Any] = {
        "model": "openai/m", "base_url": server.url, "grader": "math", "heldout": 0, "gate": "open", "epochs": 1,
        "group_size": 2, "db": tmp_path / "x.db", "engine__join": False, "engine__concurrency": 1, "run": "r",
    }  # fmt: skip
    rows = world.rows(6)
    for budget in (7, 14, 15, 1000):
        told = tfgrpo.learn_sync(rows, budget_calls=budget, **asked).summary
        assert counted["calls"] <= budget
        assert spent(tmp_path / "x.db") == (counted["calls"], counted["tokens"])
        used = told["usage"]
        assert used["prompt_tokens"] + used["completion_tokens"] == counted["tokens"]
    assert told["stopped"] is None
    with Store.open(tmp_path / "x.db", readonly=True) as store:
        (run,) = store.runs()
        assert Journal(store).longest(run.id)["rollout"] == (12, 10)


async def test_a_budget_remembers_over_restarts_how_long_replies_can_be(server: Server):
    """Else short replies after a restart would let long ones go out side by side again."""
    server.reply, server.honours_n = (counting := Counting(longest=400)), False
    ledger, bare = Ledger(Budget(tokens=3000), tokens=1900), OpenAI(server.url)
    ledger.recall("rollout", 40, 2000)
    found = await ask(with_wrappers(bare, policy=NO_WAIT, ledger=ledger), 16)
    await bare.aclose()
    assert all(isinstance(one, BudgetReached) for one in found)
    assert counting.tokens == 0


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("slots", [3, 6, 16])
async def test_the_largest_n_is_found_and_kept(server: Server, tmp_path: Path, slots, status):
    """An engine with so many slots refuses more choices; no rollout is lost, and later groups go out in parts."""

    def reply(body: dict[str, Any]) -> Any:
        return error(status, "n_cmpl exceeds the slots") if (body.get("n") or 1) > slots else f"seed {body['seed']}"

    server.reply = reply
    bare = OpenAI(server.url)
    with Store.open(tmp_path / "x.db") as store:
        backend = with_wrappers(bare, policy=NO_WAIT, joining=server.url, memory=store)
        for group in range(5):
            base = 1000 * group
            asked = [replace(ASK, attempt=i, sampling=Sampling(1.0, seed=base + i)) for i in range(16)]
            found = await asyncio.gather(*map(backend.complete, asked))
            assert [one.text for one in found] == [f"seed {base + i}" for i in range(16)]
        server.bodies.clear()
        again = with_wrappers(bare, policy=NO_WAIT, joining=server.url, memory=store)
        await asyncio.gather(*map(again.complete, asked))
    await bare.aclose()
    sizes = [body.get("n") or 1 for body in server.bodies]
    if status == 400:
        assert max(sizes) == min(slots, 16)
    assert sum(size for size in sizes if size <= slots) == 16


@pytest.mark.parametrize("tokenizer", [True, False])
async def test_usage_that_counts_the_first_choice_alone_is_found_out(tokenizer, caplog):
    """By the server's own tokenizer where it has one, else by the length of the texts; and it is said."""
    from aiohttp import web

    words = "the quick brown fox jumps over the lazy dog "

    async def handle(request: web.Request) -> web.Response:
        asked = await request.json()
        if request.path == "/tokenize":
            return web.json_response({"tokens": [1] * len(asked["content"].split())}, status=200 if tokenizer else 404)
        n = asked.get("n") or 1
        choice = {"message": {"content": words * 4}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice] * n, "usage": {"prompt_tokens": 10, "completion_tokens": 36}})

    app = web.Application()
    app.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bare = OpenAI(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    backend = with_wrappers(bare, policy=NO_WAIT, joining="here")
    asked = [replace(ASK, attempt=i, sampling=Sampling(1.0, seed=i)) for i in range(8)]
    found = await asyncio.gather(*map(backend.complete, asked))
    used = sum((one.usage for one in found), Usage())
    assert used.prompt_tokens == 10
    assert abs(used.completion_tokens - 8 * 36) <= 2
    assert used.estimated_tokens >= 7 * 36 - 2
    assert "counts the completion of the first of several choices alone" in caplog.text
    await bare.aclose()
    await end(runner)


async def test_a_cancelled_call_is_in_the_books_with_what_it_may_have_used(server: Server):
    """Marked as an estimate: nobody knows what the endpoint did."""
    server.faults = [Fault.HANG]
    ledger, bare, lost = Ledger(), OpenAI(server.url), []
    ledger.on_failure = lambda request, usage, calls, why: lost.append((usage, why))
    limited = replace(ASK, sampling=Sampling(max_tokens=50))
    task = asyncio.ensure_future(with_wrappers(bare, ledger=ledger).complete(limited))
    while not server.chats:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await bare.aclose()
    ((usage, why),) = lost
    assert (why, usage.completion_tokens) == ("cancelled", 50)
    assert usage.estimated_tokens == usage.prompt_tokens + 50 == ledger.tokens


async def test_a_record_that_cannot_be_read_is_said_once_and_its_call_made_again(server: Server, tmp_path, caplog):
    """Broken JSON, another form, a count that is no number: the run goes on, and the new record stands."""
    for broken in (
        "{",
        '"text"',
        '{"text": 4}',
        '{"text": "4", "finish_reason": "stop", "usage": {"prompt_tokens": 1.5}}',
    ):
        with Store.open(tmp_path / "x.db") as store:
            bare = OpenAI(server.url)
            backend = with_wrappers(bare, policy=NO_WAIT, journal=Journal(store))
            await backend.complete(ASK)
            store._write("UPDATE calls SET reply = ?", broken)
            caplog.clear()
            first, second = [await backend.complete(ASK) for _ in range(2)]
            assert (first.replayed, second.replayed, second.text) == (False, True, first.text)
            assert caplog.text.count("cannot be read") == 1
            await bare.aclose()


def test_patience_is_a_multiple_of_the_slowest_and_grows_for_what_is_late():
    """Eight answers of a role say what is usual; a call that was late gets twice the time, up to the limit."""
    now = [0.0]
    patience = AdaptiveTimeout(600.0, 4.0, clock=lambda: now[0])
    assert patience.limit(ASK) == 600.0
    for _ in range(8):
        with patience.waiting(ASK):
            now[0] += 10.0
    assert patience.limit(ASK) == 40.0
    assert patience.limit(replace(ASK, role="summarize")) == 600.0
    for limit in (80.0, 160.0, 320.0, 600.0):
        with suppress(TimeoutError), patience.waiting(ASK):
            now[0] += patience.limit(ASK)
            raise TimeoutError
        assert patience.limit(ASK) == limit
    assert patience.limit(replace(ASK, attempt=1)) == 40.0
    quick = AdaptiveTimeout(600.0, 4.0, clock=lambda: now[0])
    for _ in range(8):
        with quick.waiting(ASK):
            now[0] += 0.1
    assert quick.limit(ASK) == FLOOR
    assert AdaptiveTimeout(600.0).limit(ASK) == 600.0


async def test_a_late_call_is_asked_a_second_time_and_the_first_answer_taken():
    """The other request is cancelled; the failure of one waits for the other."""
    ended: list[str] = []

    class Slow:
        """Answers the ninth call late, the one after it at once."""

        asked = 0

        async def complete(self, request: Request) -> Reply:
            """Answer."""
            self.asked += 1
            if self.asked != 9:
                return Reply(str(self.asked))
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            return Reply("late")

    slow = Slow()
    hedged = Hedged(slow, 2.0)
    for _ in range(8):
        await hedged.complete(ASK)
    assert (await hedged.complete(ASK)).text == "10"
    assert ended == ["cancelled"]
    await close(hedged)
