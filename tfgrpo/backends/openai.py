"""Any OpenAI-compatible URL: hosted models, vLLM, llama.cpp, our own `tfgrpo models serve`.

One `complete` sends one HTTP request: retries, limits and the journal are wrappers around this (see `with_wrappers`),
so that each of them sees every request that goes out.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from tfgrpo.backends.adaptive_timeout import AdaptiveTimeout
from tfgrpo.backends.capabilities import Dialect
from tfgrpo.backends.counting import of_broken
from tfgrpo.backends.engine_state import EngineDoor, EngineState
from tfgrpo.backends.faults import Where, connection_error, from_status, redirect_error, retry_after
from tfgrpo.backends.http import MOST_BYTES, NotDelivered, TooLarge
from tfgrpo.backends.n_choices import ChoicesRequest
from tfgrpo.backends.n_choices_usage import Tokenizer, recount_usage
from tfgrpo.backends.negotiation import negotiated, renegotiated
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.retry_policy import Transient, Unreachable
from tfgrpo.backends.streamed_body import is_stream, joined_events
from tfgrpo.backends.transports import TRANSPORTS, Transport
from tfgrpo.backends.window import context_window
from tfgrpo.backends.wire import MOST_CHARACTERS, Reading, body_of, reply_of
from tfgrpo.backends.wire_probe import Wire
from tfgrpo.errors import EndpointError, ProviderError, UsageError
from tfgrpo.system.redact import secret_of, url_secrets, without_secrets
from tfgrpo.system.untrusted_json import Unreadable, loads
from tfgrpo.types import FailureKind, Reply, Request

OPENAI_URL = "https://api.openai.com/v1"
MAY_PASS = {401, 403, 404}
"""Refusals of the key or the model that count as a fault of the moment where other calls were answered."""

TAKES_NO_CALLS = {405, 501}
"""What something that is no model's endpoint answers to a call."""
_NO_API = "nothing there takes model calls; check that the base URL ends where the API begins (mostly /v1)"


class OpenAI:
    """A backend for one OpenAI-compatible endpoint."""

    def __init__(  # noqa: PLR0913  (one for each setting of an endpoint)
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
        patience: float = 0.0,
        most_bytes: int = MOST_BYTES,
        most_characters: int = MOST_CHARACTERS,
    ) -> None:
        """Remember the settings; nothing is opened before the first call.

        Args:
            base_url: where the API begins, mostly ending in `/v1`; None is OpenAI itself.
            api_key: None for endpoints that want none.
            model: the name to send; None sends `Request.model` as it is.
            price: None leaves money unknown, unless the endpoint itself reports it.
            timeout: seconds for one request, from start to the last byte, at most.
            extra_body: vendor fields, added to every body.
            token_ids: ask for the ids of the generated tokens (vLLM's `return_token_ids`).
            transport: `aiohttp`, or `sdk` for the openai client (2.x and 3.x), which takes far more CPU time per call.
            patience: so many times the slowest answer so far is waited for, at least 30 s; 0 waits `timeout` always.
            most_bytes: of a body, as sent and unpacked.
            most_characters: of one reply.

        Raises:
            UsageError: `base_url` is not an http URL, or the key can stand in no header.
        """
        self.base_url = base_url or OPENAI_URL
        if not self.base_url.startswith(("http://", "https://")):
            raise UsageError(f"the base URL {without_secrets(self.base_url)!r} must begin with http:// or https://")
        try:
            urlsplit(self.base_url)
        except ValueError as error:
            raise UsageError(f"the base URL {without_secrets(self.base_url)!r} cannot be read: {error}") from error
        self.price_known = price is not None
        """Whether replies carry a price; a money budget needs one."""
        self.dialects: dict[str, Dialect] = defaultdict(Dialect)
        """What each model turned out to accept."""
        self._api_key = _sendable(api_key)
        self._model = model
        self._price = price
        self._timeout = timeout
        self._extra = {**({"return_token_ids": True} if token_ids else {}), **(extra_body or {})}
        self._transport: Transport = TRANSPORTS[transport](self.base_url, self._api_key, timeout, most_bytes)
        self._patience = AdaptiveTimeout(timeout, patience)
        self._most_characters = most_characters
        self._tokenizer = Tokenizer(self.base_url, self._api_key)
        self._door: EngineDoor | None = None
        self._is_there = False
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

    async def window(self, model: str) -> int | None:
        """Return how many tokens of prompt and reply one call may have; None where the endpoint does not say."""
        return await context_window(self.base_url, self._api_key, self._model or model)

    def wire(self, model: str) -> Wire:
        """Return what asks the endpoint on the wire, row by row; who takes it closes it."""
        return Wire(self.base_url, self._api_key, self._model or model)

    async def engine_state(self) -> EngineState:
        """Return what the engine says of itself; see `engine_state`."""
        if self._door is None:
            self._door = EngineDoor(self.base_url, self._api_key)
        return await self._door.state()

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._transport.aclose()
        await self._tokenizer.aclose()
        if self._door is not None:
            await self._door.aclose()

    async def _ask(self, request: Request, dialect: Dialect) -> Reply:
        where = self._where(request)
        extra = {name: value for name, value in self._extra.items() if name not in dialect.dropped}
        body = body_of(request, dialect) | extra
        text = await self._post(where, body, request, dialect)
        try:
            payload = joined_events(text) if is_stream(text) else loads(text, forgiving=True)
        except Unreadable as error:
            said = f"{where} answered with {error}: {where.quote(text[:200])}"
            raise Transient(said, status=200, usage=of_broken(text, request, self._price)) from None
        stops = request.sampling.stop if "stop" in dialect.dropped else ()
        reply = reply_of(payload, request, where, Reading(self._price, self._most_characters, stops))
        self._has_answered = True
        return await recount_usage(reply, where.model, dialect, self._tokenizer, self._price)

    async def _post(self, where: Where, body: dict[str, Any], request: Request, dialect: Dialect) -> str:
        # The transports' own timeouts start anew with every byte, so a trickle would never end.
        limit = self._patience.limit(request)
        try:
            with self._patience.waiting(request):
                async with asyncio.timeout(limit):
                    answer = await self._transport.post({"model": where.model, **body})
        except TimeoutError:
            said = f"{where} did not answer within {limit:g} seconds"
            raise Transient(said, FailureKind.TIMEOUT) from None
        except TooLarge as error:
            raise ProviderError(f"{where} answered with {error}", FailureKind.TRUNCATED, status=200) from None
        except NotDelivered as error:
            raise self._disconnected(where, error) from None
        self._is_there = True
        if answer.status >= 400:
            pause = retry_after(answer.headers)
            raise self._refused(where, answer.status, answer.text, pause, body, request, dialect)
        if answer.status >= 300:
            raise redirect_error(where, answer.status, answer.headers.get("location", ""))
        return answer.text

    def _refused(
        self,
        where: Where,
        status: int,
        text: str,
        pause: float | None,
        body: dict[str, Any],
        request: Request,
        dialect: Dialect,
    ) -> ProviderError:
        if again := renegotiated(where, status, text, body, dialect):
            return again
        found = from_status(where, status, text, pause)
        if isinstance(found, EndpointError) and status in MAY_PASS:
            # Where so many choices were never given, they may be what is not found there.
            new = isinstance(request, ChoicesRequest) and (request.tries is not None or not self._has_answered)
            if new and status == 404:
                return ProviderError(str(found), found.failure.kind, status=status)
            if self._has_answered:
                return Unreachable(str(found), found.failure.kind, status=status)
        if status in TAKES_NO_CALLS and not self._has_answered and not isinstance(request, ChoicesRequest):
            return EndpointError(f"{found}; {_NO_API}", found.failure.kind, status=status)
        return found

    def _disconnected(self, where: Where, error: NotDelivered) -> ProviderError:
        found = connection_error(where, error.__cause__ or error, error.through)
        return Unreachable(str(found)) if isinstance(found, EndpointError) and self._is_there else found

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nothing that is kept or shown may hold."""
        return (*secret_of(self._api_key), *url_secrets(self.base_url))

    def _where(self, request: Request) -> Where:
        return Where(self.base_url, self._model or request.model, self.secrets)


def _sendable(key: str | None) -> str | None:
    """Return a key as a header can carry it; raises UsageError where none can.

    A key from a file often ends in a line break, which is taken off.
    """
    stripped = key.strip() if key else None
    if stripped and not stripped.isprintable():
        raise UsageError(
            "the API key holds a line break or another control character, which no request can carry; set the "
            "variable that holds it (OPENAI_API_KEY, or the one that `key` names) again, to one line"
        )
    return stripped
