"""A real OpenAI-compatible server on 127.0.0.1, in a thread of its own, that fails on demand.

    with Server(reply=lambda body: "42", faults=[Fault.RATE_LIMITED, None]) as server:
        ...  # server.url ends in /v1; the first call gets a 429, the others are answered

It counts what reaches the socket (`server.calls`), so tests can tell tries from calls.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from aiohttp import web

from tfgrpo.system.http_server import end

CHAT = "/v1/chat/completions"


class Fault(StrEnum):
    """What can go wrong with one call."""

    RATE_LIMITED = "429"
    RATE_LIMITED_AFTER = "429 with Retry-After: 1"
    NO_QUOTA = "429 because the account is empty"
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    CONFLICT = "409"
    REQUEST_TIMEOUT = "408"
    HANG = "no answer until the server closes"
    TRICKLE = "a body that comes byte by byte for longer than anybody waits"
    SLOW_BODY = "a body in pieces over some time"
    RESET = "connection reset before the status line"
    RESET_MID_BODY = "connection reset in the middle of the body"
    TRUNCATED_JSON = "200 with half of the JSON"
    HTML_200 = "200 with an HTML page"
    HTML_502 = "502 with an HTML page"
    ERROR_200 = "200 with an error object"
    EMPTY_CHOICES = "choices: []"
    NO_CHOICES = "no choices at all"
    NULL_CONTENT = "content: null"
    EMPTY_CONTENT = "content: ''"
    CUT = "finish_reason: length"
    CUT_EMPTY = "finish_reason: length and no content"
    EXTRA_CHOICES = "one choice more than asked for"
    CONTEXT = "400 because the prompt is too long"
    UNAUTHORIZED = "401 that repeats the key"
    FORBIDDEN = "403"
    NO_MODEL = "404 for the model"


@dataclass(frozen=True)
class Raw:
    """An HTTP answer given as it is; a reply function may return one."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


def error(status: int, message: str, **more: object) -> Raw:
    """Return an OpenAI-style error answer."""
    return Raw(status, json.dumps({"error": {"message": message, "type": "error", **more}}))


Answer = str | dict[str, Any] | Raw
"""A text; a choice's `message` (or, with the key `choices`, a whole body); or raw HTTP."""
Faults = Sequence[Fault | None] | Mapping[Fault, float] | Callable[[int, dict[str, Any]], Fault | None]
"""In order of the calls; or with probabilities; or a function of call index and body."""


class Server:
    """The server; use it as a context manager, or `start` and `stop`."""

    def __init__(
        self,
        reply: Callable[[dict[str, Any]], Answer] = lambda body: f"you said: {body['messages'][-1]['content']}",
        faults: Faults = (),
        *,
        models: Sequence[str] = ("test-model",),
        honours_n: bool = True,
        delay: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.reply = reply
        self.faults = faults
        self.models = models
        self.honours_n = honours_n
        self.delay = delay
        self.calls: Counter[str] = Counter()
        """Requests per path."""
        self.bodies: list[dict[str, Any]] = []
        """Bodies of the chat calls, in the order of their coming."""
        self.headers: list[dict[str, str]] = []
        self.busiest = 0
        """The most chat calls at once."""
        self.metrics: str | None = None
        """What `/metrics` answers; None has no such page."""
        self.health: int | None = None
        """The status of `/health`."""
        self.embed: Callable[[str], Sequence[float]] = lambda text: [1.0, float(len(text))]
        """The vector that `/v1/embeddings` answers for a text."""
        self.url = ""
        self._now = 0
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._closing = asyncio.Event()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def chats(self) -> int:
        """How many chat calls arrived."""
        return self.calls[CHAT]

    @property
    def open_calls(self) -> int:
        """How many chat calls arrived and are not yet answered, also those whose client is gone."""
        return self._now

    def start(self) -> Self:
        """Listen on a free port."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def stop(self) -> None:
        """Stop listening and let hanging calls go."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_post(CHAT, self._chat)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/metrics", self._page)
        app.router.add_get("/health", self._page)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def _close(self) -> None:
        self._closing.set()
        await end(self._runner)

    async def _models(self, request: web.Request) -> web.Response:
        self.calls[request.path] += 1
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    async def _embeddings(self, request: web.Request) -> web.Response:
        self.calls[request.path] += 1
        texts = (await request.json())["input"]
        return web.json_response({"data": [{"index": i, "embedding": self.embed(t)} for i, t in enumerate(texts)]})

    async def _page(self, request: web.Request) -> web.Response:
        self.calls[request.path] += 1
        status = (200 if self.metrics is not None else 404) if request.path == "/metrics" else self.health or 404
        return web.Response(status=status, text=self.metrics or "")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        index = self.calls[request.path]
        self.calls[request.path] += 1
        self._now += 1
        self.busiest = max(self.busiest, self._now)
        try:
            body = await request.json()
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            await asyncio.sleep(self.delay)
            return await self._answer(request, body, self._fault(index, body))
        finally:
            self._now -= 1

    def _fault(self, index: int, body: dict[str, Any]) -> Fault | None:
        if callable(self.faults):
            return self.faults(index, body)
        if isinstance(self.faults, Mapping):
            names = [*self.faults, None]
            return self._random.choices(names, [*self.faults.values(), 1 - sum(self.faults.values())])[0]
        return self.faults[index] if index < len(self.faults) else None

    async def _answer(self, request: web.Request, body: dict[str, Any], fault: Fault | None) -> web.StreamResponse:
        if fault is Fault.HANG:
            await self._closing.wait()
        if fault in {Fault.RESET, Fault.HANG}:
            return _cut(request)
        answers = [refusal] if (refusal := _refusal(fault, request)) else [self.reply(b) for b in self._asked(body)]
        if isinstance(answers[0], Raw):
            return web.Response(status=answers[0].status, text=answers[0].body, headers=answers[0].headers)
        text = json.dumps(_broken(fault, self._completion(body, answers)))
        if fault in {Fault.TRICKLE, Fault.SLOW_BODY}:
            return await self._slowly(request, text, pieces=10 if fault is Fault.SLOW_BODY else len(text))
        if fault is Fault.RESET_MID_BODY:
            response = web.StreamResponse(headers={"Content-Length": str(len(text))})
            await response.prepare(request)
            await response.write(text[: len(text) // 2].encode())
            return _cut(request)
        text = text[: len(text) // 2] if fault is Fault.TRUNCATED_JSON else text
        return web.Response(text=text, content_type="application/json")

    async def _slowly(self, request: web.Request, text: str, pieces: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(text)), "Content-Type": "application/json"})
        await response.prepare(request)
        size = -(-len(text) // pieces)
        for start in range(0, len(text), size):
            if self._closing.is_set():
                return _cut(request)
            await response.write(text[start : start + size].encode())
            await asyncio.sleep(0.02)
        return response

    def _asked(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the body once for each choice, the seed counted up as vLLM does."""
        count = body.get("n") or 1 if self.honours_n else 1
        return [{**body, "seed": body["seed"] + j} if "seed" in body else body for j in range(count)]

    def _completion(self, body: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
        if isinstance(answers[0], dict) and "choices" in answers[0]:
            return answers[0]
        messages = [{"role": "assistant", "content": a} if isinstance(a, str) else a for a in answers]
        prompt = sum(len(str(part.get("content")).split()) for part in body["messages"])
        words = sum(len(str(message.get("content")).split()) for message in messages)
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": i, "message": m, "finish_reason": "stop"} for i, m in enumerate(messages)],
            "usage": {"prompt_tokens": prompt, "completion_tokens": words, "total_tokens": prompt + words},
        }


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


PAGE = "<html><head><title>Welcome</title></head><body>nothing to see</body></html>"
REFUSALS = {
    Fault.RATE_LIMITED: error(429, "slow down"),
    Fault.RATE_LIMITED_AFTER: Raw(429, error(429, "slow down").body, {"Retry-After": "1"}),
    Fault.NO_QUOTA: error(429, "You exceeded your current quota", code="insufficient_quota"),
    Fault.SERVER_ERROR: error(500, "internal error"),
    Fault.UNAVAILABLE: error(503, "overloaded"),
    Fault.CONFLICT: error(409, "busy"),
    Fault.REQUEST_TIMEOUT: error(408, "too slow"),
    Fault.HTML_200: Raw(200, PAGE, {"Content-Type": "text/html"}),
    Fault.HTML_502: Raw(502, PAGE, {"Content-Type": "text/html"}),
    Fault.ERROR_200: Raw(200, error(200, "upstream broke", code=502).body, {"Content-Type": "application/json"}),
    Fault.CONTEXT: error(400, "This model's maximum context length is 512 tokens", code="context_length_exceeded"),
    Fault.FORBIDDEN: error(403, "not for you"),
    Fault.NO_MODEL: error(404, "The model `nope` does not exist"),
}


def _refusal(fault: Fault | None, request: web.Request) -> Raw | None:
    if fault is Fault.UNAUTHORIZED:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return error(401, f"Incorrect API key provided: {key}", code="invalid_api_key")
    return None if fault is None else REFUSALS.get(fault)


def _broken(fault: Fault | None, completion: dict[str, Any]) -> dict[str, Any]:
    choices = completion["choices"]
    if fault is Fault.EMPTY_CHOICES:
        return {**completion, "choices": []}
    if fault is Fault.NO_CHOICES:
        return {name: value for name, value in completion.items() if name != "choices"}
    if fault is Fault.EXTRA_CHOICES:
        return {**completion, "choices": [*choices, choices[0]]}
    content = {Fault.NULL_CONTENT: None, Fault.EMPTY_CONTENT: "", Fault.CUT_EMPTY: ""}
    if fault in content:
        choices = [{**c, "message": {"role": "assistant", "content": content[fault]}} for c in choices]
    if fault in {Fault.CUT, Fault.CUT_EMPTY}:
        choices = [{**c, "finish_reason": "length"} for c in choices]
    return {**completion, "choices": choices}
