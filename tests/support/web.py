"""A small web on 127.0.0.1: any function from a request to an answer, and a record of what was asked.

with Web(lambda asked: Answer("hello", headers={"Retry-After": "1"})) as web:
    ...  # web.url, web.host ("127.0.0.1:PORT"), web.asked
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tfgrpo.system.http_server import serve_in_background


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """One answer; text is sent as UTF-8, anything else that is no bytes as JSON."""

    body: Any = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the first byte."""
    drip: float = 0.0
    """Seconds between single bytes of the body; 0 sends it at once."""


class Web:
    """The server; use it as a context manager."""

    def __init__(self, answer: Callable[[Asked], Answer] | Answer) -> None:
        self.answer = answer if callable(answer) else lambda _: answer
        self.asked: list[Asked] = []
        self.url = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.url = self._stack.enter_context(serve_in_background(self._app))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def host(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.host.rpartition(":")[2])

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(request.method, request.path, request.query, dict(request.headers), await request.text())
        self.asked.append(asked)
        answer = self.answer(asked)
        await asyncio.sleep(answer.delay)
        body = answer.body
        kind = "text/html; charset=utf-8" if isinstance(body, str) else "application/json"
        raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        headers = {"Content-Type": kind, **answer.headers}
        if not answer.drip:
            return web.Response(body=raw, status=answer.status, headers=headers)
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        for number in range(len(raw)):
            await asyncio.sleep(answer.drip)
            await response.write(raw[number : number + 1])
        return response
