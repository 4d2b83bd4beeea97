"""What an endpoint really does: a table of facts, found by asking it, kept in the database and used by later runs.

Canary lessons measure which block of lessons the model follows: orders that no model obeys unasked, each judged by a
function of the reply. The block that is followed most, by a clear margin over safer ones, becomes that of new libraries
for this endpoint; a block that is not followed is told before a run, in place of lessons refused as useless after it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx

from experience_db import Lesson, Library, Store
from tfgrpo import config as configuration
from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.coalesced import FACT, LARGEST
from tfgrpo.backends.endpoints import Endpoints, endpoints_of
from tfgrpo.backends.n_choices import ChoicesReply, join_requests
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.backends.stack import with_wrappers
from tfgrpo.config.engine import EngineConfig
from tfgrpo.edit_scores.factory import scoring_backend
from tfgrpo.errors import ProviderError, UsageError
from tfgrpo.executors import Local
from tfgrpo.lessons.blocks import BLOCKS, PREFILL, RATES, choose_block, fact_key, template_of
from tfgrpo.system.redact import without_secrets
from tfgrpo.types import Message, Request, Sampling

QUESTIONS = ("What is a bridge?", "How do I make soup?", "Is coffee good for me?")
CANARIES: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "yes or no": ("Answer yes or no.", lambda text: bool(re.match(r"\W*(yes|no)\b", text, re.IGNORECASE))),
    "JSON": ("Answer with a JSON object.", lambda text: bool(re.match(r"\s*(```(json)?\s*)?[{\[]", text))),
    "numbered": ("Answer with a numbered list.", lambda text: text.lstrip().startswith("1.")),
    "Step 1": ("Begin the answer with: Step 1.", lambda text: "step 1" in text[:40].lower()),
}
"""Lessons that say nothing about a task, and how a reply is told that follows one."""
DRAWS = 4
"""Replies to each question."""
SIZES = (2, 4, 8, 16, 32, 64)
"""Choices that one request is asked for, until one size fails."""
COLOUR: tuple[Message, ...] = ({"role": "user", "content": "Name a colour and say why you like it."},)


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found; unknown facts are None."""

    model: str
    endpoint: str
    facts: Mapping[str, Any]
    follows: Mapping[str, float]
    """Share of replies that follow a canary lesson, by block, above the share that does so without a lesson."""
    block: str | None
    """The block that new libraries get."""
    seconds: float


async def probe(model: str, base_urls: Sequence[str], engine: EngineConfig, store: Store | None) -> Probe:
    """Ask an endpoint what it does, and keep it where there is a store.

    Raises:
        UsageError: the model cannot be understood.
        EndpointError: nothing answers, or not for this model.
        ProviderError: a plain question gets no reply.
    """
    began = time.monotonic()
    line = endpoints_of(model, base_urls, engine)
    async with AsyncExitStack() as stack:
        for backend in line.backends:
            stack.push_async_callback(close, backend)
        asked = with_wrappers(line.backends, policy=RetryPolicy(attempts=2))
        await asked.complete(_request(line))  # else a dead endpoint would look like one that can do nothing
        largest = await _largest(asked, line)
        facts: dict[str, Any] = {
            "several choices in one request": largest > 1,
            "most choices in one request": largest,
            "usage of several choices": await _usage(line, largest),
            "seed": await _seeded(asked, line),
            "schema": await _schema(asked, line),
            "goes on with the assistant's words": await _prefill(asked, line),
            "scores given tokens": await _scores(line, engine),
            "cached prompt tokens": await _cached(asked, line),
        }
        together = with_wrappers(line.backends, policy=RetryPolicy(attempts=2), joining=line.joining)
        follows = await _follows(together, line)
    best = choose_block(follows)
    found = Probe(model, fact_key(line), facts, follows, best, time.monotonic() - began)
    if store is not None:
        _keep(store, line, found)
    return found


async def first_model(base_url: str) -> str:
    """Return the name of the first model that an OpenAI-compatible URL lists.

    Raises:
        UsageError: nothing answers there, or no model is listed; name one.
    """
    key = configuration.environment("OPENAI_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.get(f"{base_url.rstrip('/')}/models", headers=headers)
            return str(answer.raise_for_status().json()["data"][0]["id"])
    except httpx.TransportError as error:
        words = f"nothing answers at {without_secrets(base_url)} ({type(error).__name__})"
        raise UsageError(f"{words}; start the endpoint, or check its address") from error
    except httpx.HTTPStatusError as error:
        words = f"{without_secrets(base_url)}/models answered {error.response.status_code}"
        raise UsageError(
            f"{words}; check the address, and the key in OPENAI_API_KEY, or name the model with --model"
        ) from error
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise UsageError(
            f"{without_secrets(base_url)} lists no model ({type(error).__name__}); name one with --model"
        ) from error


def _keep(store: Store, line: Endpoints, found: Probe) -> None:
    prefill = found.facts["goes on with the assistant's words"]
    kept = {
        FACT: "yes" if found.facts["several choices in one request"] else "no",
        LARGEST: str(found.facts["most choices in one request"]),
        PREFILL: "yes" if prefill else "no",
        RATES: json.dumps({name: round(share, 3) for name, share in found.follows.items()}),
    }
    for name, value in kept.items():
        store.record_endpoint_fact(found.endpoint, line.model, name, value)


def _request(line: Endpoints, messages: Sequence[Message] = COLOUR, **sampling: Any) -> Request:
    drawn = Sampling(**{"temperature": 1.0, "max_tokens": 8, **sampling})
    return Request("probe", line.model, tuple(messages), drawn, attempt=0)


async def _tried(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Return what an attempt returns, None where the endpoint refuses it."""
    try:
        return await ask()
    except ProviderError:
        return None


async def _largest(asked: Backend, line: Endpoints) -> int:
    """Return how many choices one request brings, 1 where none but the first comes."""
    best = 1
    for size in SIZES:
        request = join_requests([replace(_request(line, seed=i), attempt=i) for i in range(size)], 1)
        reply = await _tried(partial(asked.complete, request))
        if not isinstance(reply, ChoicesReply) or len(reply.choices) < size:
            break
        best = size
    return best


async def _usage(line: Endpoints, largest: int) -> str:
    if largest < 2:
        return "not asked"
    dialects = [getattr(backend, "dialects", {}) for backend in line.backends]
    first = any(dialect.counts_first_only for known in dialects for dialect in known.values())
    return "the first choice alone: the rest is estimated" if first else "all choices"


async def _seeded(asked: Backend, line: Endpoints) -> bool | None:
    texts = [await _tried(partial(asked.complete, _request(line, seed=seed))) for seed in (5, 5, 6, 7)]
    if None in texts:
        return None
    first, again, *others = (reply.text for reply in texts)
    return first == again and any(other != first for other in others)


async def _schema(asked: Backend, line: Endpoints) -> bool | None:
    """Whether a reply has the form of a schema that its prompt does not speak of."""
    schema = {
        "title": "probe",
        "type": "object",
        "properties": {"zq": {"type": "integer"}},
        "required": ["zq"],
        "additionalProperties": False,
    }
    request = replace(_request(line, max_tokens=40, temperature=0.0), response_schema=schema)
    reply = await _tried(partial(asked.complete, request))
    if reply is None:
        return None
    try:
        value = json.loads(reply.text)
    except ValueError:
        return False
    return isinstance(value, dict) and set(value) == {"zq"}


async def _prefill(asked: Backend, line: Endpoints) -> bool:
    """Whether the words of a last message of the assistant are gone on with."""
    begun: tuple[Message, ...] = (
        {"role": "user", "content": "Count from one to nine."},
        {"role": "assistant", "content": "one, two, three, four,"},
    )
    reply = await _tried(partial(asked.complete, _request(line, begun, temperature=0.0, max_tokens=12)))
    return reply is not None and bool(re.match(r"(one, two, three, four,)?\W*five", reply.text.strip().lower()))


async def _scores(line: Endpoints, engine: EngineConfig) -> bool:
    try:
        scores = scoring_backend(line.backend, None, line.price, engine.timeout)
    except UsageError:
        return False
    try:
        request = replace(_request(line, max_tokens=1), forced_ids=(1,))
        return await _tried(partial(scores.complete, request)) is not None
    finally:
        await close(scores)


async def _cached(asked: Backend, line: Endpoints) -> bool | None:
    """Whether the endpoint reports that it read a prompt from its cache."""
    long: tuple[Message, ...] = ({"role": "user", "content": "Say nothing of this. " * 40 + "Name a colour."},)
    replies = [await _tried(partial(asked.complete, _request(line, long, max_tokens=1))) for _ in range(2)]
    return None if None in replies else replies[1].usage.cached_tokens > 0


async def _follows(asked: Backend, line: Endpoints) -> dict[str, float]:
    """Return how much more often canary lessons are followed in each block than without a lesson."""
    empty = await _share(asked, line, None)
    return {name: max(0.0, await _share(asked, line, name) - empty) for name in BLOCKS}


async def _share(asked: Backend, line: Endpoints, block: str | None) -> float:
    async def one(text: str, follows: Callable[[str], bool], question: str, draw: int) -> bool | None:
        lessons = (Lesson(1, text, 1, 1),) if block else ()
        library = Library("probe", 1, lessons, template_of(block) if block else "")
        plain = [{"role": "system", "content": "Answer the question."}, {"role": "user", "content": question}]
        messages: Any = tuple(library.inject(plain))
        request = replace(_request(line, messages, temperature=0.3, seed=draw), attempt=draw)
        reply = await _tried(partial(asked.complete, request))
        return None if reply is None else follows(reply.text)

    jobs = [
        partial(one, text, follows, question, draw)
        for text, follows in CANARIES.values()
        for question in QUESTIONS
        for draw in range(DRAWS)
    ]
    got = [each for each in await Local().run(jobs, limit=16) if each is not None]
    return sum(got) / len(got) if got else 0.0
