"""Server-sent events: a page is told when the database has changed, whoever changed it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from tfgrpo.ui.access import HEADERS
from tfgrpo.ui.state import Site

if TYPE_CHECKING:
    from aiohttp import web

POLL = 0.5
"""Seconds between two looks at the number by which SQLite tells of other writers."""
BEAT = 15.0
"""Seconds after which a silent stream says that it lives, so that a client that has gone is noticed."""

MOST_STREAMS = 32
"""Streams open at once; further ones are told to come back."""


async def events(site: Site, request: web.Request) -> web.StreamResponse:
    """Send `event: change` after each change of the database, until the client goes; 503 where too many listen."""
    from aiohttp import web  # noqa: PLC0415

    if site.streams >= MOST_STREAMS:
        said = f"{MOST_STREAMS} pages follow this database already; close one, or reload this page by hand\n"
        return web.Response(status=503, text=said, headers={**HEADERS, "Retry-After": "10"})
    site.streams += 1
    try:
        return await _follow(site, request)
    finally:
        site.streams -= 1


async def _follow(site: Site, request: web.Request) -> web.StreamResponse:
    from aiohttp import web  # noqa: PLC0415

    answer = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream; charset=utf-8"})
    await answer.prepare(request)
    known, silent = site.store.data_version(), 0.0
    with suppress(ConnectionError):
        await answer.write(b"retry: 2000\n\n")
        while True:
            await asyncio.sleep(POLL)
            found, silent = site.store.data_version(), silent + POLL
            if found != known:
                await answer.write(f"event: change\ndata: {found}\n\n".encode())
                known, silent = found, 0.0
            elif silent >= BEAT:
                await answer.write(b": still here\n\n")
                silent = 0.0
    return answer
