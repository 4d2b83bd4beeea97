"""One way of HTTP for model calls, scoring and searches: proxies, redirects and sizes are handled here alone.

A body is read up to a limit, compressed or not, so that neither an endless answer nor a few bytes that unpack to
gigabytes fill the memory. A redirect is followed on the same host alone: a prompt and a key go where they were sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from tfgrpo.system.proxies import proxy_for, public_proxy
from tfgrpo.version import __version__

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 10.0
MOST_BYTES = 32 * 2**20
"""Of a body, as sent and unpacked, unless told otherwise."""
MOST_REDIRECTS = 3
REDIRECTS = {301, 302, 307, 308}
PIECE = 2**16
GZIP = b"\x1f\x8b"
"""What a text packed by gzip begins with."""
_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""Window bits for zlib: gzip, and zlib or gzip by the header."""


class NotDelivered(Exception):
    """No whole answer came; the cause says why, `through` which proxy it went, '' for none."""

    through = ""


class TooLarge(Exception):
    """A body is longer than the limit; the message says so."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    text: str
    headers: Mapping[str, str]


class Http:
    """Connections to whichever hosts are asked; opened by the first request, and anew in another event loop."""

    def __init__(self, connect: float = CONNECT_SECONDS, most: int = MOST_BYTES) -> None:
        """Remember the limits: seconds to connect, and bytes of a body."""
        self._connect, self._most = connect, most
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._proxies: dict[str, str | None] = {}

    async def send(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request and return the whole answer, after redirects on the same host.

        Raises:
            NotDelivered: the connection failed.
            TooLarge: the body is longer than the limit.
            TimeoutError: no connection within the limit.
        """
        hops = 0
        while True:
            answer = await self._once(method, url, body, headers or {})
            place = answer.headers.get("location", "") if answer.status in REDIRECTS else ""
            there = led_to(url, place)
            if not there or not _same_host(url, there) or hops == MOST_REDIRECTS:
                return answer
            url, hops = there, hops + 1

    async def aclose(self) -> None:
        """Close the connections; the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _once(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        import aiohttp  # noqa: PLC0415  (0.2 s)

        told = {"User-Agent": f"tfgrpo/{__version__}", "Accept-Encoding": "gzip, deflate", **headers}
        proxy = self._proxy(url)
        try:
            async with self._open().request(
                method, url, data=body, headers=told, proxy=proxy, allow_redirects=False
            ) as response:
                return Answer(response.status, await self._text(response), response.headers)
        except (aiohttp.ClientError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            broken = NotDelivered()
            broken.through = public_proxy(proxy) if proxy else ""
            raise broken from error

    async def _text(self, response: aiohttp.ClientResponse) -> str:
        body, data = Body(response.headers.get("Content-Encoding", ""), self._most), bytearray()
        async for piece in response.content.iter_chunked(PIECE):
            data += body.take(piece)
        return data.decode("utf-8", "replace")

    def _proxy(self, url: str) -> str | None:
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        if host not in self._proxies:
            self._proxies[host] = proxy_for(url)
        return self._proxies[host]

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp  # noqa: PLC0415

        # Connections belong to the event loop that opened them.
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            # How many at once is the pace's business, and unpacking is ours: aiohttp knows no limit.
            connector = aiohttp.TCPConnector(limit=0)
            limits = aiohttp.ClientTimeout(total=None, sock_connect=self._connect)
            self._session = aiohttp.ClientSession(connector=connector, timeout=limits, auto_decompress=False)
            self._loop = loop
        return self._session


class Body:
    """Unpacks a body piece by piece, up to a limit on what is sent and on what it stands for."""

    def __init__(self, encoding: str, most: int) -> None:
        """Remember the limit in bytes; an encoding that was not asked for is taken as it comes."""
        encoding = encoding.strip().lower()
        self._window = _ENCODINGS.get(encoding, 0)
        self._unpack = zlib.decompressobj(self._window) if self._window else None
        self._most, self._sent, self._held = most, 0, 0

    def take(self, piece: bytes) -> bytes:
        """Return what a piece unpacks to.

        Raises:
            TooLarge: the limit is passed.
            ValueError: it is not what the header says.
        """
        self._sent += len(piece)
        try:
            if self._unpack is not None:
                piece = self._unpacked(piece)
        except zlib.error as error:
            raise ValueError(f"broken compression: {error}") from None
        self._held += len(piece)
        if max(self._sent, self._held) > self._most:
            raise TooLarge(f"a body of more than {self._most:,} bytes")
        return piece

    def _unpacked(self, piece: bytes) -> bytes:
        """Unpack a piece; a packed text may follow another in one body (RFC 1952)."""
        data = bytearray()
        while piece and len(data) <= self._most - self._held:
            assert self._unpack is not None
            if self._unpack.eof:
                if not piece.startswith(GZIP):
                    break  # what fills up a body means nothing
                self._unpack = zlib.decompressobj(self._window)
            data += self._unpack.decompress(piece, self._most - self._held - len(data) + 1)
            piece = self._unpack.unused_data
        return bytes(data)


def led_to(url: str, place: str) -> str:
    """Return where a redirect leads; '' for nowhere, also where it names what is no address."""
    with contextlib.suppress(ValueError):
        there = urljoin(url, place) if place else ""
        parts = urlsplit(there)
        if parts.hostname and (parts.port is None or parts.port):
            return there
    return ""


def _same_host(here: str, there: str) -> bool:
    """Whether a redirect stays where the request was sent; from http to https is the same place."""
    a, b = urlsplit(here), urlsplit(there)
    if a.hostname != b.hostname or b.scheme not in ("http", "https"):
        return False
    return (a.scheme, a.port) == (b.scheme, b.port) or (a.scheme == "http" and b.scheme == "https")
