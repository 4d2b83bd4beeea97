"""One page over HTTP with everything bounded: hops, bytes before and after decompression, seconds.

Every hop is checked anew and connects to the checked IP address; the host name goes into the Host header and the TLS
handshake alone. Proxies of the environment are not used: they would look the name up again.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tfgrpo.backends.faults import retry_after
from tfgrpo.backends.http import led_to
from tfgrpo.backends.retry_policy import Transient
from tfgrpo.errors import ProviderError
from tfgrpo.tools.net import Resolver, Target, check_url, lookup, refused_address
from tfgrpo.types import FailureKind
from tfgrpo.version import __version__

if TYPE_CHECKING:
    import httpx

REDIRECTS = {301, 302, 303, 307, 308}
CONNECT_SECONDS = 10.0
_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""Window bits for zlib: gzip, and zlib or gzip by the header."""
_STATUS = {
    401: "it wants a login",
    403: "it refuses programs",
    404: "there is no such page",
    410: "the page was taken away",
    451: "it is blocked for legal reasons",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one fetch."""

    seconds: float = 30.0
    """All hops together, from the first lookup to the last byte."""
    bytes: int = 5_000_000
    """Of a body, as sent and after decompression."""
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as it came."""

    url: str
    """Where the last hop led."""
    content_type: str
    """Lower case, without parameters; empty when the server did not say."""
    charset: str
    body: bytes
    hops: tuple[str, ...]
    """All addresses asked, in order."""
    seconds: float


async def fetch(
    url: str,
    *,
    limits: Limits,
    allow: frozenset[str] = frozenset(),
    resolve: Resolver = lookup,
    name: str = "",
) -> Fetched:
    """Return the page at `url`, after its redirects; messages call it `name`, else by its host.

    Raises:
        ProviderError: refused_request for an address that may not be fetched, a page that does not exist, too many
            redirects or bytes; timeout after `limits.seconds`; malformed for an unknown compression.
        Transient: 408, 429, 5xx or a broken connection; another try may help.
    """
    hops: list[str] = []
    started = time.perf_counter()
    try:
        async with asyncio.timeout(limits.seconds):
            while len(hops) <= limits.redirects:
                target = await check_url(url, allow, resolve, name)
                hops.append(target.url)
                found = await _hop(target, limits)
                if not isinstance(found, str):
                    kind, charset, body = found
                    return Fetched(target.url, kind, charset, body, tuple(hops), time.perf_counter() - started)
                url = led_to(target.url, found) or found
    except TimeoutError:
        said = f"{name or _host(url)} gave no whole page within {limits.seconds:g} s; use another page"
        raise ProviderError(said, FailureKind.TIMEOUT) from None
    raise refused_address(f"{name or _host(hops[0])} redirects more than {limits.redirects} times; use another page")


async def _hop(target: Target, limits: Limits) -> str | tuple[str, str, bytes]:
    """Ask the checked addresses in turn until one takes the connection; the redirect, or kind, charset and body."""
    import httpx  # noqa: PLC0415 - 0.1 s

    # A client of its own: no cookie, and no connection of another host name at the same IP address.
    client = httpx.AsyncClient(
        verify=tls() if target.url.startswith("https") else False,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(limits.seconds, connect=min(CONNECT_SECONDS, limits.seconds)),
    )
    async with client:
        last = len(target.addresses) - 1
        for place, address in enumerate(target.addresses):
            try:
                response = await client.send(_request(client, target, address), stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if place < last:
                    continue
                raise Transient(f"cannot connect to {target.name}: {_why(error)}") from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise Transient(f"{target.name} broke the connection: {_why(error)}") from error
            try:
                return await _read(response, target, limits)
            except httpx.HTTPError as error:
                raise Transient(f"{target.name} broke the connection: {_why(error)}") from error
            finally:
                await response.aclose()
    raise AssertionError("a target has an address")


def _request(client: httpx.AsyncClient, target: Target, address: str) -> httpx.Request:
    import httpx  # noqa: PLC0415

    named = httpx.URL(target.url)
    host = named.netloc.decode("ascii")
    told = {
        "User-Agent": f"tfgrpo/{__version__}",
        "Accept": "text/html, application/xhtml+xml, text/markdown, text/plain, application/pdf;q=0.9, */*;q=0.5",
        "Accept-Encoding": "gzip, deflate",
        "Host": host,
    }
    extensions = {"sni_hostname": named.raw_host.decode("ascii")} if named.scheme == "https" else {}
    return client.build_request("GET", named.copy_with(host=address), headers=told, extensions=extensions)


async def _read(response: httpx.Response, target: Target, limits: Limits) -> str | tuple[str, str, bytes]:
    status, headers = response.status_code, response.headers
    if status in REDIRECTS and headers.get("location"):
        return str(headers["location"])
    if status >= 300:
        raise _failed(status, headers, target)
    if (said := headers.get("content-length", "")).isdigit() and int(said) > limits.bytes:
        raise _too_long(target, limits)
    body = bytearray()
    async for chunk in _decoded(response, target, limits):
        body += chunk
        if len(body) > limits.bytes:
            raise _too_long(target, limits)
    kind, _, rest = headers.get("content-type", "").partition(";")
    charset = rest.lower().partition("charset=")[2].partition(";")[0].strip("\"' ")
    return kind.strip().lower(), charset, bytes(body)


async def _decoded(response: httpx.Response, target: Target, limits: Limits) -> AsyncIterator[bytes]:
    """The body's bytes, never more than one over the limit at once: a few bytes may unpack to gigabytes."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if encoding not in _ENCODINGS:
        raise ProviderError(f"{target.name} sent {encoding!r} data that was not asked for", FailureKind.MALFORMED)
    unpack, taken = zlib.decompressobj(_ENCODINGS[encoding]), 0
    try:
        async for chunk in response.aiter_raw():
            taken += len(chunk)
            if taken > limits.bytes:
                raise _too_long(target, limits)
            yield unpack.decompress(chunk, limits.bytes + 1)
            if unpack.unconsumed_tail:
                raise _too_long(target, limits)
    except zlib.error as error:
        said = f"{target.name} sent broken {encoding} data; use another page"
        raise ProviderError(said, FailureKind.MALFORMED) from error


def _failed(status: int, headers: Mapping[str, str], target: Target) -> ProviderError:
    said = f"{target.name} answered {status}"
    if status in (408, 425, 429) or status >= 500:
        kind = FailureKind.RATE_LIMITED if status == 429 else FailureKind.PROVIDER
        return Transient(said, kind, status=status, retry_after=retry_after(headers))
    return refused_address(f"{said}: {_STATUS.get(status, 'it gives no page')}; check the address, or use another page")


def _too_long(target: Target, limits: Limits) -> ProviderError:
    return refused_address(f"the page at {target.name} is longer than {limits.bytes:,} bytes; use another page")


def _host(url: str) -> str:
    return url.split("/")[2] if url.count("/") >= 2 else url


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


@cache
def tls() -> ssl.SSLContext:
    """The usual certificates, read once: it takes longer than most pages."""
    import httpx  # noqa: PLC0415

    return httpx.create_ssl_context()
