"""How one HTTP request reaches an OpenAI-compatible endpoint: by aiohttp alone, or by the openai SDK.

aiohttp is the default. With 128 calls in flight it needs a tenth of the SDK's CPU time or less, because the pool under
the SDK looks through all of its connections for every request (`tests/benchmarks/engine.py --transports` measures it).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from tfgrpo.version import __version__

if TYPE_CHECKING:
    import aiohttp
    import openai

CONNECT_SECONDS = 10.0


class NotDelivered(Exception):
    """No whole answer came; the cause says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    text: str
    headers: Mapping[str, str]


class Transport(Protocol):
    """Sends bodies to one endpoint."""

    async def post(self, body: Mapping[str, Any]) -> Answer:
        """Send one chat-completions body.

        Raises:
            NotDelivered: the connection failed.
            TimeoutError: the endpoint took too long.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        ...


class Thin:
    """A transport by aiohttp, without anything between."""

    def __init__(self, base_url: str, api_key: str | None, timeout: float) -> None:
        """Remember the settings; connections are opened by the first call."""
        self._url, login = address(base_url)
        self._headers = {"Content-Type": "application/json", "User-Agent": f"tfgrpo/{__version__}"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        elif login:
            self._headers["Authorization"] = f"Basic {login}"
        self._connect = min(CONNECT_SECONDS, timeout)
        self._proxy: str | None = None
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, body: Mapping[str, Any]) -> Answer:
        """Send one chat-completions body."""
        import aiohttp  # noqa: PLC0415  (0.2 s)

        data = json.dumps(body).encode()
        try:
            async with self._open().post(self._url, data=data, headers=self._headers, proxy=self._proxy) as response:
                text = (await response.read()).decode("utf-8", "replace")
                return Answer(response.status, text, response.headers)
        except aiohttp.ClientError as error:
            if isinstance(error, TimeoutError):
                raise
            raise NotDelivered from error

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp  # noqa: PLC0415

        # Connections belong to the event loop that opened them.
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            # How many at once is the pace's business.
            connector = aiohttp.TCPConnector(limit=0)
            limits = aiohttp.ClientTimeout(total=None, sock_connect=self._connect)
            self._session = aiohttp.ClientSession(connector=connector, timeout=limits)
            self._loop = loop
            where = urlsplit(self._url)
            self._proxy = None if proxy_bypass(where.netloc) else getproxies().get(where.scheme)
        return self._session


def address(base_url: str) -> tuple[str, str]:
    """Return where chat completions are, and the login of the address as HTTP wants it; '' when it has none.

    A query stays behind the path, as vendors with an `api-version` in it expect.
    """
    parts = urlsplit(base_url)
    user, sign, host = parts.netloc.rpartition("@")
    where = parts._replace(netloc=host, path=f"{parts.path.rstrip('/')}/chat/completions", fragment="")
    return where.geturl(), base64.b64encode(unquote(user).encode()).decode() if sign else ""


class SDK:
    """A transport by the openai client, for those who need what it reads from the environment."""

    def __init__(self, base_url: str, api_key: str | None, timeout: float) -> None:
        """Remember the settings; the client is imported by the first call."""
        self._base_url = base_url
        self._api_key = api_key or "none"
        self._timeout = timeout
        self._client: openai.AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, body: Mapping[str, Any]) -> Answer:
        """Send one chat-completions body."""
        import openai  # noqa: PLC0415  (0.5 s)

        try:
            create = self._open().chat.completions.with_raw_response.create
            raw = await create(model=body["model"], messages=body["messages"], extra_body=dict(body))
        except openai.APITimeoutError as error:
            raise TimeoutError from error
        except openai.APIConnectionError as error:
            raise NotDelivered from error
        except openai.APIStatusError as error:
            return Answer(error.response.status_code, error.response.text, error.response.headers)
        return Answer(200, raw.text, raw.headers)

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _open(self) -> openai.AsyncOpenAI:
        import openai  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            timeout = openai.Timeout(self._timeout, connect=min(CONNECT_SECONDS, self._timeout))
            self._client = openai.AsyncOpenAI(
                base_url=self._base_url, api_key=self._api_key, max_retries=0, timeout=timeout
            )
            self._loop = loop
        return self._client


TRANSPORTS: Mapping[str, type[Thin] | type[SDK]] = {"aiohttp": Thin, "sdk": SDK}
