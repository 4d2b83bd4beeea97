"""Search and pages of a corpus over HTTP.

    GET /search?q=WORDS&k=10    {"results": [{"title", "url", "snippet"}]}, best first
    GET /page?url=ADDRESS       the page as HTML
    GET /                       what is served: pages, identity

Wrong questions get 400, unknown addresses 404, both with {"error": "one sentence"}. Nothing is written anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from tfgrpo.corpus.index import Index
from tfgrpo.corpus.pages import Page
from tfgrpo.system.http_server import serve_in_background, serve_until_stopped

if TYPE_CHECKING:
    from aiohttp import web

MOST = 50
"""Most results of one search."""
LONGEST = 2000
"""Longest query, in characters."""


async def serve(index: Index, host: str = "127.0.0.1", port: int = 8090, *, on_ready: Callable[[str], None]) -> None:
    """Serve `index` until SIGINT or SIGTERM; `on_ready` gets the URL, e.g. `http://127.0.0.1:8090`, once.

    Raises:
        UsageError: the address cannot be bound.
    """
    await serve_until_stopped(build_app(index), host, port, on_ready)


@contextmanager
def serving(pages: Sequence[Page] | Index, port: int = 0) -> Iterator[str]:
    """Serve pages on 127.0.0.1 from a thread while the block runs, and yield the URL.

    Raises:
        UsageError: bm25s is not installed, there is no page, or the port cannot be bound.
    """
    index = pages if isinstance(pages, Index) else Index(pages)
    with serve_in_background(lambda: build_app(index), port=port) as url:
        yield url


def build_app(index: Index) -> web.Application:
    """The corpus as an aiohttp application, for a server of one's own."""
    from aiohttp import web  # noqa: PLC0415

    async def about(_: web.Request) -> web.Response:
        return web.json_response({"pages": len(index.pages), "identity": index.identity})

    async def search(request: web.Request) -> web.Response:
        query, count = request.query.get("q", "").strip(), request.query.get("k", "10")
        if not query or len(query) > LONGEST:
            return _wrong(400, f"q is the query, 1 to {LONGEST} characters")
        if not count.isascii() or not count.isdigit() or not 1 <= int(count[:9]) <= MOST:
            return _wrong(400, f"k is how many results, 1 to {MOST}")
        return web.json_response({"results": results(index, query, int(count))})

    async def page(request: web.Request) -> web.Response:
        url = request.query.get("url", "")
        found = index.page(url)
        if found is None:
            return _wrong(404, f"there is no page {url[:200]!r} here; search first, and take a url from the results")
        return web.Response(text=html(found), content_type="text/html", charset="utf-8")

    app = web.Application()
    app.router.add_get("/", about)
    app.router.add_get("/search", search)
    app.router.add_get("/page", page)
    return app


def results(index: Index, query: str, k: int) -> list[dict[str, Any]]:
    """The answer to a search, as it goes over the wire."""
    return [
        {"title": hit.page.title, "url": hit.page.url, "snippet": hit.snippet, "score": round(hit.score, 4)}
        for hit in index.search(query, k)
    ]


def html(page: Page) -> str:
    """The page as a document."""
    if page.html:
        return page.html
    title = escape(page.title)
    paragraphs = "".join(f"<p>{escape(part)}</p>\n" for part in page.text.split("\n") if part.strip())
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body><article><h1>{title}</h1>\n{paragraphs}</article></body></html>\n"
    )


def _wrong(status: int, message: str) -> web.Response:
    from aiohttp import web  # noqa: PLC0415

    return web.json_response({"error": message}, status=status)
