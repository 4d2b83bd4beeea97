"""How much room an endpoint has is what it says itself, under whatever name; what it does not say is not guessed."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tfgrpo.backends.openai import OpenAI
from tfgrpo.backends.tiny.backend import Tiny
from tfgrpo.backends.tiny.model import load

SLOT = {"default_generation_settings": {"n_ctx": 2048}}


@pytest.mark.parametrize(
    ("models", "props", "room"),
    [
        ({"data": [{"id": "x", "max_model_len": 4096}]}, None, 4096),
        ({"data": [{"id": "y", "max_model_len": 1}, {"id": "x", "context_length": 8192}]}, None, 8192),
        ({"data": [{"id": "x", "context_window": "32768"}]}, SLOT, 32768),
        ({"data": [{"id": "x", "meta": {"n_ctx_train": 8192}}]}, SLOT, 2048),
        ({"data": [{"id": "x", "max_model_len": None}]}, {"default_generation_settings": [1]}, None),
        ({"data": [{"id": "x", "context_length": -5}]}, None, None),
        (["x"], {"n_ctx": 7}, None),
        (None, None, None),
    ],
)
async def test_the_room_is_read_from_the_list_of_models_or_from_the_slots(models, props, room):
    """Names of several vendors are known; junk, and what the weights were trained for, are no room."""
    bodies = {"/v1/models": models, "/props": props}

    async def answer(request):
        body = bodies.get(request.path)
        wanted = request.headers.get("Authorization") == "Bearer key-of-a-test"
        return web.json_response(body, status=200 if wanted and body is not None else 404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        backend = OpenAI(str(server.make_url("/v1")), "key-of-a-test")
        assert await backend.window("x") == room
        await backend.aclose()


async def test_nothing_that_listens_says_nothing():
    """A dead endpoint has no known room; the calls themselves say that it is dead."""
    backend = OpenAI("http://127.0.0.1:9/v1")
    assert await backend.window("x") is None
    await backend.aclose()


async def test_the_embedded_model_knows_its_room():
    """Its own is that of its positions."""
    assert await Tiny().window("tiny") == load().max_length
