"""The scripted backend plays what it is given."""

from __future__ import annotations

import pytest

from tfgrpo.backends import Scripted
from tfgrpo.errors import ProviderError
from tfgrpo.types import Reply, Request

ASK = Request("rollout", "scripted", ({"role": "user", "content": "2+2?"},))


async def test_lines_are_played_in_order_and_requests_are_kept():
    """Strings become replies, replies pass as they are, and every request is recorded."""
    backend = Scripted(["4", Reply("five", finish_reason="length")])
    assert await backend.complete(ASK) == Reply("4")
    assert (await backend.complete(ASK)).finish_reason == "length"
    assert backend.requests == [ASK, ASK]


async def test_an_exception_in_the_script_is_raised():
    """A line that is an exception plays an outage, and the script goes on after it."""
    backend = Scripted([ProviderError("overloaded"), "4"])
    with pytest.raises(ProviderError, match="overloaded"):
        await backend.complete(ASK)
    assert (await backend.complete(ASK)).text == "4"


async def test_an_exhausted_script_says_so():
    """A call beyond the script names the role that asked and how many replies there were."""
    backend = Scripted(["4"])
    await backend.complete(ASK)
    with pytest.raises(ProviderError, match="after 1 replies, but 'rollout'"):
        await backend.complete(ASK)


async def test_a_function_answers_from_the_request():
    """Sync and async functions both can play the model."""

    async def slow(request: Request) -> Reply:
        return Reply(request.role)

    assert (await Scripted(lambda request: str(request.attempt)).complete(ASK)).text == "0"
    assert (await Scripted(slow).complete(ASK)).text == "rollout"
