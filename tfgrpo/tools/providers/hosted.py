"""Search services that want a key: Serper, Tavily and Brave.

Forms as documented by them: google.serper.dev (POST q, num; header X-API-KEY; `organic` with title, link, snippet),
docs.tavily.com (POST query, max_results; Bearer key; `results` with title, url, content), and
api-dashboard.search.brave.com (GET q, count up to 20; header X-Subscription-Token; `web.results` with title, url and a
description in HTML).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfgrpo.tools.providers.base import Result, Site, part, results_of, without_tags


@dataclass(frozen=True, slots=True)
class Serper:
    """Google results by serper.dev."""

    site: Site
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request: gl, hl, tbs, ..."""

    async def __call__(self, query: str, count: int) -> tuple[Result, ...]:
        """Search; raises as `Provider` says."""
        answer = await self.site.post({**self.extra, "q": query, "num": count}, {"X-API-KEY": self.site.key})
        return results_of("Serper", part("Serper", answer, "organic"), "link", "snippet")[:count]


@dataclass(frozen=True, slots=True)
class Tavily:
    """Results by tavily.com."""

    site: Site
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request: search_depth, topic, include_domains, ..."""

    async def __call__(self, query: str, count: int) -> tuple[Result, ...]:
        """Search; raises as `Provider` says."""
        body = {**self.extra, "query": query, "max_results": min(count, 20)}
        answer = await self.site.post(body, {"Authorization": f"Bearer {self.site.key}"})
        return results_of("Tavily", part("Tavily", answer, "results"))[:count]


@dataclass(frozen=True, slots=True)
class Brave:
    """Results by Brave Search."""

    site: Site
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters: country, search_lang, freshness, ..."""

    async def __call__(self, query: str, count: int) -> tuple[Result, ...]:
        """Search; raises as `Provider` says."""
        headers = {"X-Subscription-Token": self.site.key, "Accept": "application/json"}
        answer = await self.site.get({**self.extra, "q": query, "count": min(count, 20)}, headers)
        found = part("Brave", answer, "web", "results")
        return results_of("Brave", found, "url", "description", without_tags)[:count]
