"""What one OpenAI-compatible URL does, asked on the wire: each row is a request of its own, and what came of it.

The requests are sent as they stand, without retries and without what was learned of the endpoint, so that a refusal is
an answer. A row is None where nothing can be said.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from tfgrpo.backends.http import Answer, Http, NotDelivered, TooLarge
from tfgrpo.backends.transports import addressed
from tfgrpo.system.untrusted_json import Unreadable, loads

SECONDS = 120.0
"""Longest wait for one answer; a model that thinks needs a while."""
ASK = "Name a colour."
WORD = "zqx"
SCHEMA = {
    "type": "object",
    "properties": {WORD: {"type": "integer"}},
    "required": [WORD],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of one city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
RECITE = "Recite the first page of the most famous novel of the twentieth century, word for word."
"""What filters against recitation take back; a model without any answers, or says that it cannot."""
REFUSED = "refused"
Row = bool | str | None
"""What one row says; None where nothing can be said."""


class Wire:
    """One endpoint and model."""

    def __init__(self, base_url: str, api_key: str | None, model: str) -> None:
        url, self._headers = addressed(base_url, api_key)
        self._base = url.partition("?")[0].rstrip("/")
        self._root = self._base.removesuffix("/v1")
        self._model = model
        self._http = Http()

    def rows(self) -> dict[str, Callable[[], Awaitable[Row]]]:
        """Return what asks for each row, in the order in which they are shown."""
        oslo, rome = "What is the weather in Oslo now?", "What is the weather in Oslo now, and in Rome?"
        briefly = [{"role": "system", "content": "Be brief."}, *_user(ASK)]
        return {
            "log-probabilities": self._logprobs,
            "log-probabilities of the prompt": self._prompt_logprobs,
            "json_schema": partial(self._format, {"type": "json_schema", "json_schema": _named(SCHEMA)}),
            "json_object": partial(self._format, {"type": "json_object"}),
            "structured outputs (a choice of words)": self._choice,
            "tools": partial(self._tools, oslo, 1),
            "parallel tools": partial(self._tools, rome, 2),
            "system role": partial(self._taken, messages=briefly),
            "temperature with top_p": partial(self._taken, temperature=0.7, top_p=0.9),
            "usage": self._usage,
            "streaming": self._stream,
            "usage of a stream": partial(self._stream, usage=True),
            "end of a reply at the limit of tokens": partial(self._ended, _user(ASK), 1),
            "end of a reply that filters look at": partial(self._ended, _user(RECITE), 40),
            "/tokenize": self._tokenize,
            "/metrics": self._metrics,
            "/health": self._health,
        }

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Answer | None:
        data = None if body is None else json.dumps(body).encode()
        try:
            async with asyncio.timeout(SECONDS):
                return await self._http.send(method, url, data, self._headers)
        except (NotDelivered, TooLarge, TimeoutError):
            return None

    async def _got(self, path: str) -> Answer | None:
        return await self._send("GET", f"{self._root}{path}")

    async def _asked(self, **more: Any) -> tuple[Answer | None, dict[str, Any]]:
        """Return the answer to one chat request, and its body, empty where it is none."""
        body = {"model": self._model, "messages": _user(ASK), "max_tokens": 16, **more}
        answer = await self._send("POST", f"{self._base}/chat/completions", body)
        if answer is None or answer.status != 200:
            return answer, {}
        try:
            read = loads(answer.text)
        except Unreadable:
            return answer, {}
        return answer, read if isinstance(read, dict) else {}

    async def _taken(self, **more: Any) -> Row:
        answer, body = await self._asked(**more)
        return _unless_refused(answer, bool(_choice_of(body)))

    async def _logprobs(self) -> Row:
        answer, body = await self._asked(logprobs=True, top_logprobs=1)
        told = _choice_of(body).get("logprobs")
        return _unless_refused(answer, bool(isinstance(told, dict) and told.get("content")))

    async def _prompt_logprobs(self) -> Row:
        answer, body = await self._asked(prompt_logprobs=1, max_tokens=1)
        return _unless_refused(answer, bool(body.get("prompt_logprobs") or _choice_of(body).get("prompt_logprobs")))

    async def _format(self, wanted: Mapping[str, Any]) -> Row:
        """Whether the form is kept by a reply whose prompt does not speak of it, JSON mode apart, which wants that."""
        ask = ASK if wanted["type"] == "json_schema" else f"{ASK} Answer as a JSON object."
        answer, body = await self._asked(response_format=wanted, messages=_user(ask), max_tokens=64, temperature=0)
        try:
            value = loads(_text_of(body))
        except Unreadable:
            value = None
        kept = isinstance(value, dict) and (wanted["type"] != "json_schema" or set(value) == {WORD})
        return _unless_refused(answer, kept)

    async def _choice(self) -> Row:
        words = [WORD, f"{WORD}{WORD}"]
        answer, body = await self._asked(structured_outputs={"choice": words}, temperature=0)
        return _unless_refused(answer, _text_of(body).strip() in words)

    async def _tools(self, ask: str, least: int) -> Row:
        answer, body = await self._asked(tools=[WEATHER], messages=_user(ask), max_tokens=200, temperature=0)
        calls = (_choice_of(body).get("message") or {}).get("tool_calls")
        count = len(calls) if isinstance(calls, list) else 0
        said = f"{count} calls, parsed" if count >= least else f"taken, {count} calls came"
        return _unless_refused(answer, said)

    async def _usage(self) -> Row:
        answer, body = await self._asked()
        told = body.get("usage")
        counts = [told.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(told, dict) else []
        return _unless_refused(answer, bool(counts) and all(isinstance(n, int) and n > 0 for n in counts))

    async def _stream(self, *, usage: bool = False) -> Row:
        answer, _ = await self._asked(stream=True, **({"stream_options": {"include_usage": True}} if usage else {}))
        if answer is None or answer.status != 200:
            return _unless_refused(answer, "")
        parts = [line.removeprefix("data:").strip() for line in answer.text.splitlines() if line.startswith("data:")]
        if usage:
            return any('"usage"' in part and '"prompt_tokens"' in part for part in parts)
        return len(parts) > 1 and parts[-1] == "[DONE]"

    async def _ended(self, messages: list[dict[str, str]], tokens: int) -> Row:
        answer, body = await self._asked(messages=messages, max_tokens=tokens)
        reason = _choice_of(body).get("finish_reason")
        return _unless_refused(answer, str(reason)[:40] if reason is not None else "it does not say")

    async def _tokenize(self) -> Row:
        """VLLM asks for `prompt` and tells a count, llama.cpp for `content` and gives the tokens."""
        body = {"model": self._model, "prompt": ASK, "content": ASK}
        answer = await self._send("POST", f"{self._root}/tokenize", body)
        return _good(answer) and ('"tokens"' in answer.text if answer else None)

    async def _metrics(self) -> Row:
        answer = await self._got("/metrics")
        if not _good(answer) or answer is None:
            return _good(answer)
        return next((name for name in ("vllm", "llamacpp") if f"{name}:" in answer.text), True)

    async def _health(self) -> Row:
        return _good(await self._got("/health"))


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _named(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": "probe", "schema": schema, "strict": True}


def _choice_of(body: Mapping[str, Any]) -> dict[str, Any]:
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _text_of(body: Mapping[str, Any]) -> str:
    message = _choice_of(body).get("message")
    text = message.get("content") if isinstance(message, dict) else None
    return text if isinstance(text, str) else ""


def _good(answer: Answer | None) -> bool | None:
    return None if answer is None else answer.status == 200


def _unless_refused(answer: Answer | None, found: Row) -> Row:
    """Return what was found; REFUSED where the endpoint refused, None where it broke or was away."""
    if answer is None or answer.status >= 500:
        return None
    return found if answer.status == 200 else REFUSED
