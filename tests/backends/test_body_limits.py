"""Bodies without end or that unpack without end, by each client of an endpoint: one failure, and no memory filled."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from tfgrpo.backends import OpenAI, close
from tfgrpo.backends.litellm import LiteLLM
from tfgrpo.errors import ProviderError
from tfgrpo.system.http_server import end
from tfgrpo.types import FailureKind, Request

MOST = 200_000
LARGE = 150 * MOST
ASK = Request("rollout", "openai/m", ({"role": "user", "content": "2+2?"},))
CLIENTS: dict[str, Callable[[str], Any]] = {
    "aiohttp": lambda url: OpenAI(url, "key-12345678", model="m", most_bytes=MOST),
    "sdk": lambda url: OpenAI(url, "key-12345678", model="m", most_bytes=MOST, transport="sdk"),
    "litellm": lambda url: LiteLLM(url, "key-12345678", model="openai/m", most_bytes=MOST),
}

CHOICE = {"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}
WHOLE = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}).encode()
PACKED = {"gzip": gzip.compress, "deflate": zlib.compress}
BODIES = {"good": WHOLE, "plain": WHOLE + b" " * LARGE}
BODIES |= {f"good {name}": pack(WHOLE) for name, pack in PACKED.items()}
BODIES |= {name: pack(BODIES["plain"]) for name, pack in PACKED.items()}


class Wide:
    """A server whose answers are far too long; `good` answers as they should be."""

    form, status, sent = "good", 200, 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer in the form of the moment."""
        if self.form == "endless":
            response = web.StreamResponse(status=self.status)
            await response.prepare(request)
            with suppress(ConnectionError):
                while True:
                    await response.write(b" " * 65536)
                    self.sent += 65536
            return response
        form = self.form.removeprefix("good ")
        headers = {"Content-Type": "application/json"} | ({"Content-Encoding": form} if form in PACKED else {})
        return web.Response(status=self.status, body=BODIES[self.form], headers=headers)


@pytest.fixture
async def wide() -> AsyncIterator[tuple[Wide, str]]:
    """A server and its address."""
    server, app = Wide(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield server, f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await end(runner)


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
async def test_no_client_reads_beyond_the_limit(client, wide):
    """Plain, packed and endless, as an answer and as an error: a failure of that call, at little memory."""
    server, url = wide
    backend = CLIENTS[client](url)
    for form in ("good", "good gzip", "good deflate"):
        server.form = form
        assert (await backend.complete(ASK)).text == "4"
    for status in (200, 500):
        for form in ("plain", "gzip", "deflate", "endless"):
            server.form, server.status = form, status
            tracemalloc.start()
            async with asyncio.timeout(30):
                with pytest.raises(ProviderError) as told:
                    await backend.complete(ASK)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            # What the server of this same process buffers of a plain body is its own affair.
            assert form == "plain" or peak < LARGE // 2, (form, status, peak)
            assert told.value.failure.kind is FailureKind.TRUNCATED, (form, status, told.value)
    assert server.sent < 300 * MOST
    await close(backend)
