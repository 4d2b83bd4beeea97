"""The HTTP side: routes, bounded bodies, errors in OpenAI's shape, and a server that stops cleanly.

Everything about models and shapes is in the modules beside this one; they know nothing of HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tfgrpo.backends.tiny.backend import batcher_of
from tfgrpo.serve.chat import chat
from tfgrpo.serve.choices import MODEL_NAME, Service, Stream, check_model
from tfgrpo.serve.completions import completions
from tfgrpo.serve.fields import ApiError
from tfgrpo.serve.tokens import detokenize, tokenize
from tfgrpo.system.http_server import serve_until_stopped
from tfgrpo.system.untrusted_json import fault_of, loads

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Handler

    from tfgrpo.backends.tiny.model import TinyLM

MAX_BODY_BYTES = 2**20
Answer = Callable[[Service, object], Awaitable[dict[str, Any] | Stream]]


async def serve(
    model: TinyLM, host: str = "127.0.0.1", port: int = 8000, *, on_ready: Callable[[str], None] | None = None
) -> None:
    """Serve `model` until SIGINT or SIGTERM, or until the task is cancelled; running requests get two seconds to end.

    Args:
        model: the embedded model.
        host: address to bind.
        port: 0 takes a free one.
        on_ready: called once with the base URL, e.g. `http://127.0.0.1:8000/v1`, when connections are accepted.

    Raises:
        UsageError: the address cannot be bound.
    """
    await serve_until_stopped(build_app(model), host, port, lambda url: on_ready(f"{url}/v1") if on_ready else None)


def build_app(model: TinyLM) -> web.Application:
    """The endpoint as an aiohttp application, for a server of one's own."""
    from aiohttp import web  # noqa: PLC0415

    service = Service(model, batcher_of(model))
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[web.middleware(_errors)])
    posts: dict[str, Answer] = {
        "/v1/chat/completions": chat,
        "/v1/completions": completions,
        "/tokenize": tokenize,
        "/detokenize": detokenize,
    }
    for path, answer in posts.items():
        app.router.add_post(path, _posted(service, answer))
    card = {"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": "tfgrpo", "max_model_len": model.max_length}
    app.router.add_get("/v1/models", _got(lambda _: {"object": "list", "data": [card]}))
    app.router.add_get("/v1/models/{model}", _got(lambda request: _card(card, request.match_info["model"])))
    app.router.add_get("/health", _got(lambda _: {"status": "ok"}))
    return app


def _card(card: dict[str, Any], name: str) -> dict[str, Any]:
    """The model's card, if that is its name."""
    check_model(name)
    return card


def _got(answer: Callable[[web.Request], dict[str, Any]]) -> Handler:
    """A handler for something that is simply there."""
    from aiohttp import web  # noqa: PLC0415

    async def handle(request: web.Request) -> web.Response:
        return web.json_response(answer(request))

    return handle


def _posted(service: Service, answer: Answer) -> Handler:
    """A handler that reads a JSON body and sends what `answer` makes of it."""
    from aiohttp import web  # noqa: PLC0415

    async def handle(request: web.Request) -> web.StreamResponse:
        found = await answer(service, _decoded(await request.read()))
        return web.json_response(found) if isinstance(found, dict) else await _send(request, found)

    return handle


def _decoded(raw: bytes) -> object:
    """The JSON value of a body.

    Raises:
        ApiError: 400 for broken JSON, absurd nesting, and text with half a surrogate pair, which has no UTF-8.
    """
    try:
        body: object = loads(raw)
        if b"\\u" in raw:
            json.dumps(body, ensure_ascii=False).encode()
    except ValueError as error:
        raise ApiError(400, f"The body is not valid JSON: {fault_of(error)}.") from error
    return body


async def _send(request: web.Request, stream: Stream) -> web.StreamResponse:
    """Send a stream as server-sent events; a client that leaves ends it."""
    from aiohttp import web  # noqa: PLC0415

    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    for chunk in stream.chunks:
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every error OpenAI's shape: our own, and those of the router (unknown path, wrong method, large body)."""
    from aiohttp import web  # noqa: PLC0415

    try:
        return await handler(request)
    except ApiError as error:
        return _failed(error)
    except web.HTTPException as error:
        where = f"{request.method} {request.path}"
        said = {
            404: f"There is nothing at {request.path}.",
            405: f"{where} is not allowed; use {', '.join(sorted(getattr(error, 'allowed_methods', ())))}.",
            413: f"The body is larger than {MAX_BODY_BYTES} bytes.",
        }
        return _failed(ApiError(error.status, said.get(error.status, f"{where}: {error.reason}.")))


def _failed(error: ApiError) -> web.Response:
    """An error as OpenAI's JSON object."""
    from aiohttp import web  # noqa: PLC0415

    kind = "invalid_request_error" if error.status < 500 else "server_error"
    shown = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
    return web.json_response({"error": shown}, status=error.status)
