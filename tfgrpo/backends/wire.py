"""The chat-completions format: from a Request to the body that is sent, and from the body that came to a Reply."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tfgrpo.backends.capabilities import Dialect, response_format
from tfgrpo.backends.faults import Where, from_error_in_body
from tfgrpo.backends.joined import Joined, gathered
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.retry import Transient
from tfgrpo.types import FailureKind, Message, Reply, Request, Usage


def body_of(request: Request, dialect: Dialect) -> dict[str, Any]:
    """Return the body for `request`, without the model name. What is not set is not sent."""
    sampling = request.sampling
    schema = request.response_schema
    body = {
        "messages": list(request.messages),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        dialect.limit_name: sampling.max_tokens,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "tools": list(request.tools) or None,
        "n": request.n if isinstance(request, Joined) else None,
        "response_format": None if schema is None else response_format(schema, dialect.schema_mode),
    }
    return {name: value for name, value in body.items() if value is not None and name not in dialect.dropped}


def reply_of(payload: Any, request: Request, where: Where, price: Price | None) -> Reply:
    """Return the Reply in a decoded chat-completions body.

    An empty text that was cut at the token limit is a reply: the model spent its tokens elsewhere, and retrying would
    spend them again.

    Raises:
        Transient: the body holds no choice, or an empty one.
        ProviderError: the body holds an error instead.
    """
    if not isinstance(payload, Mapping):
        raise Transient(f"{where} answered with JSON that is not an object", status=200)
    choices = payload.get("choices")
    if payload.get("error") and not choices:
        raise from_error_in_body(where, payload["error"])
    usage = usage_of(payload.get("usage"), price)
    if not isinstance(choices, Sequence) or not choices or not isinstance(choices[0], Mapping):
        raise Transient(f"{where} answered without any choice", FailureKind.EMPTY, status=200, usage=usage)
    if choices[0].get("error"):
        raise from_error_in_body(where, choices[0]["error"])
    wanted = request.n if isinstance(request, Joined) else 1
    replies = [_reply_of_choice(choice, request, usage) for choice in choices[:wanted]]
    if not any(map(_usable, replies)):
        said = f"{where} answered with an empty message (finish reason {replies[0].finish_reason})"
        raise Transient(said, FailureKind.EMPTY, status=200, usage=usage)
    return replies[0] if wanted == 1 else gathered([r if _usable(r) else None for r in replies], usage)


def _usable(reply: Reply) -> bool:
    return bool(reply.text.strip() or reply.tool_calls or reply.finish_reason == "length")


def usage_of(usage: Any, price: Price | None) -> Usage:
    """Return the Usage in a `usage` object; money comes from `price`, else from the endpoint, else it is unknown."""
    if not isinstance(usage, Mapping):
        return Usage(usd=None)
    details = usage.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0
    counted = Usage(usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0, cached)
    return replace(counted, usd=price.usd(counted) if price else usage.get("cost"))


def _reply_of_choice(choice: Mapping[str, Any], request: Request, usage: Usage) -> Reply:
    message = choice.get("message") or {}
    text, refusal = _text_of(message.get("content")), message.get("refusal")
    ids = choice.get("token_ids")
    return Reply(
        text=text or refusal or "",
        finish_reason="refusal" if refusal and not text else choice.get("finish_reason") or "stop",
        usage=usage,
        reasoning=message.get("reasoning_content") or message.get("reasoning") or None,
        tool_calls=unique_calls(message.get("tool_calls") or (), request.messages),
        token_ids=None if ids is None else tuple(ids),
    )


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
    # Half a surrogate pair can be written in JSON, but neither stored nor sent on.
    return (content or "").encode("utf-8", "replace").decode()


def unique_calls(calls: Sequence[Mapping[str, Any]], before: Sequence[Message]) -> tuple[Mapping[str, Any], ...]:
    """Return tool calls whose ids differ from each other and from those already in the conversation.

    Servers repeat ids (`call_0` in every turn) or leave them out; results could then not be told apart.
    """
    taken = {call.get("id") for message in before for call in message.get("tool_calls") or ()}
    unique = []
    for call in calls:
        wanted = name = call.get("id") or "call"
        number = 1
        while name in taken:
            number += 1
            name = f"{wanted}-{number}"
        taken.add(name)
        unique.append({**call, "id": name, "function": _function_of(call)})
    return tuple(unique)


def _function_of(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments") or "{}"
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {**function, "arguments": text}
