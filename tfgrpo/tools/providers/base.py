"""A search provider: one async call from words to results; and the one way in which providers ask over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Protocol

from tfgrpo.backends.faults import retry_after
from tfgrpo.backends.retry import Transient
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.tools.net_fetch import tls
from tfgrpo.types import FailureKind

_TAG = re.compile(r"</?\w[^<>]*>")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Result:
    """One search result, as plain text."""

    title: str
    url: str
    snippet: str = ""


class Provider(Protocol):
    """Where results come from."""

    async def __call__(self, query: str, count: int) -> tuple[Result, ...]:
        """Return at most `count` results, best first.

        Raises:
            Transient: rate limits, 5xx, timeouts, broken connections; another try may help.
            EndpointError: no search can succeed: a wrong key, no credit left, a service that gives no JSON.
            ProviderError: everything else.
        """
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """A provider's address and key, and how it is asked."""

    name: str
    url: str
    key: str = field(default="", repr=False)
    """Never in a message: whatever a provider says is cleared of it."""
    seconds: float = 20.0

    async def get(self, params: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
        """Return the JSON answer to a GET; raises as `Provider` does."""
        return await self._ask("GET", params=dict(params), headers=dict(headers or {}))

    async def post(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
        """Return the JSON answer to a POST of JSON; raises as `Provider` does."""
        return await self._ask("POST", json=dict(body), headers=dict(headers or {}))

    async def _ask(self, method: str, **what: Any) -> Any:
        import httpx  # noqa: PLC0415 - 0.1 s

        try:
            url = httpx.URL(self.url).copy_merge_params(what.pop("params", {}))
            verify = tls() if url.scheme == "https" else False
            async with httpx.AsyncClient(timeout=self.seconds, follow_redirects=False, verify=verify) as client:
                response = await client.request(method, url, **what)
        except httpx.TimeoutException as error:
            raise Transient(f"{self.name} gave no answer within {self.seconds:g} s", FailureKind.TIMEOUT) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Transient(self._clear(f"cannot reach {self.name}: {error or type(error).__name__}")) from None
        if response.status_code != 200:
            raise self._failed(response.status_code, response.headers, response.text)
        try:
            return response.json()
        except ValueError:
            raise Transient(f"{self.name} answered with something that is not JSON") from None

    def _failed(self, status: int, headers: Mapping[str, str], body: str) -> ProviderError:
        """The error that a status stands for."""
        said = self._clear(f"{self.name} answered {status}: {_BLANK.sub(' ', _TAG.sub(' ', body)).strip()}")
        if status in (408, 429) or status >= 500:
            kind = FailureKind.RATE_LIMITED if status == 429 else FailureKind.PROVIDER
            return Transient(said, kind, status=status, retry_after=retry_after(headers) or _reset(headers))
        # Serper says "Not enough credits" with 400, Brave SUBSCRIPTION_TOKEN_INVALID with 422.
        hopeless = status in (400, 422) and re.search("credit|token_invalid", said, re.IGNORECASE)
        if status in (401, 402, 403, 404, 432, 433) or hopeless:
            return EndpointError(f"{said}; check the key, its credit and the address of {self.name}")
        return ProviderError(said, FailureKind.REFUSED_REQUEST)

    def _clear(self, text: str) -> str:
        """At most 300 characters, without the key."""
        return (text.replace(self.key, "[key]") if self.key else text)[:300]


def _reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the shortest of Brave's windows (`X-RateLimit-Reset: 1, 1419704`) opens again."""
    first = headers.get("x-ratelimit-reset", "").split(",")[0].strip()
    return float(first) if first.isdecimal() else None


def results_of(
    name: str, found: Any, link: str = "url", snippet: str = "content", clean: Callable[[str], str] | None = None
) -> tuple[Result, ...]:
    """Read a list of result objects; entries without an address are left out.

    Raises:
        ProviderError: malformed, when it is no list of objects.
    """
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        raise ProviderError(f"{name} answered in a form that is not known", FailureKind.MALFORMED)
    tidy = clean or plain
    return tuple(
        Result(tidy(str(entry.get("title") or "")), str(entry[link]).strip(), tidy(str(entry.get(snippet) or "")))
        for entry in found
        if entry.get(link)
    )


def plain(text: str) -> str:
    """One line without control characters and half surrogate pairs."""
    return _BLANK.sub(" ", text.encode("utf-8", "replace").decode()).strip()


def without_tags(text: str) -> str:
    """One line without markup."""
    return plain(unescape(_TAG.sub("", text)))


def part(name: str, answer: Any, *path: str) -> Any:
    """Reach into an answer; a missing key is an empty list, for providers leave it out when nothing was found.

    Raises:
        ProviderError: malformed, when the answer or a part on the way is no object.
    """
    for key in path:
        if not isinstance(answer, Mapping):
            raise ProviderError(f"{name} answered in a form that is not known", FailureKind.MALFORMED)
        answer = answer.get(key, [] if key == path[-1] else {})
    return answer
