"""Any OpenAI-compatible URL: hosted models, vLLM, llama.cpp, our own `tfgrpo models serve`.

One `complete` sends one HTTP request: retries, limits and the journal are wrappers around this (see `stacked`), so
that each of them sees every request that goes out.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from tfgrpo.backends.capabilities import Dialect
from tfgrpo.backends.faults import Where, detail_of, disconnected, from_status, retry_after
from tfgrpo.backends.negotiation import negotiated, renegotiated
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.retry import Transient, Unreachable
from tfgrpo.backends.transports import TRANSPORTS, NotDelivered, Transport
from tfgrpo.backends.wire import body_of, reply_of
from tfgrpo.errors import EndpointError, ProviderError, UsageError
from tfgrpo.system.redact import spoken, url_secrets
from tfgrpo.types import FailureKind, Reply, Request

OPENAI_URL = "https://api.openai.com/v1"


class OpenAI:
    """A backend for one OpenAI-compatible endpoint."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        model: str | None = None,
        price: Price | None = None,
        timeout: float = 600.0,
        extra_body: Mapping[str, Any] | None = None,
        token_ids: bool = False,
        transport: Literal["aiohttp", "sdk"] = "aiohttp",
    ) -> None:
        """Remember the settings; nothing is opened before the first call.

        Args:
            base_url: where the API begins, mostly ending in `/v1`; None is OpenAI itself.
            api_key: None for endpoints that want none.
            model: the name to send; None sends `Request.model` as it is.
            price: None leaves money unknown, unless the endpoint itself reports it.
            timeout: seconds for one request, from start to the last byte.
            extra_body: vendor fields, added to every body.
            token_ids: ask for the ids of the generated tokens (vLLM's `return_token_ids`).
            transport: `aiohttp`, or `sdk` for the openai client (2.x and 3.x), which takes far more CPU time per call.

        Raises:
            UsageError: `base_url` is not an http URL.
        """
        self.base_url = base_url or OPENAI_URL
        if not self.base_url.startswith(("http://", "https://")):
            raise UsageError(f"the base URL {spoken(self.base_url)!r} must begin with http:// or https://")
        try:
            urlsplit(self.base_url)
        except ValueError as error:
            raise UsageError(f"the base URL {spoken(self.base_url)!r} cannot be read: {error}") from error
        self.price_known = price is not None
        """Whether replies carry a price; a money budget needs one."""
        self.dialects: dict[str, Dialect] = defaultdict(Dialect)
        """What each model turned out to accept."""
        # A key from a file often ends in a line break, which no header may hold.
        self._api_key = api_key.strip() if api_key else None
        self._model = model
        self._price = price
        self._timeout = timeout
        self._extra = {**({"return_token_ids": True} if token_ids else {}), **(extra_body or {})}
        self._transport: Transport = TRANSPORTS[transport](self.base_url, self._api_key, timeout)
        self._has_answered = False

    def __repr__(self) -> str:
        return f"OpenAI({Where(self.base_url, self._model or 'any')})"

    async def complete(self, request: Request) -> Reply:
        """Send one request and return its reply.

        Raises:
            Transient: a failure that may pass by itself.
            ProviderError: the endpoint refuses this request.
            EndpointError: the key or the model is wrong, or nothing listens.
        """
        return await negotiated(request, self.dialects[request.model], self._ask)

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._transport.aclose()

    async def _ask(self, request: Request, dialect: Dialect) -> Reply:
        where = self._where(request)
        extra = {name: value for name, value in self._extra.items() if name not in dialect.dropped}
        body = body_of(request, dialect) | extra
        text = await self._post(where, body, dialect)
        try:
            payload = json.loads(text)
        except ValueError:
            said = f"{where} answered with something that is not JSON: {where.quote(text[:200])}"
            raise Transient(said, status=200) from None
        self._has_answered = True
        return reply_of(payload, request, where, self._price)

    async def _post(self, where: Where, body: dict[str, Any], dialect: Dialect) -> str:
        # The transports' own timeouts start anew with every byte, so a trickle would never end.
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._transport.post({"model": where.model, **body})
        except TimeoutError:
            said = f"{where} did not answer within {self._timeout:g} seconds"
            raise Transient(said, FailureKind.TIMEOUT) from None
        except NotDelivered as error:
            raise self._disconnected(where, error.__cause__ or error) from None
        if answer.status >= 400:
            pause = retry_after(answer.headers)
            raise self._refused(where, answer.status, answer.text, pause, body, dialect)
        return answer.text

    def _refused(
        self, where: Where, status: int, text: str, pause: float | None, body: dict[str, Any], dialect: Dialect
    ) -> ProviderError:
        self._has_answered = True
        again = renegotiated(where, status, detail_of(text), body, dialect)
        return again or from_status(where, status, text, pause)

    def _disconnected(self, where: Where, error: BaseException) -> ProviderError:
        found = disconnected(where, error)
        return Unreachable(str(found)) if isinstance(found, EndpointError) and self._has_answered else found

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nothing that is kept or shown may hold."""
        return (*((self._api_key,) if self._api_key else ()), *url_secrets(self.base_url))

    def _where(self, request: Request) -> Where:
        return Where(self.base_url, self._model or request.model, self.secrets)
