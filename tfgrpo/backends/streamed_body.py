"""A reply that came as server-sent events though no stream was asked for: its events joined to one body.

Some gateways stream whatever they are asked. What was said is there, and was billed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfgrpo.system.sent_events import events_of

_BEGINS = ("data:", "event:", "id:", "retry:", ":")
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


def is_stream(text: str) -> bool:
    """Whether a body is a stream of server-sent events."""
    return text.lstrip("\ufeff \r\n").startswith(_BEGINS)


def joined_events(text: str) -> dict[str, Any]:
    """Return the events of a chat-completions stream as the body that one answer would have had.

    It ends at the first event that cannot be read. A choice whose stream broke off has no finish reason; an event that
    reports an error is the body's error, and takes back what came before it.
    """
    body: dict[str, Any] = {}
    choices: dict[str, _Joined] = {}
    for event in events_of(text):
        if not isinstance(event, Mapping):
            break
        body |= {name: event[name] for name in ("usage", "error") if event.get(name)}
        for choice in _list(event.get("choices")):
            if isinstance(choice, Mapping):
                choices.setdefault(str(choice.get("index", 0)), _Joined()).add(choice)
    return {**body, "choices": [] if body.get("error") else [choice.whole() for choice in choices.values()]}


class _Joined:
    """One choice, as far as it came."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.calls: dict[str, dict[str, list[str]]] = {}
        self.ids: list[Any] = []
        self.reason: Any = None

    def add(self, choice: Mapping[str, Any]) -> None:
        """Take one event's part of the choice."""
        self.reason = choice.get("finish_reason") or self.reason
        self.ids += _list(choice.get("token_ids"))
        delta = choice.get("delta", choice.get("message"))
        if not isinstance(delta, Mapping):
            return
        for name in _TEXTS:
            if isinstance(delta.get(name), str):
                self.texts.setdefault(name, []).append(delta[name])
        for call in _list(delta.get("tool_calls")):
            if isinstance(call, Mapping):
                parts = self.calls.setdefault(str(call.get("index", 0)), {"id": [], "name": [], "arguments": []})
                for name, value in {"id": call.get("id"), **_mapping(call.get("function"))}.items():
                    if name in parts and isinstance(value, str):
                        parts[name].append(value)

    def whole(self) -> dict[str, Any]:
        """Return the choice as an answer without a stream has it."""
        message: dict[str, Any] = {name: "".join(parts) for name, parts in self.texts.items()}
        if self.calls:
            message["tool_calls"] = [
                {
                    "id": "".join(call["id"]),
                    "type": "function",
                    "function": {"name": "".join(call["name"]), "arguments": "".join(call["arguments"])},
                }
                for call in self.calls.values()
            ]
        found = {"message": message, "finish_reason": self.reason}
        return {**found, "token_ids": self.ids} if self.ids else found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
