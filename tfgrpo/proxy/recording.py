"""What of a request and its answer is kept, where recording is on: who asks, about what, and what was said; pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfgrpo.system.sent_events import events_of
from tfgrpo.system.untrusted_json import loads

SESSION, TASK, USER = "x-tfgrpo-session", "x-tfgrpo-task", "x-tfgrpo-user"
"""Headers by which an app names a session, its task and its user."""
FEEDBACK = "/tfgrpo/feedback"
KEPT_BYTES = 2**20
"""Most of an answer that is kept."""
Messages = list[dict[str, Any]]


class Answer:
    """The beginning of an answer as it passes, up to KEPT_BYTES."""

    __slots__ = ("encoding", "failure", "kind", "pieces", "size", "status", "streamed")

    def __init__(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        """Begin with the status and headers of the upstream; `kind` is the protocol."""
        self.kind, self.status, self.failure = kind, status, ""
        self.encoding = headers.get("Content-Encoding", "").lower()
        self.streamed = headers.get("Content-Type", "").startswith("text/event-stream")
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Take a piece along, while there is room."""
        if self.size < KEPT_BYTES:
            self.pieces.append(piece[: KEPT_BYTES - self.size])
        self.size += len(piece)

    def messages(self) -> tuple[Messages, str]:
        """Return what was answered as messages, and why it is not whole; '' where it is."""
        if self.status >= 400:
            return [], f"the upstream answered {self.status}"
        fault = self.failure or ("only the beginning of the answer was kept" if self.size > KEPT_BYTES else "")
        body = _unpacked(b"".join(self.pieces), self.encoding)
        if body is None:
            return [], f"an answer in the encoding {self.encoding!r} is not read"
        try:
            text = _streamed(body) if self.streamed else _text(loads(body, forgiving=True))
        except ValueError:
            return [], fault or "the answer is not JSON"
        return [{"role": "assistant", "content": text}], fault


def asked(kind: str, body: Mapping[str, Any]) -> Messages:
    """Return a request's conversation as messages with `role` and `content`."""
    found: Messages = []
    for key in ("system", "instructions"):
        if isinstance(body.get(key), str | list) and body[key]:
            found.append({"role": "system", "content": body[key]})
    given = body.get({"responses": "input", "completions": "prompt"}.get(kind, "messages"))
    if isinstance(given, str):
        return [*found, {"role": "user", "content": given}]
    for item in given if isinstance(given, list) else ():
        if isinstance(item, Mapping):
            found.append({"role": "user", **item})
        elif isinstance(item, str):
            found.append({"role": "user", "content": item})
    return found


def task_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return what a conversation is about: the first words of its user."""
    said = next((m.get("content") for m in messages if m.get("role") == "user" and m.get("content")), "")
    return _text(said)


def user_of(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """Return what tells a request's user apart, by header or by the fields that the protocols have; else ''."""
    metadata = body.get("metadata")
    inner = metadata.get("user_id") if isinstance(metadata, Mapping) else None
    named = (headers.get(USER), body.get("safety_identifier"), body.get("user"), inner)
    return next((str(name)[:500] for name in named if isinstance(name, str) and name), "")


def _unpacked(body: bytes, encoding: str) -> bytes | None:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        return None
    try:
        return zlib.decompressobj(47 if encoding == "gzip" else 15).decompress(body, 8 * KEPT_BYTES)
    except zlib.error:
        return None


def _streamed(body: bytes) -> str:
    """Return the text of server-sent events, whichever of the protocols they are of."""
    return "".join(map(_delta, events_of(body.decode("utf-8", "replace"))))


def _delta(event: Any) -> str:
    """Return the new text of one event."""
    if not isinstance(event, Mapping):
        return ""
    delta = event.get("delta")
    if isinstance(delta, str) and event.get("type") == "response.output_text.delta":
        return delta
    if isinstance(delta, Mapping) and isinstance(delta.get("text"), str):
        return str(delta["text"])
    for choice in event.get("choices") or ():
        if isinstance(choice, Mapping):
            inner = choice.get("delta")
            said = inner.get("content") if isinstance(inner, Mapping) else choice.get("text")
            return said if isinstance(said, str) else ""
    return ""


def _text(value: Any) -> str:
    return "\n".join(_texts(value, 0))


def _texts(value: Any, depth: int) -> Iterator[str]:
    """Yield the texts of an answer or of a content, wherever its protocol has them."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, Mapping) and depth < 8:
        for key in ("choices", "output", "message", "content", "text"):
            if value.get(key):
                yield from _texts(value[key], depth + 1)
                return
