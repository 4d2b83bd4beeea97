"""What goes over the wire to an OpenAI-compatible server and what comes back, with whichever client is installed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from support.server import Raw, Server, error

from tfgrpo.backends import OpenAI, with_wrappers
from tfgrpo.backends.capabilities import SchemaMode
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.errors import ProviderError, UsageError
from tfgrpo.types import Message, Request, Sampling

NO_WAIT = RetryPolicy(attempts=2, wait_initial=0, wait_max=0, jitter=0)
QUESTION: Message = {"role": "user", "content": "2+2?"}
SCHEMA = {
    "title": "Answer",
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
    "additionalProperties": False,
}


def ask(attempt: int = 0, **settings: object) -> Request:
    """Return a request with some settings."""
    return Request("rollout", "test-model", (QUESTION,), attempt=attempt, **settings)


@pytest.fixture
async def backend(server: Server) -> AsyncIterator[OpenAI]:
    """Return a backend at the server."""
    made = OpenAI(server.url, "sk-secret-0123456789")
    yield made
    await made.aclose()


def refusing(parameter: str, message: str):
    """Return a reply function that refuses one parameter by name."""

    def reply(body):
        return error(400, message, param=parameter) if parameter in body else "4"

    return reply


async def test_only_what_is_set_is_sent(backend, server):
    """An unset setting leaves the choice to the endpoint, and the attempt index never leaves the house."""
    await backend.complete(ask(attempt=3))
    assert server.bodies == [{"model": "test-model", "messages": [QUESTION]}]


async def test_every_setting_has_its_place(server):
    """Sampling, tools, vendor fields and the name to send reach the body."""
    backend = OpenAI(server.url, model="real-name", extra_body={"top_k": 20}, token_ids=True)
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    await backend.complete(ask(sampling=Sampling(0.7, 0.9, 64, 5, ("END",)), tools=(tool,)))
    await backend.aclose()
    assert server.bodies == [
        {
            "model": "real-name",
            "messages": [QUESTION],
            "temperature": 0.7,
            "top_p": 0.9,
            "max_tokens": 64,
            "seed": 5,
            "stop": ["END"],
            "tools": [tool],
            "top_k": 20,
            "return_token_ids": True,
        }
    ]


async def test_a_reply_keeps_all_that_came(server):
    """Usage with cached tokens, finish reason, reasoning, token ids and money are all in the Reply."""
    server.reply = lambda body: {
        "choices": [
            {
                "message": {"content": "4", "reasoning_content": "two and two"},
                "finish_reason": "length",
                "token_ids": [7, 8],
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 6}},
    }
    backend = OpenAI(server.url, price=Price(prompt=1.0, completion=4.0, cached=0.5))
    reply = await backend.complete(ask())
    await backend.aclose()
    assert (reply.text, reply.reasoning, reply.finish_reason, reply.token_ids) == ("4", "two and two", "length", (7, 8))
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.cached_tokens) == (10, 2, 6)
    assert reply.usage.usd == pytest.approx((4 * 1.0 + 6 * 0.5 + 2 * 4.0) / 1e6)


async def test_money_without_a_price_is_unknown(backend):
    """Unknown is None, never zero."""
    assert (await backend.complete(ask())).usage.usd is None
    assert not backend.price_known


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]}, "42"),
        ({"content": None, "refusal": "I will not"}, "I will not"),
    ],
    ids=["parts", "refusal"],
)
async def test_text_is_found_where_it_is(backend, server, message, text):
    """Content parts are joined, and a refusal is what the model said."""
    server.reply = lambda body: message
    assert (await backend.complete(ask())).text == text


async def test_tool_call_ids_are_unique_in_the_conversation(backend, server):
    """Ids that repeat, also those of earlier turns, get a number; arguments are text."""
    function = {"name": "add", "arguments": {"a": 2}}
    server.reply = lambda body: {
        "content": None,
        "tool_calls": [{"id": "call_0", "function": function}, {"id": "call_0", "function": function}],
    }
    before: Message = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_0", "function": function}]}
    reply = await backend.complete(Request("rollout", "test-model", (QUESTION, before)))
    assert [call["id"] for call in reply.tool_calls] == ["call_0-2", "call_0-3"]
    assert reply.tool_calls[0]["function"]["arguments"] == '{"a": 2}'


async def test_a_schema_is_sent_and_strict_when_it_can_be(backend, server):
    """A closed schema with all properties required goes out in strict mode."""
    await backend.complete(ask(response_schema=SCHEMA))
    await backend.complete(ask(response_schema={**SCHEMA, "required": []}))
    formats = [body["response_format"]["json_schema"] for body in server.bodies]
    assert formats[0] == {"name": "Answer", "schema": SCHEMA, "strict": True}
    assert formats[1]["strict"] is False


@pytest.mark.parametrize(
    ("accepted", "mode", "sent"),
    [
        ({"json_object"}, SchemaMode.JSON_OBJECT, ["json_schema", "json_object", *["json_object"] * 7]),
        (set(), SchemaMode.PROMPT, ["json_schema", "json_object", *[None] * 8]),
    ],
    ids=["json_object", "prompt only"],
)
async def test_the_schema_ladder_is_climbed_down_once(backend, server, accepted, mode, sent):
    """Eight calls at once cost one 400 per step, not eight, and the steps cost no try."""

    def reply(body):
        kind = body.get("response_format", {}).get("type")
        return "{}" if kind is None or kind in accepted else error(400, f"response_format {kind} is not supported")

    server.reply = reply
    patient = with_wrappers(backend, policy=NO_WAIT)
    await asyncio.gather(*[patient.complete(ask(i, response_schema=SCHEMA)) for i in range(8)])
    assert [body.get("response_format", {}).get("type") for body in server.bodies] == sent[: len(server.bodies)]
    assert len(server.bodies) == 8 + (2 if not accepted else 1)
    assert backend.dialects["test-model"].schema_mode is mode


async def test_a_rejected_temperature_is_left_out_from_then_on(backend, server, caplog):
    """The call goes through without it, it is said once, and the next call does not try again."""
    words = "Unsupported value: 'temperature' does not support 0.7 with this model."
    server.reply = refusing("temperature", words)
    patient = with_wrappers(backend, policy=NO_WAIT)
    with caplog.at_level(logging.WARNING):
        for attempt in range(2):
            assert (await patient.complete(ask(attempt, sampling=Sampling(temperature=0.7)))).text == "4"
    assert server.chats == 3
    assert [record.message.count("temperature is not sent") for record in caplog.records] == [1]


async def test_a_rejected_max_tokens_is_renamed(backend, server):
    """Reasoning models want max_completion_tokens."""
    server.reply = refusing("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    await with_wrappers(backend, policy=NO_WAIT).complete(ask(sampling=Sampling(max_tokens=9)))
    assert server.bodies[-1]["max_completion_tokens"] == 9


async def test_a_value_out_of_range_is_an_error(backend, server):
    """A setting is dropped only where the endpoint does not know it, not where the value is wrong."""
    server.reply = refusing("temperature", "temperature must be between 0 and 2")
    with pytest.raises(ProviderError, match="between 0 and 2"):
        await with_wrappers(backend, policy=NO_WAIT).complete(ask(sampling=Sampling(temperature=7)))
    assert server.chats == 1


async def test_keys_are_in_no_words(backend, server):
    """Neither repr nor an error that repeats the header holds the key."""
    server.reply = lambda body: Raw(400, "bad: Bearer sk-secret-0123456789 and sk-proj-abcdef123")
    with pytest.raises(ProviderError) as caught:
        await backend.complete(ask())
    words = repr(backend) + str(caught.value) + repr(caught.value.__cause__) + str(caught.value.failure)
    assert "secret" not in words
    assert "abcdef" not in words


def test_a_backend_outlives_its_event_loop(server):
    """Connections belong to a loop; the next loop opens its own."""
    backend = OpenAI(server.url)

    async def once() -> str:
        reply = await backend.complete(ask())
        await backend.aclose()
        return reply.text

    assert [asyncio.run(once()) for _ in range(2)] == ["you said: 2+2?"] * 2


def test_an_url_without_http_is_refused():
    """The mistake is named before anything is sent."""
    with pytest.raises(UsageError, match="localhost:8000"):
        OpenAI("localhost:8000/v1")


async def test_who_waited_for_the_schema_probe_goes_on_side_by_side(backend, server):
    """One call tries the schema; once it is answered, the others do not queue behind each other."""
    server.delay = 0.05
    server.reply = lambda body: '{"answer": 4}'
    await asyncio.gather(*(backend.complete(ask(i, response_schema=SCHEMA)) for i in range(6)))
    assert server.busiest == 5


async def test_half_a_character_does_not_reach_the_store(server):
    """A lone surrogate, which JSON can spell but no file can hold, arrives as a question mark."""
    server.reply = lambda request: "ok \ud83d end"
    backend = OpenAI(server.url)
    reply = await backend.complete(Request("rollout", "m", ({"role": "user", "content": "x"},)))
    await backend.aclose()
    assert reply.text == "ok ? end"
