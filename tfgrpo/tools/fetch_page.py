"""The `fetch_page` tool: one public page as Markdown, a part at a time.

    fetch_page(url="https://example.org/paper", page=2)

With `via`, pages come from a mirror that is asked for them (`GET via?url=ADDRESS`), for instance a corpus server.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from tfgrpo.backends.retry_policy import RetryPolicy, with_retries
from tfgrpo.errors import ProviderError, UsageError
from tfgrpo.tools.base import ToolResult, ToolSpec
from tfgrpo.tools.fetch_page_text import Document, parts, read_page, require_readers
from tfgrpo.tools.net import Resolver, lookup, parse_allowed, split_url
from tfgrpo.tools.net_fetch import Limits, fetch
from tfgrpo.types import Failure, FailureKind

POLICY = RetryPolicy(attempts=2, retry_after_max=20.0)
REMEMBERED = 32
"""Pages kept in memory, so that reading on does not fetch again."""

SPEC = ToolSpec(
    "fetch_page",
    "Read a web page or PDF as Markdown. Long pages come in parts; ask for the next one with `page`.",
    {
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "Address, starting with https:// or http://."},
            "page": {"type": "integer", "minimum": 1, "description": "Which part of a long page; 1 is the first."},
        },
        "required": ["url"],
        "additionalProperties": False,
    },
)


class FetchPage:
    """Fetches and reads pages; one object serves all rollouts."""

    spec = SPEC

    def __init__(
        self,
        *,
        allow: Sequence[str] = (),
        via: str = "",
        identity: str = "",
        limits: Limits = Limits(),  # noqa: B008 - frozen
        page_chars: int = 8000,
        policy: RetryPolicy = POLICY,
        resolve: Resolver = lookup,
    ) -> None:
        require_readers()
        if page_chars < 200:
            raise UsageError(f"fetch_page: page_chars is {page_chars}; give at least 200")
        self._allow = parse_allowed(allow)
        self._via = via
        if via:
            try:
                self._allow |= {split_url(via).netloc.lower()}
            except ProviderError as error:
                raise UsageError(f"fetch_page: via: {error}") from error
        self._limits = limits
        self._page_chars = page_chars
        self._policy = policy
        self._resolve = resolve
        self._seen: OrderedDict[str, Document] = OrderedDict()
        self.fingerprint: Mapping[str, Any] = {
            "tool": "fetch_page",
            "via": identity or via,
            "allow": sorted(parse_allowed(allow)),
            "page_chars": page_chars,
            "bytes": limits.bytes,
        }

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> ToolResult:
        """Return one part of a page; what went wrong is a failure with words that the model can act on."""
        url, number = str(arguments.get("url", "")).strip(), int(arguments.get("page") or 1)
        started = time.perf_counter()
        try:
            document = self._seen.get(url) or await self._read(url)
        except ProviderError as error:
            return ToolResult(str(error), error.failure, {"url": url}, time.perf_counter() - started)
        self._remember(url, document)
        pages = parts(document.text, self._page_chars)
        detail = {"url": document.url, "hops": list(document.hops), "kind": document.kind, "pages": len(pages)}
        taken = time.perf_counter() - started
        if not 1 <= number <= len(pages):
            said = f"{url} has {len(pages)} part{'s' if len(pages) > 1 else ''}, not {number}"
            return ToolResult(said, Failure(FailureKind.REFUSED_REQUEST, said), detail, taken)
        return ToolResult(_shown(url, document, pages, number), detail=detail, seconds=taken)

    async def _read(self, url: str) -> Document:
        split_url(url)
        asked, name = url, ""
        if self._via:
            asked = f"{self._via}{'&' if urlsplit(self._via).query else '?'}url={quote(url, safe='')}"
            name = f"the mirror, asked for {url[:200]},"
        page = await with_retries(
            lambda: fetch(asked, limits=self._limits, allow=self._allow, resolve=self._resolve, name=name), self._policy
        )
        if self._via:
            # Links of a mirrored page are relative to the page, not to the mirror.
            page = replace(page, url=url, hops=())
        return await read_page(page, self._limits.seconds)

    def _remember(self, url: str, document: Document) -> None:
        self._seen[url] = document
        self._seen.move_to_end(url)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)


def _shown(url: str, document: Document, pages: Sequence[str], number: int) -> str:
    """Head and part, as the model reads it."""
    head = [f"Title: {document.title}"] if document.title else []
    head.append(f"URL: {url}")
    if document.date:
        head.append(f"Date: {document.date}")
    if len(pages) > 1:
        more = f"; for more ask for page {number + 1}" if number < len(pages) else ", the last"
        head.append(f"Part {number} of {len(pages)}{more}")
    return "\n".join([*head, "", pages[number - 1]])


def make(
    *,
    allow: Sequence[str] = (),
    via: str = "",
    identity: str = "",
    seconds: float = 30.0,
    max_bytes: int = 5_000_000,
    redirects: int = 5,
    page_chars: int = 8000,
    attempts: int = 2,
) -> FetchPage:
    """Make the tool from options.

    Args:
        allow: `host` or `host:port` that may lie in a private network.
        via: a mirror that is asked for every page with `?url=ADDRESS`; it is allowed.
        identity: what the mirror serves, in place of its address, so that a moved port is the same web.
        seconds: limit of one page, to fetch it and again to read it.
        max_bytes: longest page, also after decompression.
        redirects: how many are followed.
        page_chars: length of one part.
        attempts: tries per page, the first included.

    Raises:
        UsageError: an option out of range, or the extra `web` is not installed.
    """
    if seconds <= 0 or max_bytes < 1 or redirects < 0 or attempts < 1:
        raise UsageError("fetch_page: seconds, max_bytes and attempts are above 0, redirects at least 0")
    limits = Limits(seconds, max_bytes, redirects)
    policy = RetryPolicy(attempts=attempts, retry_after_max=POLICY.retry_after_max)
    return FetchPage(allow=allow, via=via, identity=identity, limits=limits, page_chars=page_chars, policy=policy)
