"""Scoring calls: the same numbers embedded and over HTTP, through the journal, and a clear word where it cannot be."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from experience_db import Journal, Store
from tfgrpo.backends.openai import OpenAI
from tfgrpo.backends.score import BackendScorer, TinyScores
from tfgrpo.backends.score_http import HttpScores, logprobs_of, texts_of
from tfgrpo.backends.scripted import Scripted
from tfgrpo.backends.stack import with_wrappers
from tfgrpo.backends.tiny.backend import Tiny
from tfgrpo.backends.tiny.model import load
from tfgrpo.edit_scores.factory import scoring_backend
from tfgrpo.errors import EndpointError, ProviderError, UsageError
from tfgrpo.system.http_server import end
from tfgrpo.types import Message, Request, Sampling

Answer = Callable[[str, dict[str, Any]], dict[str, Any]]
CHAT: tuple[Message, ...] = (
    {"role": "system", "content": "Lessons:\n[1] Treat glorp as max."},
    {"role": "user", "content": "Problem: Compute 3 glorp 5."},
)


@pytest.fixture
async def scores() -> AsyncIterator[Callable[[str], HttpScores]]:
    """Makes scorers for base URLs, and closes them."""
    made: list[HttpScores] = []

    def make(url: str) -> HttpScores:
        made.append(HttpScores(url))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


@pytest.fixture
async def listen() -> AsyncIterator[Callable[[Answer], Awaitable[str]]]:
    """Opens servers that answer any path with a function of path and body, and returns their base URL."""
    runners = []

    async def start(answer: Answer) -> str:
        async def handle(request: web.Request) -> web.Response:
            return web.json_response(answer(request.path, await request.json()))

        app = web.Application()
        app.router.add_post("/{path:.*}", handle)
        runners.append(web.AppRunner(app, shutdown_timeout=0.2))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runners[-1].addresses[0][1]}/v1"

    yield start
    for runner in runners:
        await end(runner)


async def test_http_and_embedded_scores_agree(tiny_url, scores):
    """The same weights give the same log-probs by either way, one for each token the endpoint generated itself."""
    backend = OpenAI(tiny_url, token_ids=True)
    reply = await backend.complete(Request("rollout", "tiny", CHAT, Sampling(1.0, max_tokens=20, seed=4)))
    await backend.aclose()
    assert reply.token_ids
    over = await BackendScorer(scores(tiny_url), "tiny").score(CHAT, reply.token_ids)
    own = await BackendScorer(TinyScores(Tiny()), "tiny").score(CHAT, reply.token_ids)
    assert len(over) == len(reply.token_ids)
    assert over == pytest.approx(own, abs=1e-4)
    assert all(value < 0 for value in over)


async def test_order_of_scoring_does_not_matter(tiny_url, scores):
    """Scored together or alone, first or last, a token sequence has the same log-probs."""
    http = BackendScorer(scores(tiny_url), "tiny")
    rows = [(5, 6, 7), (9, 8), (5, 6, 7, 8)]
    together = await asyncio.gather(*(http.score(CHAT, ids) for ids in rows))
    alone = [await http.score(CHAT, ids) for ids in reversed(rows)]
    for one, other in zip(together, reversed(alone), strict=True):
        assert one == pytest.approx(other, abs=1e-4)


async def test_a_scored_token_is_paid_for_once(tmp_path):
    """The journal answers the same question, and another attempt is asked anew."""
    with Store.open(tmp_path / "x.db") as store:
        scorer = BackendScorer(with_wrappers(TinyScores(Tiny()), journal=Journal(store)), "tiny")
        first, again = [await scorer.score(CHAT, (5, 6)) for _ in range(2)]
        await scorer.score(CHAT, (5, 6), attempt=1)
        calls = [call for call in Journal(store).calls() if call.role == "score"]
    assert first == again
    assert len(calls) == 2
    assert calls[0].prompt_tokens > 2


def table(ids: list[int], logprob: float | None = -1.5) -> list[dict[str, Any] | None]:
    """Prompt log-probs as vLLM writes them; None stands for a token without one."""
    return [None, *({str(t): {"logprob": logprob, "rank": 1}} for t in ids[1:])]


async def test_echo_is_the_fallback_and_both_sides_keep_to_it(listen, scores):
    """An endpoint that ignores prompt_logprobs is asked with echo, and from then on only so."""
    asked = []

    def reply(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/tokenize"):
            return {"tokens": [1, 2]}
        asked.append("echo" if body.get("echo") else "prompt_logprobs")
        logprobs = {"token_logprobs": [None, -1.0, -2.0, None, -9.0]} if body.get("echo") else None
        return {"choices": [{"text": "", "logprobs": logprobs}], "usage": {"prompt_tokens": 4}}

    scorer = BackendScorer(scores(await listen(reply)), "m")
    values = await scorer.score(CHAT, (3, 4))
    assert values[0] == -2.0
    assert math.isnan(values[1])
    await scorer.score(CHAT, (3, 5))
    assert asked == ["prompt_logprobs", "echo", "echo"]


async def test_what_tokens_spell_comes_with_their_scores_by_every_route(tiny_url, scores, listen):
    """Embedded, from vLLM's table and from echoed lists alike; an endpoint that is silent leaves it unknown."""
    ids = tuple(load().encode("first 3 glorp 5"))
    own = BackendScorer(TinyScores(Tiny()), "tiny")
    assert own.token_texts(ids) is None
    await own.score(CHAT, ids)
    assert "".join(own.token_texts(ids) or ()) == "first 3 glorp 5"
    served = BackendScorer(scores(tiny_url), "tiny")
    await served.score(CHAT, ids)
    assert served.token_texts(ids) == own.token_texts(ids)

    def echo(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/tokenize"):
            return {"tokens": [7]}
        found = {"tokens": ["<s>", "a", " b"], "token_logprobs": [None, -1.0, -2.0]}
        return {"choices": [{"logprobs": found if "echo" in body else None}]}

    echoed = BackendScorer(scores(await listen(echo)), "m")
    assert await echoed.score(CHAT, (3, 5)) == (-1.0, -2.0)
    assert echoed.token_texts((3, 5)) == ("a", " b")
    assert texts_of({"choices": [{"prompt_logprobs": table([1, 2])}]}, "prompt_logprobs", [1, 2]) is None


async def test_an_endpoint_that_cannot_score_says_so(listen, scores):
    """Without log-probs of the prompt, or without /tokenize, the error names what is lacking."""

    def silent(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"tokens": [1]} if path.endswith("/tokenize") else {"choices": [{"text": ""}]}

    with pytest.raises(EndpointError, match="cannot score given tokens"):
        await BackendScorer(scores(await listen(silent)), "m").score(CHAT, (3,))
    with pytest.raises(EndpointError, match="/tokenize"):
        await BackendScorer(scores(await listen(lambda *_: {"choices": []})), "m").score(CHAT, (3,))


def test_missing_values_are_missing_and_shapes_are_checked():
    """A token without a number is None; a table of the wrong length is no table."""
    ids = [1, 2, 3]
    assert logprobs_of({"choices": [{"prompt_logprobs": table(ids)}]}, "prompt_logprobs", ids) == [None, -1.5, -1.5]
    assert logprobs_of({"choices": [{"prompt_logprobs": table(ids, None)}]}, "prompt_logprobs", ids) == [None] * 3
    assert logprobs_of({"choices": [{"prompt_logprobs": table(ids)[:2]}]}, "prompt_logprobs", ids) is None
    assert logprobs_of({"choices": []}, "echo", ids) is None


async def test_wrong_answers_are_failures_and_not_numbers():
    """A scorer is not asked to talk, and a backend that talks does not score."""
    with pytest.raises(ProviderError, match="scoring calls only"):
        await TinyScores(Tiny()).complete(Request("rollout", "tiny", CHAT))
    with pytest.raises(ProviderError, match="gave none"):
        await BackendScorer(Scripted(lambda request: "words"), "m").score(CHAT, (3,))
    with pytest.raises(UsageError, match="Scripted models cannot score"):
        scoring_backend(Scripted(lambda request: "words"), None, None)
