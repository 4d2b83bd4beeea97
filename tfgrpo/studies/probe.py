"""What an endpoint really does: a table of facts, found by asking it, kept in the database and used by later runs.

Canary lessons measure which block of lessons the model follows: orders that no model obeys unasked, each judged by a
function of the reply. The block that is followed most, by a clear margin over safer ones, becomes that of new libraries
for this endpoint; a block that is not followed is told before a run, in place of lessons refused as useless after it.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from experience_db import Lesson, Library, Store
from tfgrpo import config as configuration
from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.coalesced import FACT, LARGEST
from tfgrpo.backends.dialect_facts import keep_dialects
from tfgrpo.backends.endpoints import Endpoints, endpoints_of
from tfgrpo.backends.http import Http, NotDelivered, TooLarge
from tfgrpo.backends.n_choices import ChoicesReply, join_requests
from tfgrpo.backends.openai import OpenAI
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.backends.stack import with_wrappers
from tfgrpo.backends.transports import addressed
from tfgrpo.backends.wire_probe import REFUSED
from tfgrpo.config.engine import EngineConfig
from tfgrpo.edit_scores.factory import scoring_backend
from tfgrpo.environments.tool_protocol import FACT as TOOLS
from tfgrpo.errors import ProviderError, UsageError
from tfgrpo.executors import Local
from tfgrpo.lessons.blocks import BLOCKS, PREFILL, RATES, WINDOW, choose_block, fact_key, template_of
from tfgrpo.system.redact import without_secrets
from tfgrpo.system.untrusted_json import Unreadable, loads
from tfgrpo.types import Message, Request, Sampling

TABLE = "probed"
"""Name of the stored fact that holds the whole table."""
SEVERAL, MOST_CHOICES = "several choices in one request", "most choices in one request"
USAGE, PREFILLS = "usage of several choices", "goes on with the assistant's words"
ROOM = "tokens of prompt and reply"
"""Rows of the table that later runs use."""
QUESTIONS = ("What is a bridge?", "How do I make soup?", "Is coffee good for me?")
CANARIES: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "yes or no": ("Answer yes or no.", lambda text: bool(re.match(r"\W*(yes|no)\b", text, re.IGNORECASE))),
    "JSON": ("Answer with a JSON object.", lambda text: bool(re.match(r"\s*(```(json)?\s*)?[{\[]", text))),
    "numbered": ("Answer with a numbered list.", lambda text: text.lstrip().startswith("1.")),
    "Step 1": ("Begin the answer with: Step 1.", lambda text: "step 1" in text[:40].lower()),
}
"""Lessons that say nothing about a task, and how a reply is told that follows one."""
DRAWS, ROUNDS = 2, 2
"""Replies to each question in one round, and how many rounds there are where time allows."""
LEAST = len(CANARIES) * len(QUESTIONS) * DRAWS
"""Replies, of one whole round, below which a follow rate is not kept."""
MOST_SECONDS = 120.0
"""How long a probe takes at most, from the first reply on; facts get half of it at most, canaries the rest."""
SIZES = (2, 4, 8, 16, 32, 64)
"""Choices that one request is asked for, until one size fails."""
LISTING_SECONDS = 30.0
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
    replies: int = 0
    """How many replies each of these shares rests on, at least."""
    unmeasured: tuple[str, ...] = ()
    """What there was no time for, or no reply to."""


async def probe(
    model: str, base_urls: Sequence[str], engine: EngineConfig, store: Store | None, seconds: float = MOST_SECONDS
) -> Probe:
    """Ask an endpoint what it does, for so many seconds at most, and keep what was found where there is a store.

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
        first = asyncio.get_running_loop().time()
        asks: dict[str, Callable[[], Awaitable[Any]]] = {
            ROOM: partial(_window, line),
            PREFILLS: partial(_prefill, asked, line),
            MOST_CHOICES: partial(_largest, asked, line),
            "seed": partial(_seeded, asked, line),
            "schema": partial(_schema, asked, line),
            "scores given tokens": partial(_scores, line, engine),
            "cached prompt tokens": partial(_cached, asked, line),
        }
        if wires := [backend for backend in line.backends if isinstance(backend, OpenAI)]:
            wire = wires[0].wire(line.model)
            stack.push_async_callback(wire.aclose)
            asks |= wire.rows()
        facts = await _in_time(asks, first + seconds / 2)
        unmeasured = tuple(name for name in asks if name not in facts)
        if (largest := facts.get(MOST_CHOICES)) is not None:
            facts = {SEVERAL: largest > 1, MOST_CHOICES: largest, USAGE: _usage(line, largest), **facts}
        await _in_time({"settings": partial(_tried, partial(asked.complete, _limited(line)))}, first + seconds)
        together = with_wrappers(line.backends, policy=RetryPolicy(attempts=2), joining=line.joining)
        follows, replies = await _follows(together, line, first + seconds)
    if replies < LEAST:
        follows, unmeasured = {}, (*unmeasured, "which block of lessons is followed")
    best = choose_block(follows)
    found = Probe(model, fact_key(line), facts, follows, best, time.monotonic() - began, replies, unmeasured)
    if store is not None:
        _keep(store, line, found)
    return found


def _cause_of(error: Exception) -> str:
    """The name of what broke a connection, below the names that clients give it."""
    found: BaseException = error
    while found.__cause__ is not None:
        found = found.__cause__
    return type(found).__name__


async def first_model(base_url: str) -> str:
    """Return the name of the first model that an OpenAI-compatible URL lists.

    Raises:
        UsageError: nothing answers there, or no model is listed; name one.
    """
    url, headers = addressed(base_url, configuration.environment("OPENAI_API_KEY"))
    here = without_secrets(base_url)
    http = Http()
    try:
        async with asyncio.timeout(LISTING_SECONDS):
            answer = await http.send("GET", f"{url.partition('?')[0].rstrip('/')}/models", None, headers)
        found = loads(answer.text, forgiving=True) if answer.status < 300 else None
    except (NotDelivered, TimeoutError) as error:
        words = f"nothing answers at {here} ({_cause_of(error)})"
        raise UsageError(f"{words}; start the endpoint, or check its address") from error
    except (TooLarge, Unreadable) as error:
        raise UsageError(f"{here} answered with {error}; name a model with --model") from error
    finally:
        await http.aclose()
    if answer.status >= 300:
        raise UsageError(
            f"{here}/models answered {answer.status}; check the address, and the key in OPENAI_API_KEY, or name the "
            "model with --model"
        )
    rows = found.get("data") if isinstance(found, dict) else found
    names = [row["id"] for row in rows if isinstance(row, dict) and row.get("id")] if isinstance(rows, list) else []
    if not names:
        raise UsageError(f"{here} lists no model; name one with --model")
    return str(names[0])


def _keep(store: Store, line: Endpoints, found: Probe) -> None:
    """Keep what was measured; what there was no time for stays as an earlier probe found it."""
    kept: dict[str, str] = {}
    if (largest := found.facts.get(MOST_CHOICES)) is not None:
        kept |= {FACT: "yes" if largest > 1 else "no", LARGEST: str(largest)}
    if (prefill := found.facts.get(PREFILLS)) is not None:
        kept[PREFILL] = "yes" if prefill else "no"
    if found.follows:
        kept[RATES] = json.dumps({name: round(share, 3) for name, share in found.follows.items()})
    if room := found.facts.get(ROOM):
        kept[WINDOW] = str(room)
    if (tools := found.facts.get("tools")) is not None:
        kept[TOOLS] = "no" if tools == REFUSED else "yes"
    kept[TABLE] = json.dumps(dict(found.facts))
    keep_dialects(store, line)
    for name, value in kept.items():
        store.record_endpoint_fact(found.endpoint, line.model, name, value)


def _request(line: Endpoints, messages: Sequence[Message] = COLOUR, **sampling: Any) -> Request:
    drawn = Sampling(**{"temperature": 1.0, "max_tokens": 8, **sampling})
    return Request("probe", line.model, tuple(messages), drawn, attempt=0)


def _limited(line: Endpoints) -> Request:
    """A request with every setting that a run may send, which teaches what is refused."""
    told: tuple[Message, ...] = ({"role": "system", "content": "Be brief."}, *COLOUR)
    return _request(line, told, top_p=0.9, seed=3, stop=("zzzz",))


async def _in_time(asks: Mapping[str, Callable[[], Awaitable[Any]]], until: float) -> dict[str, Any]:
    """Return what each of `asks` finds, without those that come to no end before the loop's time is `until`."""
    found = {}
    for name, ask in asks.items():
        if asyncio.get_running_loop().time() >= until:
            break
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                found[name] = await ask()
    return found


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


def _usage(line: Endpoints, largest: int) -> str:
    if largest < 2:
        return "not asked"
    dialects = [getattr(backend, "dialects", {}) for backend in line.backends]
    first = any(dialect.counts_first_only for known in dialects for dialect in known.values())
    return "of the first choice alone: the others are counted here" if first else "of all choices"


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
        value = loads(reply.text)
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


async def _window(line: Endpoints) -> int | None:
    """Return the room of the narrowest endpoint; None where one does not say."""
    asks = [getattr(backend, "window", None) for backend in line.backends]
    rooms = [await ask(line.model) if ask else None for ask in asks]
    known = [room for room in rooms if isinstance(room, int)]
    return min(known) if len(known) == len(rooms) else None


async def _follows(asked: Backend, line: Endpoints, until: float) -> tuple[dict[str, float], int]:
    """Return how much more often canary lessons are followed in each block than without a lesson.

    The number of replies that each share rests on comes with them: an endpoint that is slow is asked for fewer. Every
    question is put to all canaries and blocks at once, so whatever time cuts off is lost for all of them alike.
    """
    said: dict[str | None, list[bool]] = {block: [] for block in (None, *BLOCKS)}
    turns = [(question, draws * DRAWS) for draws in range(ROUNDS) for question in QUESTIONS]
    asks = {f"{question} {first}": partial(_turn, asked, line, question, first) for question, first in turns}
    for found in (await _in_time(asks, until)).values():
        for block, followed in found:
            said[block].append(followed)
    shares = {block: sum(found) / len(found) if found else 0.0 for block, found in said.items()}
    fewest = min(len(found) for found in said.values())
    return {block: max(0.0, shares[block] - shares[None]) for block in BLOCKS}, fewest


async def _turn(asked: Backend, line: Endpoints, question: str, first: int) -> list[tuple[str | None, bool]]:
    """Ask one question with every canary in every block, DRAWS times from draw `first` on: block, and if followed.

    Without a lesson the same replies are held against all canaries.
    """

    async def one(block: str | None, canaries: Sequence[str], draw: int) -> list[tuple[str | None, bool]]:
        lessons = tuple(Lesson(1, CANARIES[name][0], 1, 1) for name in canaries if block)
        library = Library("probe", 1, lessons, template_of(block) if block else "")
        plain = [{"role": "system", "content": "Answer the question."}, {"role": "user", "content": question}]
        messages: Any = tuple(library.inject(plain))
        request = replace(_request(line, messages, temperature=0.3, seed=draw), attempt=draw)
        reply = await _tried(partial(asked.complete, request))
        return [] if reply is None else [(block, CANARIES[name][1](reply.text)) for name in canaries]

    cells: list[tuple[str | None, Sequence[str]]] = [(None, tuple(CANARIES))]
    cells += [(block, (name,)) for block in BLOCKS for name in CANARIES]
    jobs = [partial(one, *cell, draw) for cell in cells for draw in range(first, first + DRAWS)]
    return [each for told in await Local().run(jobs, limit=16) for each in told]
