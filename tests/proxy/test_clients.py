"""Clients that people use, each unchanged but for its base URL: the lessons arrive, and so does the answer."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys

import anthropic
import openai
import pytest
from aiohttp import web

from experience_db import Edit, Op, Store
from tfgrpo.proxy import Settings, build_app
from tfgrpo.proxy.library_routing import LibraryRouting
from tfgrpo.system.http_server import serve_in_background

LESSON = "Ask for the order number."
CHAT = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
RESPONSE = {
    "id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "m", "parallel_tool_calls": False,
    "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None, "instructions": None, "metadata": {},
    "temperature": 1.0, "top_p": 1.0,
    "output": [{"id": "o", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "hello", "annotations": []}]}],
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "input_tokens_details": {"cached_tokens": 0},
              "output_tokens_details": {"reasoning_tokens": 0}},
}  # fmt: skip
MESSAGE = {
    "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
    "content": [{"type": "text", "text": "hello"}], "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip


def chunk(text, reason=None):
    """One event of a streamed chat completion."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": text} if text else {}, "finish_reason": reason}
    event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(event)}\n\n".encode()


@pytest.fixture
def proxied(tmp_path):
    """A proxy before an upstream that speaks three protocols; returns its URL and the bodies that the upstream got."""
    bodies = []

    async def answer(request):
        body = await request.json()
        bodies.append(body)
        if not body.get("stream"):
            return web.json_response(
                RESPONSE if request.path.endswith("responses") else MESSAGE if "messages" in request.path else CHAT
            )
        got = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await got.prepare(request)
        for piece in (chunk("hel"), chunk("lo"), chunk("", "stop"), b"data: [DONE]\n\n"):
            await got.write(piece)
        return got

    def make():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        return app

    with Store.open(tmp_path / "e.db") as store:
        store.create_library("support")
        store.commit("support", [Edit(Op.ADD, LESSON)], parent=0)
    routing = LibraryRouting(tmp_path / "e.db", "support")
    routing.open()
    with (
        serve_in_background(make) as upstream,
        serve_in_background(lambda: build_app(Settings(upstream), routing)) as url,
    ):
        yield url, bodies
    routing.close()


def arrived(bodies):
    """Whether each request carried the lesson."""
    return [LESSON in json.dumps(body) for body in bodies]


def test_openai(proxied):
    """Chat completions, streamed and not, and responses; whichever of the two lines of the client is installed."""
    url, bodies = proxied
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x") as client:
        asked = {"model": "m", "messages": [{"role": "user", "content": "q"}]}
        assert client.chat.completions.create(**asked).choices[0].message.content == "hello"
        with client.chat.completions.create(stream=True, **asked) as stream:
            assert "".join(event.choices[0].delta.content or "" for event in stream) == "hello"
        assert client.responses.create(model="m", input="q").output_text == "hello"
    assert arrived(bodies) == [True] * 3


def test_anthropic(proxied):
    """Messages of the Anthropic client."""
    url, bodies = proxied
    with anthropic.Anthropic(base_url=url, api_key="x") as client:
        got = client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "q"}])
    assert got.content[0].text == "hello"
    assert arrived(bodies) == [True]


@pytest.mark.slow
def test_litellm(proxied):
    """Litellm in front of an OpenAI-compatible endpoint, in a process of its own: it leaves its sockets open."""
    url, bodies = proxied
    script = (
        "import litellm, sys\n"
        "said = [{'role': 'user', 'content': 'q'}]\n"
        "got = litellm.completion(model='openai/m', api_base=sys.argv[1], api_key='x', messages=said)\n"
        "print(got.choices[0].message.content)"
    )
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    got = subprocess.run(
        [sys.executable, "-c", script, f"{url}/v1"], capture_output=True, text=True, check=True, env=environment
    )
    assert got.stdout.strip() == "hello"
    assert arrived(bodies) == [True]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_streams(proxied):
    """Curl without a buffer prints the events as they are."""
    url, bodies = proxied
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "q"}]})
    command = ["curl", "-sSN", "--noproxy", "*", f"{url}/v1/chat/completions", "-H", "Content-Type: application/json",
               "-d", body]  # fmt: skip
    got = subprocess.run(command, capture_output=True, check=True)
    assert got.stdout == chunk("hel") + chunk("lo") + chunk("", "stop") + b"data: [DONE]\n\n"
    assert arrived(bodies) == [True]


@pytest.mark.clients
def test_agents_sdk(proxied, monkeypatch):
    """An agent of the OpenAI Agents SDK, with the base URL in its client."""
    import agents

    url, bodies = proxied
    agents.set_tracing_disabled(True)

    async def run():
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x") as client:
            model = agents.OpenAIResponsesModel(model="m", openai_client=client)
            agent = agents.Agent(name="desk", instructions="Be kind.", model=model)
            return (await agents.Runner.run(agent, "q")).final_output

    assert asyncio.run(run()) == "hello"
    assert arrived(bodies) == [True]


@pytest.mark.clients
def test_langgraph(proxied):
    """A graph of LangGraph whose node asks a chat model of LangChain."""
    from langchain_openai import ChatOpenAI
    from langgraph.graph import END, START, MessagesState, StateGraph

    url, bodies = proxied
    model = ChatOpenAI(model="m", base_url=f"{url}/v1", api_key="x")
    graph = StateGraph(MessagesState)
    graph.add_node("ask", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    got = graph.compile().invoke({"messages": [{"role": "user", "content": "q"}]})
    assert got["messages"][-1].content == "hello"
    assert arrived(bodies) == [True]


@pytest.mark.clients
def test_pydantic_ai(proxied):
    """An agent of Pydantic AI."""
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    url, bodies = proxied
    provider = OpenAIProvider(base_url=f"{url}/v1", api_key="x")
    agent = Agent(OpenAIChatModel("m", provider=provider), instructions="Be kind.")

    async def run():
        return (await agent.run("q")).output

    assert asyncio.run(run()) == "hello"
    assert arrived(bodies) == [True]
