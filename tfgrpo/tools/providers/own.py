"""Search without a key: a SearXNG instance, any URL that follows our contract, and ddgs.

The contract: `GET URL?q=WORDS&k=10` is answered by `{"results": [{"title", "url", "snippet"}]}`, best first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfgrpo.backends.retry_policy import Transient
from tfgrpo.errors import ProviderError, UsageError
from tfgrpo.tools.providers.base import Result, Site, part, results_of
from tfgrpo.types import FailureKind

Searcher = Callable[[str, int], list[dict[str, str]]]
"""Blocking search of ddgs: words and count to `title`, `href`, `body`."""


@dataclass(frozen=True, slots=True)
class SearXNG:
    """One's own metasearch (docs.searxng.org, GET /search?format=json); JSON must be on in its settings."""

    site: Site
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters: engines, language, safesearch, ..."""

    async def __call__(self, query: str, count: int) -> tuple[Result, ...]:
        """Search; raises as `Provider` says."""
        answer = await self.site.get({**self.extra, "q": query, "format": "json"})
        found = results_of("SearXNG", part("SearXNG", answer, "results"))
        if not found and (silent := part("SearXNG", answer, "unresponsive_engines")):
            # Engines that block the instance leave an empty list behind: that is an outage, not an answer.
            raise Transient(f"no engine of SearXNG answered: {str(silent)[:200]}")
        return found[:count]


@dataclass(frozen=True, slots=True)
class Contract:
    """Any URL with our contract, the corpus server among them."""

    site: Site
    extra: Mapping[str, Any] = field(default_factory=dict)

    async def __call__(self, query: str, count: int) -> tuple[Result, ...]:
        """Search; raises as `Provider` says."""
        answer = await self.site.get({**self.extra, "q": query, "k": count})
        if not isinstance(answer, Mapping) or "results" not in answer:
            raise ProviderError(f'{self.site.name} answered without "results"', FailureKind.MALFORMED)
        return results_of(self.site.name, answer["results"], "url", "snippet")[:count]


@dataclass(frozen=True, slots=True)
class Ddgs:
    """Public search pages, scraped by the package ddgs; they change and block, so no benchmark should rest on it."""

    search: Searcher

    async def __call__(self, query: str, count: int) -> tuple[Result, ...]:
        """Search; raises as `Provider` says."""
        from ddgs import exceptions  # noqa: PLC0415 - an extra

        try:
            found = await asyncio.to_thread(self.search, query, count)
        except exceptions.RatelimitException as error:
            raise Transient(f"ddgs was refused: {str(error)[:200]}", FailureKind.RATE_LIMITED, status=429) from error
        except exceptions.TimeoutException as error:
            raise Transient(f"ddgs gave no answer in time: {str(error)[:200]}", FailureKind.TIMEOUT) from error
        except exceptions.DDGSException as error:
            if "no results" in str(error).lower():
                return ()
            raise Transient(f"ddgs failed: {str(error)[:200]}") from error
        return results_of("ddgs", found, "href", "body")[:count]


def ddgs_searcher(seconds: float, extra: Mapping[str, Any]) -> Searcher:
    """Return the search of the package ddgs; `extra` goes to its `text`: region, backend, timelimit, ...

    Raises:
        UsageError: the package is not installed.
    """
    try:
        from ddgs import DDGS  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError("provider ddgs needs the package ddgs; pip install 'tfgrpo[ddgs]'") from error

    def search(query: str, count: int) -> list[dict[str, str]]:
        found: list[dict[str, str]] = DDGS(timeout=int(seconds)).text(query, max_results=count, **extra)
        return found

    return search
