"""Scoring over HTTP, as vLLM and `tfgrpo models serve` offer it: token ids in, `prompt_logprobs` out.

The prompt is tokenized by the server itself (`/tokenize` with its chat template) and the rollout's own ids are put
behind it, because tokenizing the joined text again could merge tokens across the boundary. Where `prompt_logprobs` is
unknown, `echo` with `logprobs` is tried; whichever works is used for everything from then on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfgrpo.backends.faults import Where, disconnected, from_status, retry_after
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.retry import Transient
from tfgrpo.backends.score import forced_ids
from tfgrpo.backends.wire import usage_of
from tfgrpo.errors import EndpointError
from tfgrpo.types import FailureKind, Reply, Request

if TYPE_CHECKING:
    import httpx

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
        self._base_url = base_url.rstrip("/")
        self._secrets = (api_key,) if api_key else ()
        self._price, self._timeout = price, timeout
        self._route: str | None = None
        self._prompts: dict[str, tuple[int, ...]] = {}
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

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
            values = logprobs_of(payload, route, (*prompt, *ids))
            if values is not None:
                self._route = route
                usage, own = usage_of(payload.get("usage"), self._price), slice(len(prompt), len(prompt) + len(ids))
                texts = texts_of(payload, route, (*prompt, *ids))
                return Reply(
                    "", usage=usage, logprobs=tuple(values[own]), token_texts=None if texts is None else texts[own]
                )
        raise EndpointError(f"{where} gives neither prompt_logprobs nor echoed logprobs: it cannot score given tokens")

    async def aclose(self) -> None:
        """Close the connections of the present event loop."""
        if self._client is not None and self._loop is asyncio.get_running_loop():
            await self._client.aclose()
        self._client = None

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
            self._prompts[key] = tuple(found["tokens"])
        return self._prompts[key]

    async def _post(self, where: Where, url: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        import httpx  # noqa: PLC0415

        try:
            answer = await self._open().post(url, json=body)
        except httpx.TimeoutException:
            said = f"{where} did not answer within {self._timeout:g} seconds"
            raise Transient(said, FailureKind.TIMEOUT) from None
        except httpx.TransportError as error:
            raise disconnected(where, error) from None
        if answer.status_code != 200:
            raise from_status(where, answer.status_code, answer.text, retry_after(answer.headers))
        try:
            found = answer.json()
        except ValueError:
            raise Transient(f"{where} answered with something that is not JSON: {where.quote(answer.text)}") from None
        if not isinstance(found, Mapping):
            raise Transient(f"{where} answered with JSON that is not an object")
        return found

    def _open(self) -> httpx.AsyncClient:
        import httpx  # noqa: PLC0415

        # Connections belong to the event loop that opened them.
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            headers = {"Authorization": f"Bearer {self._secrets[0]}"} if self._secrets else {}
            self._client = httpx.AsyncClient(headers=headers, timeout=self._timeout)
            self._loop = loop
        return self._client


def logprobs_of(payload: Mapping[str, Any], route: str, ids: Sequence[int]) -> list[float | None] | None:
    """Return one log-prob per prompt token, None for a single missing one; None altogether where there are no such."""
    choices = payload.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    if route == "prompt_logprobs":
        rows = choice.get("prompt_logprobs") or payload.get("prompt_logprobs")
        if not isinstance(rows, list) or len(rows) != len(ids):
            return None
        return [_number((row or {}).get(str(token), {}).get("logprob")) for row, token in zip(rows, ids, strict=True)]
    rows = (choice.get("logprobs") or {}).get("token_logprobs")
    if not isinstance(rows, list) or len(rows) < len(ids):
        return None
    return [_number(value) for value in rows[: len(ids)]]


def texts_of(payload: Mapping[str, Any], route: str, ids: Sequence[int]) -> tuple[str, ...] | None:
    """Return what each prompt token spells, '' for the first, which has no entry; None where nobody says."""
    choice = payload["choices"][0]
    if route == "prompt_logprobs":
        rows = choice.get("prompt_logprobs") or payload.get("prompt_logprobs") or ()
        texts = [(row or {}).get(str(token), {}).get("decoded_token") for row, token in zip(rows, ids, strict=True)]
        texts[:1] = [texts[0] or ""]
    else:
        texts = list((choice.get("logprobs") or {}).get("tokens") or ())[: len(ids)]
    return tuple(texts) if len(texts) == len(ids) and all(isinstance(text, str) for text in texts) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
