"""The HTTP side: discovery, errors in OpenAI's shape, limits, disconnects and a clean end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import httpx
import openai
import pytest

from tfgrpo.backends.tiny.backend import Batcher
from tfgrpo.backends.tiny.model import Completion, Job, TinyLM
from tfgrpo.errors import UsageError
from tfgrpo.serve import serve
from tfgrpo.serve.choices import Service
from tfgrpo.serve.completions import completions
from tfgrpo.serve.fields import ApiError

USER = [{"role": "user", "content": "2"}]


def test_models_are_listed_and_shown(client: openai.OpenAI) -> None:
    """The list holds the one model, which can be asked for by name."""
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "tfgrpo"


def test_health_answers(http: httpx.Client) -> None:
    """Health is 200 as soon as the endpoint is up."""
    assert http.get("/health").status_code == 200


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    """Another model's name is a 404 that says which model is here."""
    with pytest.raises(openai.NotFoundError, match="serves 'tiny'") as raised:
        client.chat.completions.create(model="gpt-9", messages=USER)
    assert raised.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {}, "messages"),
        ("/v1/chat/completions", {"messages": []}, "messages"),
        ("/v1/chat/completions", {"messages": USER, "temperature": 3}, "temperature"),
        ("/v1/chat/completions", {"messages": USER, "n": 0}, "n"),
        ("/v1/chat/completions", {"messages": USER, "top_p": 0}, "top_p"),
        ("/v1/chat/completions", {"messages": USER, "max_tokens": "many"}, "max_tokens"),
        ("/v1/chat/completions", {"messages": USER, "top_logprobs": 3}, "top_logprobs"),
        ("/v1/chat/completions", {"messages": USER, "response_format": {"type": "yaml"}}, "response_format.type"),
        ("/v1/completions", {"prompt": []}, "prompt"),
        ("/v1/completions", {"prompt": ""}, "prompt"),
        ("/v1/completions", {"prompt": [10**9]}, "prompt"),
        ("/v1/completions", {"prompt": [[]]}, "prompt"),
        ("/v1/completions", {"prompt": ["a"] * 200}, "prompt"),
        ("/tokenize", {}, "body"),
        ("/detokenize", {"tokens": [-1]}, "tokens"),
        ("/v1/chat/completions", [], "body"),
    ],
)
def test_a_wrong_field_is_named(http: httpx.Client, path: str, body: Any, param: str) -> None:
    """Each wrong body is a 400 in OpenAI's shape whose sentence and `param` name the field."""
    answer = http.post(path, json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert error["message"].startswith(param)
    assert error["message"].endswith(".")


def test_a_body_that_is_no_json_is_refused(http: httpx.Client) -> None:
    """Broken JSON, broken UTF-8 and absurd nesting are 400, not a crash."""
    for body in (b"{", b"", b'{"prompt": "\xff"}', b'{"prompt": "\\ud800"}', b"[" * 100_000):
        answer = http.post("/v1/completions", content=body)
        assert answer.status_code == 400
        assert "not valid JSON" in answer.json()["error"]["message"]


def test_unknown_fields_are_ignored(http: httpx.Client) -> None:
    """Options of other servers do no harm."""
    assert http.post("/tokenize", json={"prompt": "a", "top_k": 5, "user": "me"}).status_code == 200


def test_wrong_method_path_and_size_have_the_error_shape(http: httpx.Client) -> None:
    """What the router refuses reads like every other error."""
    wrong_method = http.get("/v1/chat/completions")
    assert (wrong_method.status_code, wrong_method.json()["error"]["message"]) == (
        405,
        "GET /v1/chat/completions is not allowed; use POST.",
    )
    assert http.get("/v2/none").json()["error"]["message"] == "There is nothing at /v2/none."
    large = http.post("/v1/completions", json={"prompt": "x" * 2**21})
    assert large.status_code == 413
    assert "larger than" in large.json()["error"]["message"]


async def test_clients_that_leave_do_no_harm(base_url: str) -> None:
    """After clients vanish in the middle of requests, the endpoint goes on answering."""
    ask = {"messages": USER, "n": 16, "stream": True}
    async with httpx.AsyncClient(base_url=base_url) as client:
        tasks = [asyncio.ensure_future(client.post("/chat/completions", json=ask)) for _ in range(4)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    async with httpx.AsyncClient(base_url=base_url) as client:
        answer = await client.post("/chat/completions", json={"messages": USER, "max_tokens": 2}, timeout=30)
    assert answer.status_code == 200


async def test_a_taken_port_is_a_usage_error(model: TinyLM) -> None:
    """Binding a port that is in use says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="choose another port"):
            await serve(model, port=taken.getsockname()[1])


SERVER = """
import asyncio
from tfgrpo.backends.tiny.model import load
from tfgrpo.serve import serve
from tfgrpo.serve.choices import Service
from tfgrpo.serve.completions import completions
from tfgrpo.serve.fields import ApiError
asyncio.run(serve(load(), port=0, on_ready=lambda url: print(url, flush=True)))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_server_cleanly(number: signal.Signals) -> None:
    """SIGINT and SIGTERM end the process with code 0, and the server itself writes nothing."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip()
        assert httpx.get(url + "/models").status_code == 200
        os.kill(process.pid, number)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, rest, errors) == (0, "", "")


class Broken:
    """A model that cannot compute."""

    def generate(self, jobs: Sequence[Job]) -> Sequence[Completion]:
        """Fail."""
        raise FloatingPointError("overflow")


async def test_a_failing_model_is_the_servers_fault(model: TinyLM) -> None:
    """When the model itself fails, the answer is a 500 that says so."""
    with pytest.raises(ApiError, match="FloatingPointError: overflow") as raised:
        await completions(Service(model, Batcher(Broken())), {"prompt": "a"})
    assert raised.value.status == 500


def test_importing_the_endpoint_loads_nothing_heavy() -> None:
    """The web server and numpy come with the first call, not with the import."""
    code = "import sys, tfgrpo.serve; sys.exit(bool({'aiohttp', 'numpy', 'openai', 'litellm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
