"""Where search results come from, by name.

In: words, an address, perhaps a key. Out: titles, addresses and snippets as plain text. Read `base.py` first;
`hosted.py` want a key, those of `own.py` do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tfgrpo import config as configuration
from tfgrpo.errors import UsageError
from tfgrpo.tools.providers.base import Provider, Result, Site
from tfgrpo.tools.providers.hosted import Brave, Serper, Tavily
from tfgrpo.tools.providers.own import Contract, Ddgs, SearXNG, ddgs_searcher

__all__ = ["PROVIDERS", "Provider", "Result", "provider_for"]


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """A provider that we know by name."""

    make: Callable[[Site, Mapping[str, Any]], Provider]
    url: str
    """Its usual address; empty where everybody has an own one."""
    keys: tuple[str, ...] = ()
    """Environment variables that may hold its key, the first found counts."""
    address: str = ""
    """Environment variable of its address."""


PROVIDERS: Mapping[str, KnownProvider] = {
    "serper": KnownProvider(Serper, "https://google.serper.dev/search", ("SERPER_API_KEY",)),
    "tavily": KnownProvider(Tavily, "https://api.tavily.com/search", ("TAVILY_API_KEY",)),
    "brave": KnownProvider(
        Brave, "https://api.search.brave.com/res/v1/web/search", ("BRAVE_API_KEY", "BRAVE_SEARCH_API_KEY")
    ),
    "searxng": KnownProvider(SearXNG, "", address="SEARXNG_URL"),
    "ddgs": KnownProvider(lambda site, extra: Ddgs(ddgs_searcher(site.seconds, extra)), ""),
}


def provider_for(
    name: str = "", base_url: str = "", *, seconds: float = 20.0, extra: Mapping[str, Any] | None = None
) -> tuple[Provider, dict[str, Any]]:
    """Return a provider and what of its settings decides the results, without secrets.

    Args:
        name: of `PROVIDERS`, or a URL that follows the contract; empty takes the one whose key is set.
        base_url: asked in place of the usual address.
        seconds: limit of one request.
        extra: further fields of each request.

    Raises:
        UsageError: an unknown name, a missing key or address, or a package that is not installed.
    """
    more = dict(extra or {})
    if name.startswith(("http://", "https://")):
        shown = _without_secrets(name)
        return Contract(Site(shown, name, seconds=seconds), more), {"provider": shown, "extra": more}
    name = name or _only_one_with_a_key()
    if name not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise UsageError(f"web_search: no provider {name!r}; there are {known}, or a URL that answers ?q=...&k=...")
    entry = PROVIDERS[name]
    key = next(filter(None, map(configuration.environment, entry.keys)), "")
    if entry.keys and not key:
        raise UsageError(f"web_search: provider {name} needs its key; export {entry.keys[0]}, or choose another one")
    url = base_url or entry.url or (configuration.environment(entry.address) if entry.address else "") or ""
    if name == "searxng":
        if not url:
            raise UsageError("web_search: provider searxng needs an address; export SEARXNG_URL, or give base_url")
        url = f"{url.removesuffix('/').removesuffix('/search')}/search"
    provider = entry.make(Site(name, url, key, seconds), more)
    return provider, {
        "provider": name,
        "extra": more,
        **({"base_url": _without_secrets(url)} if url != entry.url else {}),
    }


def _without_secrets(url: str) -> str:
    """An address without password and query, either of which may be a secret; what was left out stays told apart."""
    parts = urlsplit(url)
    plain = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return plain if plain == url else f"{plain}#{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def _only_one_with_a_key() -> str:
    """The provider that the environment has the key or address of.

    Raises:
        UsageError: none, or several.
    """
    found = [
        name for name, known in PROVIDERS.items() if any(map(configuration.environment, (*known.keys, known.address)))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"web_search: keys of {' and '.join(found)} are set; name one as provider")
    wanted = ", ".join(next(iter((*known.keys, known.address)), "") for known in PROVIDERS.values()).strip(", ")
    raise UsageError(f"web_search needs a provider; export one of {wanted}, or give the URL of a search of your own")
