"""The `web_search` tool: words in, titles, addresses and snippets out, from whichever provider is chosen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.retry_policy import RetryPolicy, with_retries
from tfgrpo.errors import EndpointError, ProviderError, UsageError
from tfgrpo.tools.base import ToolResult, ToolSpec
from tfgrpo.tools.providers import Provider, Result, provider_for
from tfgrpo.types import Failure, FailureKind

POLICY = RetryPolicy(attempts=5, retry_after_max=60.0)
LONGEST = 2000
"""Longest query, in characters."""

SPEC = ToolSpec(
    "web_search",
    "Search the web. Returns titles, addresses and short snippets; read a page with fetch_page before relying on it.",
    {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "What to look for."}},
        "required": ["query"],
        "additionalProperties": False,
    },
)


class WebSearch:
    """Searches by one provider; one object, one pace for all rollouts."""

    spec = SPEC

    def __init__(
        self,
        provider: Provider,
        about: Mapping[str, Any],
        *,
        count: int = 10,
        policy: RetryPolicy = POLICY,
        pace: Pace | None = None,
    ) -> None:
        if not 1 <= count <= 50:
            raise UsageError(f"web_search: count is {count}; give 1 to 50")
        self._provider = provider
        self._count = count
        self._policy = policy
        self._pace = pace or Pace(8)
        self.fingerprint: Mapping[str, Any] = {"tool": "web_search", "count": count, **about}

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> ToolResult:
        """Return the results of one search.

        Raises:
            EndpointError: the provider refuses every search, so that going on without it would measure nothing.
        """
        query = " ".join(str(arguments.get("query", "")).split())
        if not query or len(query) > LONGEST:
            said = f"the query is {'empty' if not query else f'longer than {LONGEST} characters'}; give a few words"
            return ToolResult(said, Failure(FailureKind.REFUSED_REQUEST, said))
        started = time.perf_counter()
        detail = {"provider": self.fingerprint["provider"], "query": query}
        try:
            found = await with_retries(lambda: self._search(query), self._policy)
        except EndpointError:
            raise
        except ProviderError as error:
            said = f"the search failed: {error}; try once more or answer from what you have"
            return ToolResult(said, error.failure, detail, time.perf_counter() - started)
        detail["urls"] = [result.url for result in found]
        return ToolResult(_shown(query, found), detail=detail, seconds=time.perf_counter() - started)

    async def _search(self, query: str) -> tuple[Result, ...]:
        async with self._pace.slot():
            return await self._provider(query, self._count)


def _shown(query: str, found: tuple[Result, ...]) -> str:
    """The results as the model reads them."""
    if not found:
        return f"Nothing was found for {query!r}; try other or fewer words."
    return "\n\n".join(
        f"{number}. {result.title or result.url}\n{result.url}\n{result.snippet}".rstrip()
        for number, result in enumerate(found, 1)
    )


def make(  # noqa: PLR0913 - the options of a configuration table
    *,
    provider: str = "",
    base_url: str = "",
    identity: str = "",
    count: int = 10,
    seconds: float = 20.0,
    attempts: int = POLICY.attempts,
    concurrency: int = 8,
    requests_per_minute: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> WebSearch:
    """Make the tool from options.

    Args:
        provider: serper, tavily, brave, searxng, ddgs, or the URL of a search that follows the contract
            `?q=WORDS&k=COUNT -> {"results": [{"title", "url", "snippet"}]}`; empty takes the one whose key is set.
        base_url: asked in place of the provider's usual address.
        identity: what is searched, in place of the address, so that a moved port is the same web.
        count: results per search, 1 to 50.
        seconds: limit of one request.
        attempts: tries per search, the first included.
        concurrency: searches at once, at most; fewer after a 429.
        requests_per_minute: searches that may start within any minute.
        extra: further fields of each request, as the provider documents them.

    Raises:
        UsageError: an unknown provider, a missing key, an option out of range.
    """
    if seconds <= 0 or attempts < 1:
        raise UsageError("web_search: seconds is above 0, attempts at least 1")
    chosen, about = provider_for(provider, base_url, seconds=seconds, extra=extra)
    if identity:
        about = {**about, "provider": identity}
        about.pop("base_url", None)
    policy = RetryPolicy(attempts=attempts, retry_after_max=POLICY.retry_after_max)
    pace = Pace(concurrency, per_minute=requests_per_minute)
    return WebSearch(chosen, about, count=count, policy=policy, pace=pace)
