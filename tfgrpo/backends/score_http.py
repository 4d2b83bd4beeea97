"""Scoring over HTTP, as vLLM and `tfgrpo models serve` offer it: token ids in, `prompt_logprobs` out.

The prompt is tokenized by the server itself (`/tokenize` with its chat template) and the rollout's own ids are put
behind it, because tokenizing the joined text again could merge tokens across the boundary. Where `prompt_logprobs` is
unknown, `echo` with `logprobs` is tried; whichever works is used for everything from then on.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tfgrpo.backends.counting import usage_of
from tfgrpo.backends.faults import Where, connection_error, from_status, retry_after
from tfgrpo.backends.http import CONNECT_SECONDS, Http, NotDelivered, TooLarge
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.retry_policy import Transient
from tfgrpo.backends.score import forced_ids
from tfgrpo.backends.transports import addressed
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.system.redact import url_secrets
from tfgrpo.system.untrusted_json import CompletionIn, ScoredIn, Unreadable, loads, read_model
from tfgrpo.types import FailureKind, Reply, Request

ROUTES: Mapping[str, Mapping[str, Any]] = {
    "prompt_logprobs": {"prompt_logprobs": 0, "max_tokens": 1, "temperature": 0.0},
    "echo": {"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0.0},
}
"""Ways to ask, best first; the one generated token is ignored, since some servers insist on it."""
MOST_PROMPTS = 4096


class HttpScores:
    """Scoring calls to one OpenAI-compatible endpoint."""

    def __init__(
        self, base_url: str, api_key: str | None = None, *, price: Price | None = None, timeout: float = 600.0
    ) -> None:
        self._base_url, self._headers = addressed(base_url.rstrip("/"), api_key)
        self._secrets = (*((api_key,) if api_key else ()), *url_secrets(base_url))
        self._price, self._timeout = price, timeout
        self._route: str | None = None
        self._prompts: dict[str, tuple[int, ...]] = {}
        self._http = Http(min(CONNECT_SECONDS, timeout))

    async def complete(self, request: Request) -> Reply:
        """Answer one scoring call.

        Raises:
            EndpointError: the endpoint offers no way to score.
            ProviderError: this call failed; a Transient one may pass.
        """
        where = Where(self._base_url, request.model, self._secrets)
        ids = forced_ids(request)
        prompt = await self._tokenized(where, request)
        for route in [self._route] if self._route else ROUTES:
            body = {"model": request.model, "prompt": [*prompt, *ids], **ROUTES[route]}
            payload = await self._post(where, f"{self._base_url}/completions", body)
            try:
                values = logprobs_of(payload, route, (*prompt, *ids))
            except Unreadable as error:
                raise Transient(f"{where} answered with scores that cannot be read ({error})") from None
            if values is not None:
                self._route = route
                counted = CompletionIn.of(payload).usage
                usage = usage_of(counted, self._price, request, ())
                own = slice(len(prompt), len(prompt) + len(ids))
                texts = texts_of(payload, route, (*prompt, *ids))
                return Reply(
                    "", usage=usage, logprobs=tuple(values[own]), token_texts=None if texts is None else texts[own]
                )
        raise EndpointError(f"{where} gives neither prompt_logprobs nor echoed logprobs: it cannot score given tokens")

    async def aclose(self) -> None:
        """Close the connections of the present event loop."""
        await self._http.aclose()

    async def _tokenized(self, where: Where, request: Request) -> tuple[int, ...]:
        """The ids of the chat prompt with the opening of the reply, as the server itself makes them."""
        named = {"tools": list(request.tools)} if request.tools else {}
        key = json.dumps([request.messages, named])
        if key not in self._prompts:
            messages = list(request.messages)
            body = {"model": where.model, "messages": messages, "add_generation_prompt": True, **named}
            found = await self._post(where, f"{self._base_url.removesuffix('/v1')}/tokenize", body)
            if not isinstance(found.get("tokens"), list):
                raise EndpointError(f"{where} has no /tokenize that returns tokens: it cannot score given tokens")
            if len(self._prompts) >= MOST_PROMPTS:
                self._prompts.clear()
            self._prompts[key] = _tokens(where, found["tokens"])
        return self._prompts[key]

    async def _post(self, where: Where, url: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._http.send("POST", url, json.dumps(body).encode(), self._headers)
        except TimeoutError:
            said = f"{where} did not answer within {self._timeout:g} seconds"
            raise Transient(said, FailureKind.TIMEOUT) from None
        except TooLarge as error:
            raise ProviderError(f"{where} answered with {error}", FailureKind.TRUNCATED) from None
        except NotDelivered as error:
            raise connection_error(where, error.__cause__ or error, error.through) from None
        if answer.status != 200:
            raise from_status(where, answer.status, answer.text, retry_after(answer.headers))
        try:
            found = loads(answer.text, forgiving=True)
        except Unreadable as error:
            raise Transient(f"{where} answered with {error}: {where.quote(answer.text[:200])}") from None
        if not isinstance(found, Mapping):
            raise Transient(f"{where} answered with JSON that is not an object")
        return found


def _tokens(where: Where, found: Sequence[Any]) -> tuple[int, ...]:
    if not all(type(token) is int and token >= 0 for token in found):
        raise Transient(f"{where} answered with tokens that are no numbers")
    return tuple(found)


def _scored(payload: Mapping[str, Any]) -> ScoredIn:
    """The first choice with its log-probs; some servers put them beside the choices.

    Raises:
        Unreadable: it is of another form.
    """
    choices = payload.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    if not isinstance(first, Mapping):
        raise Unreadable("a choice that is no object")
    rows = first.get("prompt_logprobs") or payload.get("prompt_logprobs")
    return read_model(ScoredIn, {**first, "prompt_logprobs": rows or None})


def logprobs_of(payload: Mapping[str, Any], route: str, ids: Sequence[int]) -> list[float | None] | None:
    """Return one log-prob per prompt token, None for a single missing one; None altogether where there are no such.

    Raises:
        Unreadable: what stands in their place is of another form.
    """
    scored = _scored(payload)
    if route == "prompt_logprobs":
        rows = scored.prompt_logprobs
        if rows is None or len(rows) != len(ids):
            return None
        return [_number(_entry(row, token).get("logprob")) for row, token in zip(rows, ids, strict=True)]
    rows = scored.logprobs.get("token_logprobs")
    if not isinstance(rows, list) or len(rows) < len(ids):
        return None
    return [_number(value) for value in rows[: len(ids)]]


def texts_of(payload: Mapping[str, Any], route: str, ids: Sequence[int]) -> tuple[str, ...] | None:
    """Return what each prompt token spells, '' for the first, which has no entry; None where nobody says.

    Raises:
        Unreadable: as above.
    """
    scored = _scored(payload)
    if route == "prompt_logprobs":
        rows = scored.prompt_logprobs or ()
        texts = [_entry(row, token).get("decoded_token") for row, token in zip(rows, ids, strict=True)]
        texts[:1] = [texts[0] or ""]
    else:
        tokens = scored.logprobs.get("tokens")
        texts = list(tokens if isinstance(tokens, list) else ())[: len(ids)]
    spelled = tuple(text for text in texts if isinstance(text, str))
    return spelled if len(spelled) == len(ids) else None


def _entry(row: Any, token: int) -> Mapping[str, Any]:
    """What a row of log-probs says of one token; nothing where it is of another form."""
    entry = row.get(str(token)) if isinstance(row, Mapping) else None
    return entry if isinstance(entry, Mapping) else {}


def _number(value: Any) -> float | None:
    """A log-prob: finite and a number, or unknown."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
