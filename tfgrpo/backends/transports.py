"""How one HTTP request reaches an OpenAI-compatible endpoint: by aiohttp alone, or by the openai SDK.

aiohttp is the default. With 128 calls in flight it needs a tenth of the SDK's CPU time or less, because the pool under
the SDK looks through all of its connections for every request (`tests/benchmarks/engine.py --transports` measures it).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from tfgrpo.backends.http import CONNECT_SECONDS, MOST_BYTES, Answer, Http, NotDelivered
from tfgrpo.backends.httpx_limits import body_limit, too_large

if TYPE_CHECKING:
    import openai


class Transport(Protocol):
    """Sends bodies to one endpoint."""

    async def post(self, body: Mapping[str, Any]) -> Answer:
        """Send one chat-completions body.

        Raises:
            NotDelivered: the connection failed.
            TooLarge: the body is longer than the limit.
            TimeoutError: the endpoint took too long.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        ...


class AiohttpTransport:
    """A transport by aiohttp, without anything between."""

    def __init__(self, base_url: str, api_key: str | None, timeout: float, most: int = MOST_BYTES) -> None:
        """Remember the settings; connections are opened by the first call."""
        self._url, _ = completions_url(base_url)
        _, self._headers = addressed(base_url, api_key)
        self._http = Http(min(CONNECT_SECONDS, timeout), most)

    async def post(self, body: Mapping[str, Any]) -> Answer:
        """Send one chat-completions body."""
        return await self._http.send("POST", self._url, json.dumps(body).encode(), self._headers)

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._http.aclose()


def completions_url(base_url: str) -> tuple[str, str]:
    """Return where chat completions are, and the login of the address as HTTP wants it; '' when it has none.

    A query stays behind the path, as vendors with an `api-version` in it expect.
    """
    bare, login = login_of(base_url)
    parts = urlsplit(bare)
    return parts._replace(path=f"{parts.path.rstrip('/')}/chat/completions", fragment="").geturl(), login


def login_of(url: str) -> tuple[str, str]:
    """Return an address without its login, and the login as HTTP wants it; '' when it has none."""
    parts = urlsplit(url)
    user, sign, host = parts.netloc.rpartition("@")
    login = base64.b64encode(unquote(user).encode()).decode() if sign else ""
    return parts._replace(netloc=host).geturl(), login


def addressed(url: str, api_key: str | None) -> tuple[str, dict[str, str]]:
    """Return an address without its login, and the headers with which JSON is sent there: a key comes first."""
    bare, login = login_of(url)
    headers = {"Content-Type": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    elif login:
        headers["Authorization"] = f"Basic {login}"
    return bare, headers


class OpenAISDKTransport:
    """A transport by the openai client, for those who need what it reads from the environment."""

    def __init__(self, base_url: str, api_key: str | None, timeout: float, most: int = MOST_BYTES) -> None:
        """Remember the settings; the client is imported by the first call."""
        self._most = most
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
            raise too_large(error) or NotDelivered from error
        except openai.APIStatusError as error:
            return Answer(error.response.status_code, error.response.text, error.response.headers)
        except (ValueError, ExceptionGroup) as error:
            # What the client trips over in an answer: broken compression, a redirect to no address.
            raise NotDelivered from error
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
            bounded = openai.DefaultAsyncHttpxClient(event_hooks={"response": [body_limit(self._most)]})
            self._client = openai.AsyncOpenAI(
                base_url=self._base_url, api_key=self._api_key, max_retries=0, timeout=timeout, http_client=bounded
            )
            self._loop = loop
        return self._client


TRANSPORTS: Mapping[str, type[AiohttpTransport] | type[OpenAISDKTransport]] = {
    "aiohttp": AiohttpTransport,
    "sdk": OpenAISDKTransport,
}
