"""A search provider: one async call from words to results; and the one way in which providers ask over HTTP."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from tfgrpo.backends.error_bodies import retry_after_in
from tfgrpo.backends.faults import retry_after
from tfgrpo.backends.http import Answer, Http, NotDelivered, TooLarge, led_to
from tfgrpo.backends.retry_policy import Transient
from tfgrpo.backends.transports import login_of
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.system.redact import hide_secrets, secret_of, url_secrets
from tfgrpo.system.untrusted_json import SomeText, Unreadable, UntrustedModel, loads, read_model
from tfgrpo.types import FailureKind

_TAG = re.compile(r"</?\w[^<>]{0,2000}>")
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
        bare, sign, query = self.url.partition("?")
        asked = "&".join(filter(None, [query if sign else "", urlencode({k: str(v) for k, v in params.items()})]))
        return await self._ask("GET", f"{bare}?{asked}", None, headers)

    async def post(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
        """Return the JSON answer to a POST of JSON; raises as `Provider` does."""
        told = {"Content-Type": "application/json", **(headers or {})}
        return await self._ask("POST", self.url, json.dumps(dict(body)).encode(), told)

    async def _ask(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None) -> Any:
        answer = await self._answer(method, url, body, dict(headers or {}))
        if answer.status != 200:
            raise self._failed(answer)
        try:
            return loads(answer.text, forgiving=True)
        except Unreadable as error:
            raise Transient(f"{self.name} answered with {error}") from None

    async def _answer(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        bare, login = login_of(url)
        if login:
            headers.setdefault("Authorization", f"Basic {login}")
        client = Http(self.seconds)
        try:
            async with asyncio.timeout(self.seconds):
                return await client.send(method, bare, body, headers)
        except TimeoutError as error:
            raise Transient(f"{self.name} gave no answer within {self.seconds:g} s", FailureKind.TIMEOUT) from error
        except TooLarge as error:
            raise ProviderError(f"{self.name} answered with {error}", FailureKind.TRUNCATED) from None
        except NotDelivered as error:
            by = f" through the proxy {error.through}" if error.through else ""
            why = error.__cause__ or error
            raise Transient(self._clear(f"cannot reach {self.name}{by}: {why or type(why).__name__}")) from None
        finally:
            await client.aclose()

    def _failed(self, answer: Answer) -> ProviderError:
        """The error that a status stands for."""
        status, headers = answer.status, answer.headers
        body = answer.text[:10_000]
        said = self._clear(f"{self.name} answered {status}: {_BLANK.sub(' ', _TAG.sub(' ', body)).strip()}")
        if status in (408, 425, 429) or status >= 500:
            kind = FailureKind.RATE_LIMITED if status == 429 else FailureKind.PROVIDER
            wait = retry_after(headers) or _reset(headers) or retry_after_in(body)
            return Transient(said, kind, status=status, retry_after=wait)
        if 300 <= status < 400:
            host = urlsplit(led_to(self.url, headers.get("location", ""))).netloc.rpartition("@")[2] or "nowhere"
            return EndpointError(f"{self.name} redirects to {host}, which is not followed; give that address instead")
        # Serper says "Not enough credits" with 400, Brave SUBSCRIPTION_TOKEN_INVALID with 422.
        hopeless = status in (400, 422) and re.search("credit|token_invalid", said, re.IGNORECASE)
        if status in (401, 402, 403, 404, 432, 433) or hopeless:
            return EndpointError(f"{said}; check the key, its credit and the address of {self.name}")
        return ProviderError(said, FailureKind.REFUSED_REQUEST)

    def _clear(self, text: str) -> str:
        """At most 300 characters, without the key."""
        return hide_secrets(text[:3000], (*secret_of(self.key), *url_secrets(self.url)))[:300]


class Hit(UntrustedModel):
    """One result as a provider sends it; its fields have other names at each."""

    title: SomeText = None
    link: SomeText = None
    snippet: SomeText = None


def _reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the shortest of Brave's windows (`X-RateLimit-Reset: 1, 1419704`) opens again."""
    first = headers.get("x-ratelimit-reset", "").split(",")[0].strip()
    # Elsewhere a header of this name holds a date in seconds, which is no wait.
    return float(first) if re.fullmatch(r"\d{1,8}", first) else None


def results_of(
    name: str, found: Any, link: str = "url", snippet: str = "content", clean: Callable[[str], str] | None = None
) -> tuple[Result, ...]:
    """Read a list of result objects; entries without an address are left out.

    Raises:
        ProviderError: malformed, when it is no list of objects.
    """
    tidy, hits = clean or one_plain_line, []
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        raise ProviderError(f"{name} answered in a form that is not known", FailureKind.MALFORMED)
    for entry in found:
        with suppress(Unreadable):
            hits.append(
                read_model(Hit, {"title": entry.get("title"), "link": entry.get(link), "snippet": entry.get(snippet)})
            )
    return tuple(Result(tidy(hit.title or ""), hit.link.strip(), tidy(hit.snippet or "")) for hit in hits if hit.link)


def one_plain_line(text: str) -> str:
    """One line without control characters and half surrogate pairs."""
    return _BLANK.sub(" ", text.encode("utf-8", "replace").decode()).strip()


def without_tags(text: str) -> str:
    """One line without markup."""
    return one_plain_line(unescape(_TAG.sub("", text)))


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
