"""From the bytes of a page to text that a model reads: by kind, in a killable process, in pages of a bounded length."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from tfgrpo.errors import ProviderError, UsageError
from tfgrpo.system.workers import Pool, Worker, WorkerLost
from tfgrpo.tools.net_fetch import Fetched
from tfgrpo.types import FailureKind

_PLAIN = ("text/plain", "text/markdown", "text/csv", "application/json", "text/xml", "application/xml")
_HTML = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class Document:
    """A page as text."""

    url: str
    title: str
    date: str
    """ISO date where the page has one, else empty."""
    text: str
    """Markdown with links for HTML, else plain."""
    kind: str
    """`html`, `pdf` or `text`."""
    hops: tuple[str, ...] = ()


async def read_page(page: Fetched, seconds: float) -> Document:
    """Return the text of a page.

    Raises:
        ProviderError: malformed for a kind that is no text or a broken file; timeout after `seconds`; empty where
            there is no text.
    """
    kind = kind_of(page)
    found = _plain(page) if kind == "text" else await _asked(page, kind, seconds)
    text = _tidied(found["text"])
    if not text:
        said = f"the page at {page.url} has no text that can be read without a browser; use another page"
        raise ProviderError(said, FailureKind.EMPTY)
    return Document(page.url, " ".join(found["title"].split()), found["date"], text, kind, page.hops)


def kind_of(page: Fetched) -> str:
    """Say how to read a page: as its server says, else as it begins.

    Raises:
        ProviderError: an image, a film, an archive.
    """
    start = page.body[:1024].lstrip()
    if start.startswith(b"%PDF-"):
        return "pdf"
    if page.content_type in _HTML:
        return "html"
    if page.content_type in _PLAIN or page.content_type.endswith(("+json", "+xml")):
        return "text"
    if page.content_type in ("", "application/octet-stream") and b"\0" not in start:
        return "html" if start[:1] == b"<" else "text"
    shown = page.content_type or "unknown data"
    said = f"the page at {page.url} is {shown}, not HTML, text or PDF; use another page"
    raise ProviderError(said, FailureKind.MALFORMED)


def parts(text: str, size: int) -> tuple[str, ...]:
    """Cut a text into parts of at most `size` characters, between paragraphs, lines or words where there are any."""
    found, rest = [], text
    while len(rest) > size:
        ends = (rest.rfind(mark, size // 2, size) for mark in ("\n\n", "\n", " "))
        end = next((end for end in ends if end > 0), size)
        found.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return (*found, rest) if rest or not found else tuple(found)


def require_readers() -> None:
    """Check that what reads pages is installed, without loading it.

    Raises:
        UsageError: it is not.
    """
    for name in ("trafilatura", "pypdf"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"fetch_page needs the package {name}; pip install 'tfgrpo[web]'")


async def _asked(page: Fetched, kind: str, seconds: float) -> dict[str, Any]:
    body = base64.b64encode(page.body).decode()
    request = {"kind": kind, "body": body, "charset": page.charset, "url": page.url}
    try:
        found = await asyncio.wrap_future(_pool_of(os.getpid()).submit(request, seconds))
    except WorkerLost as error:
        late = error.why == "late"
        said = f"the page at {page.url} could not be read{f' in {seconds:g} s' if late else ''}; use another page"
        raise ProviderError(said, FailureKind.TIMEOUT if late else FailureKind.MALFORMED) from None
    if "error" in found:
        raise ProviderError(f"the page at {page.url} is broken: {found['error']}", FailureKind.MALFORMED)
    return found


def _plain(page: Fetched) -> dict[str, Any]:
    try:
        text = page.body.decode(page.charset or "utf-8", "replace")
    except LookupError:
        text = page.body.decode("utf-8", "replace")
    return {"title": "", "date": "", "text": text}


def _tidied(text: str) -> str:
    """Without half surrogate pairs and control characters, which cannot be stored or sent on, and blank ends."""
    whole = text.encode("utf-8", "replace").decode()
    return "".join(c for c in whole if c >= " " or c in "\n\t").strip()


@cache
def _pool_of(pid: int) -> Pool:
    """The reading processes of this process; a forked child gets its own."""
    return Pool(min(2, os.cpu_count() or 1), lambda: Worker("tfgrpo.tools.fetch_page_worker"), "pages")
