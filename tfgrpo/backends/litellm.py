"""Every provider that litellm knows, by its `provider/model` names.

litellm takes seconds to import and, unless told otherwise, fetches a price map while it does, so it is imported inside
one function. Its own retries are off: `num_retries` would retry even a 400, and multiply ours.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from tfgrpo.backends.capabilities import Dialect
from tfgrpo.backends.faults import Where, connection_error, from_status, retry_after
from tfgrpo.backends.negotiation import negotiated, renegotiated
from tfgrpo.backends.pricing import Price, known_price
from tfgrpo.backends.retry_policy import Transient, Unreachable
from tfgrpo.backends.wire import MOST_CHARACTERS, Reading, body_of, reply_of
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.system.redact import secret_of, url_secrets
from tfgrpo.types import FailureKind, Reply, Request

NO_KEY = re.compile(
    r"missing credentials|(no|missing|invalid)[^.]{0,20} api.?key|api.?key[^.]{0,40}(not set|not found|must be set)",
    re.IGNORECASE,
)
"""What clients say before anything is sent; litellm passes it on as if a server had failed."""


class LiteLLM:
    """A backend for whatever provider the model's name begins with."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        model: str | None = None,
        price: Price | None = None,
        timeout: float = 600.0,
        extra_body: Mapping[str, Any] | None = None,
        most_characters: int = MOST_CHARACTERS,
    ) -> None:
        """Remember the settings; litellm is not imported before the first call.

        Args:
            base_url: None is the provider's own.
            api_key: None leaves it to litellm, which reads each provider's usual variable.
            model: the `provider/model` to ask; None asks `Request.model`.
            price: None takes the list price, unless there is a `base_url`: a name says nothing about a local server.
            timeout: seconds for one request, from start to the last byte.
            extra_body: vendor fields, added to every body.
            most_characters: of one reply.
        """
        self.dialects: dict[str, Dialect] = defaultdict(Dialect)
        """What each model turned out to accept."""
        self._base_url = base_url
        self._api_key = api_key
        self._model = model
        self._set_price = price
        self._timeout = timeout
        self._extra = dict(extra_body or {})
        self._most_characters = most_characters
        self._has_answered = False

    def __repr__(self) -> str:
        return f"LiteLLM({self._base_url or 'each provider'})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nothing that is kept or shown may hold."""
        return (*secret_of(self._api_key), *url_secrets(self._base_url))

    def price(self, model: str) -> Price | None:
        """Return what replies of `model` are charged at, or None when that is unknown."""
        return self._set_price or (None if self._base_url else known_price(model))

    async def complete(self, request: Request) -> Reply:
        """Send one request and return its reply.

        Raises:
            Transient: a failure that may pass by itself.
            ProviderError: the provider refuses this request.
            EndpointError: key, model or provider is wrong, or nothing listens.
        """
        return await negotiated(request, self.dialects[request.model], self._ask)

    async def aclose(self) -> None:
        """Close the connections, which litellm shares between all of its users in this process."""
        litellm = _litellm()
        await litellm.close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()  # else it hands out the closed ones

    async def _ask(self, request: Request, dialect: Dialect) -> Reply:
        model = self._model or request.model
        where = Where(self._base_url or "litellm", model, self.secrets)
        payload = await self._post(where, body_of(request, dialect), dialect)
        stops = request.sampling.stop if "stop" in dialect.dropped else ()
        reply = reply_of(payload, request, where, Reading(self.price(model), self._most_characters, stops))
        self._has_answered = True
        return reply

    async def _post(self, where: Where, body: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
        litellm = _litellm()
        import openai  # noqa: PLC0415  (litellm's errors are subclasses of its errors)

        place = {"api_base": self._base_url, "api_key": self._api_key}
        given: dict[str, Any] = {name: value for name, value in place.items() if value is not None}
        if self._extra:
            given["extra_body"] = self._extra
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._send(litellm, model=where.model, **body, **given)
            # Older releases of litellm fill their own types with others, and pydantic would say so each time.
            payload: dict[str, Any] = response.model_dump(warnings=False)
        except (TimeoutError, openai.APITimeoutError):
            said = f"{where} ran out of time (the limit is {self._timeout:g} seconds)"
            raise Transient(said, FailureKind.TIMEOUT) from None
        except openai.OpenAIError as error:
            raise self._error(where, error, body, dialect) from None
        return payload

    async def _send(self, litellm: ModuleType, **given: Any) -> Any:
        """Send one request, once."""
        return await litellm.acompletion(**given, timeout=self._timeout, num_retries=0, max_retries=0)

    def _error(self, where: Where, error: Exception, body: dict[str, Any], dialect: Dialect) -> ProviderError:
        status, said = int(getattr(error, "status_code", None) or 500), str(error)
        if "LLM Provider NOT provided" in said:
            return EndpointError(f"litellm knows no provider for the model {where.model!r}; write provider/model")
        if NO_KEY.search(said):
            return EndpointError(f"no key for {where.model}: set the variable of its provider, such as OPENAI_API_KEY")
        if again := renegotiated(where, status, said, body, dialect):
            return again
        if isinstance(found := connection_error(where, error), EndpointError):
            return found
        headers = getattr(error, "litellm_response_headers", None) or {}
        failed = from_status(where, status, said, retry_after(headers))
        if isinstance(failed, EndpointError) and self._has_answered and status in {401, 403, 404}:
            return Unreachable(str(failed), failed.failure.kind, status=status)
        return failed


def _litellm() -> ModuleType:
    # The one place where setting this variable is right: litellm reads it while it is imported, and there is no other
    # way to keep it from fetching the price map from the network.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm  # noqa: PLC0415  (2.5 s)

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.disable_aiohttp_transport = True
    module: ModuleType = litellm
    return module
