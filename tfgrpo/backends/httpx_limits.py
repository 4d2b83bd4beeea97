"""The limit on bodies for the clients of others: httpx (openai 2.x, litellm) and httpx2 (openai 3.x) read without one.

Both call a hook before a body is read. Ours puts a stream in place of the body's that unpacks it itself and ends where
the limit is passed, so neither an endless body nor one that unpacks to gigabytes fills the memory.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tfgrpo.backends.http import Body, TooLarge

Hook = Callable[[Any], Awaitable[None]]


def body_limit(most: int) -> Hook:
    """Return a hook for `event_hooks={"response": [...]}` that lets bodies of up to `most` bytes through.

    Reading a longer one raises TooLarge, which clients may wrap: see `too_large`.
    """

    async def limit(response: Any) -> None:
        base: Any = importlib.import_module(type(response).__module__.partition(".")[0]).AsyncByteStream
        inner, body = response.stream, Body(response.headers.get("content-encoding", ""), most)

        class Limited(base):  # type: ignore[misc]  # both libraries insist on a stream class of their own
            async def __aiter__(self) -> AsyncIterator[bytes]:
                async for piece in inner:
                    yield body.take(piece)

            async def aclose(self) -> None:
                await inner.aclose()

        response.stream = Limited()
        # What comes out of it is unpacked.
        response.headers.pop("content-encoding", None)
        response.headers.pop("content-length", None)

    return limit


def too_large(error: BaseException | None) -> TooLarge | None:
    """Return the TooLarge that an error of a client goes back to, if any."""
    for _ in range(8):
        if error is None or isinstance(error, TooLarge):
            return error
        error = error.__cause__ or error.__context__
    return None
