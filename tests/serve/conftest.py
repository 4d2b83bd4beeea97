"""A real endpoint on a free port of 127.0.0.1, in a thread with its own event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import httpx
import openai
import pytest

from tfgrpo.backends.tiny.model import TinyLM, load
from tfgrpo.serve import serve


@pytest.fixture(scope="session")
def model() -> TinyLM:
    """The model in the package."""
    return load()


@pytest.fixture(scope="session")
def base_url(model: TinyLM) -> Iterator[str]:
    """Base URL of a running endpoint."""
    loop, ready, url = asyncio.new_event_loop(), threading.Event(), []
    task = loop.create_task(serve(model, port=0, on_ready=lambda at: (url.append(at), ready.set())))

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(asyncio.wait([task]))

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)
    yield url[0]
    loop.call_soon_threadsafe(task.cancel)
    thread.join(30)


@pytest.fixture(scope="session")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    """OpenAI's own client; a repeated call would hide a fault, so it never retries."""
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def http(base_url: str) -> Iterator[httpx.Client]:
    """A bare client at the root of the endpoint."""
    with httpx.Client(base_url=base_url.removesuffix("/v1"), timeout=60) as made:
        yield made
