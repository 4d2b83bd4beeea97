"""The litellm backend sends the same calls, and litellm stays out of the way until then."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.server import error

from tfgrpo.backends import LiteLLM, with_wrappers
from tfgrpo.backends.litellm import require_provider
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.errors import ProviderError, UnusableModel
from tfgrpo.types import Request, Sampling

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydantic.*")  # of litellm's own types
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
    with pytest.raises(UnusableModel, match="write provider/model"):
        await LiteLLM().complete(Request("rollout", "no-such-model", ASK.messages))


@pytest.mark.parametrize(
    ("model", "variables"),
    [
        ("anthropic/x", "ANTHROPIC_API_KEY"),
        ("groq/x", "GROQ_API_KEY"),
        ("gemini/x", "GOOGLE_API_KEY or GEMINI_API_KEY"),
        ("openai/x", "OPENAI_API_KEY"),
    ],
)
async def test_a_missing_key_names_the_variable_of_its_provider(server, monkeypatch, model, variables):
    """Whether the client says so before it sends anything or the server answers 401."""
    for name in variables.split(" or "):
        monkeypatch.delenv(name, raising=False)
    server.reply = lambda body: error(401, "who are you?")
    backend = LiteLLM(server.url)
    with pytest.raises(UnusableModel, match=f"no key for {model}: export {variables}"):
        await backend.complete(Request("rollout", model, ASK.messages))
    await backend.aclose()


async def test_a_setting_that_is_left_out_is_told_without_advice_on_litellm(monkeypatch, caplog):
    """What litellm refuses of its own is said in its first sentence; how to configure litellm is of no use here."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(ProviderError, match="seed is not sent"):
        await LiteLLM().complete(Request("rollout", "anthropic/some", ASK.messages, Sampling(seed=1)))
    assert "does not support parameters: ['seed']" in caplog.text
    assert "drop_params" not in caplog.text


NAMED = ["openai/anything", "gpt-4o-mini", "groq/x", "github_copilot/gpt-4o", "ollama/llama3"]


@pytest.mark.parametrize("model", NAMED)
def test_a_name_with_a_provider_is_let_through(model):
    """Whatever comes behind the provider; nobody is asked, and nobody signs in."""
    require_provider(model)


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


@pytest.mark.slow
async def test_a_missing_key_ends_the_run_in_one_sentence():
    """Without a key nothing is sent, whatever litellm calls that; going on would fail the same way every time."""
    env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    code = (
        "import asyncio\n"
        "from tfgrpo.backends.litellm import LiteLLM, require_provider\n"
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
