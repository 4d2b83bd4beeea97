"""Every provider that litellm knows, by its `provider/model` names.

litellm takes seconds to import and, unless told otherwise, fetches a price map while it does, so it is imported inside
one function. Its own retries are off: `num_retries` would retry even a 400, and multiply ours.
"""

from __future__ import annotations

import asyncio
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from tfgrpo.backends.capabilities import Dialect
from tfgrpo.backends.faults import Where, connection_error, from_status, retry_after
from tfgrpo.backends.http import MOST_BYTES
from tfgrpo.backends.httpx_limits import body_limit, too_large
from tfgrpo.backends.negotiation import negotiated, renegotiated
from tfgrpo.backends.pricing import Price, known_price
from tfgrpo.backends.retry_policy import Transient, Unreachable
from tfgrpo.backends.wire import MOST_CHARACTERS, Reading, body_of, reply_of
from tfgrpo.errors import EndpointError, ProviderError, UnusableModel
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
        most_bytes: int = MOST_BYTES,
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
            most_bytes: of a body, as sent and unpacked; providers that litellm asks by a client of its own are not held
                to it.
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
        self._most_bytes = most_bytes
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
            EndpointError: key or model is wrong, or nothing listens; UnusableModel without a key or a provider.
        """
        return await negotiated(request, self.dialects[request.model], self._ask)

    async def aclose(self) -> None:
        """Close the connections, which litellm shares between all of its users in this process."""
        litellm = _litellm()
        await litellm.close_litellm_async_clients()
        await _close_session(litellm)
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
        await _bound(litellm, self._most_bytes)
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
            if large := too_large(error):
                raise ProviderError(f"{where} answered with {large}", FailureKind.TRUNCATED, status=200) from None
            raise self._error(where, error, body, dialect) from None
        return payload

    async def _send(self, litellm: ModuleType, **given: Any) -> Any:
        """Send one request, once."""
        return await litellm.acompletion(**given, timeout=self._timeout, num_retries=0, max_retries=0)

    def _error(self, where: Where, error: Exception, body: dict[str, Any], dialect: Dialect) -> ProviderError:
        # What litellm adds is about settings of its own, which nobody has here.
        status, said = int(getattr(error, "status_code", None) or 500), str(error).partition(" To drop these, set ")[0]
        if "LLM Provider NOT provided" in said:
            return _no_provider(where.model)
        wanted = "" if self._api_key else missing_variables(where.model)
        if NO_KEY.search(said) or (wanted and not self._has_answered and status in {401, 403}):
            return UnusableModel(f"no key for {where.model}: export {wanted or 'the variable of its provider'}")
        if again := renegotiated(where, status, said, body, dialect):
            return again
        if isinstance(found := connection_error(where, error), EndpointError):
            return EndpointError(f"{found}; {wanted} is not set either") if wanted and not self._base_url else found
        headers = getattr(error, "litellm_response_headers", None) or {}
        failed = from_status(where, status, said, retry_after(headers))
        if isinstance(failed, EndpointError) and self._has_answered and status in {401, 403, 404}:
            return Unreachable(str(failed), failed.failure.kind, status=status)
        return failed


def require_provider(model: str) -> None:
    """Refuse a name that litellm can send nowhere; asks nobody.

    Raises:
        UnusableModel: it begins with no provider, and no provider is known to serve it.
    """
    litellm = _litellm()
    known = {str(getattr(found, "value", found)) for found in litellm.provider_list}
    # Some providers sign in when they are looked up, so one that is named is not.
    if model.partition("/")[0] in known and "/" in model:
        return
    import openai  # noqa: PLC0415  (litellm's errors are subclasses of its errors)

    try:
        litellm.get_llm_provider(model)
    except openai.OpenAIError:
        raise _no_provider(model) from None


def _no_provider(model: str) -> UnusableModel:
    return UnusableModel(
        f"no model is called {model!r} here, and litellm knows no provider for it; write provider/model, such as "
        f"openai/{model.rpartition('/')[2]}, name an endpoint of your own with --base-url, or take one of "
        "`tfgrpo models list`"
    )


def missing_variables(model: str) -> str:
    """Return the variables that hold a provider's key and are not set, as `A or B`; '' where litellm knows none."""
    missing = _litellm().validate_environment(model).get("missing_keys") or ()
    return " or ".join(name for name in missing if name.endswith("_KEY"))


_SESSIONS: dict[str, Any] = {}
"""Our session of the clients that litellm shares, and the event loop that it belongs to."""


async def _bound(litellm: Any, most: int) -> None:
    """Hold the session of litellm's OpenAI-like clients to a limit on bodies; one that somebody set is left alone."""
    loop, mine = asyncio.get_running_loop(), _SESSIONS.get("session")
    if litellm.aclient_session is not mine or (mine is not None and _SESSIONS["loop"] is loop):
        return
    from litellm.llms.openai.common_utils import BaseOpenAILLM  # noqa: PLC0415

    litellm.aclient_session = None
    # Its own, with the proxies and certificates that it was told of.
    session: Any = BaseOpenAILLM._get_async_http_client()
    session.event_hooks = {"response": [body_limit(most)]}
    litellm.aclient_session = session
    _SESSIONS.update(session=session, loop=loop)


async def _close_session(litellm: Any) -> None:
    mine = _SESSIONS.pop("session", None)
    if mine is not None and litellm.aclient_session is mine:
        litellm.aclient_session = None
        await mine.aclose()


def _litellm() -> ModuleType:
    # The one place where setting this variable is right: litellm reads it while it is imported, and there is no other
    # way to keep it from fetching the price map from the network.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm  # noqa: PLC0415  (2.5 s)

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.disable_aiohttp_transport = True
    # It makes a call before it looks for the key, and drops it without a word to us but this one to the user.
    warnings.filterwarnings("ignore", r"coroutine 'OpenAI\w+\.acompletion' was never awaited", RuntimeWarning)
    module: ModuleType = litellm
    return module
