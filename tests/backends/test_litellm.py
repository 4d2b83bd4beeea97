"""The litellm backend sends the same calls, and litellm stays out of the way until then."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.server import error

from tfgrpo.backends import LiteLLM, with_wrappers
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.errors import EndpointError
from tfgrpo.types import Request, Sampling

ASK = Request("rollout", "openai/test-model", ({"role": "user", "content": "2+2?"},), Sampling(0.7, max_tokens=9))


async def test_a_call_reaches_the_server(server):
    """The provider prefix is litellm's; the server gets the name behind it, and a set price is charged."""
    backend = LiteLLM(server.url, "sk-none", price=Price(1.0, 1.0), extra_body={"top_k": 3})
    reply = await backend.complete(ASK)
    await backend.aclose()
    assert reply.text == "you said: 2+2?"
    assert reply.usage.usd == pytest.approx((reply.usage.prompt_tokens + reply.usage.completion_tokens) / 1e6)
    sent = server.bodies[0]
    assert (sent["model"], sent["temperature"], sent["max_tokens"], sent["top_k"]) == ("test-model", 0.7, 9, 3)


async def test_a_refused_schema_steps_down(server):
    """The ladder is the same as for any endpoint."""

    def reply(body):
        return error(400, "json_schema is not supported") if "response_format" in body else "{}"

    server.reply = reply
    backend = LiteLLM(server.url, "sk-none")
    asked = Request(ASK.role, ASK.model, ASK.messages, response_schema={"type": "object", "properties": {}})
    await with_wrappers(backend, policy=RetryPolicy(1)).complete(asked)
    await backend.aclose()
    assert [body.get("response_format", {}).get("type") for body in server.bodies] == [
        "json_schema",
        "json_object",
        None,
    ]


async def test_an_unknown_provider_is_a_clear_error():
    """A name without a provider ends the run with what to write instead."""
    with pytest.raises(EndpointError, match="write provider/model"):
        await LiteLLM().complete(Request("rollout", "no-such-model", ASK.messages))


def test_prices_are_listed_or_unknown():
    """A hosted model has its list price; behind a base URL the name says nothing."""
    assert LiteLLM().price("openai/gpt-4o-mini") is not None
    assert LiteLLM().price("openai/test-model") is None
    assert LiteLLM("http://127.0.0.1:1/v1").price("openai/gpt-4o-mini") is None


def test_importing_the_backends_loads_no_client():
    """The clients take seconds to import, so that only a call may load them."""
    heavy = "{'openai', 'litellm', 'aiohttp', 'httpx', 'numpy'}"
    code = f"import sys, tfgrpo.backends; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_missing_key_ends_the_run_in_one_sentence():
    """Without a key nothing is sent, whatever litellm calls that; going on would fail the same way every time."""
    env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    code = (
        "import asyncio\n"
        "from tfgrpo.backends.litellm import LiteLLM\n"
        "from tfgrpo.errors import EndpointError\n"
        "from tfgrpo.types import Request\n"
        "for model in ('gpt-5', 'anthropic/claude-sonnet-4-5', 'gemini/gemini-2.5-flash'):\n"
        "    try:\n"
        "        asyncio.run(LiteLLM().complete(Request('rollout', model, ({'role': 'user', 'content': 'x'},))))\n"
        "    except EndpointError as error:\n"
        "        print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    told = run.stdout.splitlines()
    assert len(told) == 3, run.stdout + run.stderr[-500:]
    assert all("no key for" in line for line in told), told
