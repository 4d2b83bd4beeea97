"""Where lessons go in each protocol that apps speak; pure.

A body of chat completions, responses, completions or Anthropic messages comes in, and a new one with the block of a
library version goes out; fields that are not known here stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from experience_db import Library

Body = dict[str, Any]

SYSTEM = ("system", "developer")


def protocol(path: str) -> str | None:
    """Return `chat`, `responses`, `completions` or `anthropic` for a path that carries a prompt; else None."""
    parts = [part for part in path.split("/") if part]
    if parts[-2:] == ["chat", "completions"]:
        return "chat"
    if parts[-2:] == ["messages", "count_tokens"]:
        return "anthropic"
    last = parts[-1] if parts else ""
    return {"responses": "responses", "completions": "completions", "messages": "anthropic"}.get(last)


def with_lessons(kind: str, body: Mapping[str, Any], library: Library) -> Body | None:
    """Return a body with the library's block in it; None where it has no place for text, as a prompt of token ids.

    Args:
        kind: what `protocol` returned.
        body: a request as it was decoded.
        library: the version to show; without lessons the body comes back unchanged.
    """
    library = _suited(kind, body, library)
    block = library.block()
    if not block:
        return dict(body)
    return _PLACES[kind](dict(body), library, block)


def _suited(kind: str, body: Mapping[str, Any], library: Library) -> Library:
    """The lessons that suit what the user said last, where the library chooses them; else all of them."""
    if library.retrieval is None:
        return library
    said = body.get({"responses": "input", "completions": "prompt"}.get(kind, "messages"))
    if isinstance(said, list) and all(isinstance(one, Mapping) for one in said):
        return library.suited(None, said)
    return library.suited("\n".join(map(str, said)) if isinstance(said, list) else str(said or ""))


def _chat(body: Body, library: Library, block: str) -> Body | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        return None
    return body | {"messages": library.inject(messages)}


def _responses(body: Body, library: Library, block: str) -> Body | None:
    instructions, given = body.get("instructions"), body.get("input")
    if isinstance(instructions, str) and instructions:
        return body | {"instructions": f"{instructions}\n\n{block}"}
    if instructions:
        return None
    if isinstance(given, list):
        for place, item in enumerate(given):
            if isinstance(item, Mapping) and item.get("role") in SYSTEM:
                said = _extended(item.get("content"), block, "input_text")
                return body | {"input": [*given[:place], {**item, "content": said}, *given[place + 1 :]]}
    return body | {"instructions": block}


def _completions(body: Body, library: Library, block: str) -> Body | None:
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return body | {"prompt": f"{block}\n\n{prompt}"}
    if isinstance(prompt, list) and prompt and all(isinstance(one, str) for one in prompt):
        return body | {"prompt": [f"{block}\n\n{one}" for one in prompt]}
    return None


def _anthropic(body: Body, library: Library, block: str) -> Body | None:
    system = body.get("system")
    if system is not None and not isinstance(system, str | list):
        return None
    return body | {"system": _extended(system, block, "text")}


def _extended(content: Any, block: str, part: str) -> Any:
    """Content with the block at its end; `part` is what the protocol calls a piece of text."""
    if not content:
        return block
    if isinstance(content, list):
        return [*content, {"type": part, "text": f"\n\n{block}"}]
    return f"{content}\n\n{block}"


_PLACES: Mapping[str, Callable[[Body, Library, str], Body | None]] = {
    "chat": _chat,
    "responses": _responses,
    "completions": _completions,
    "anthropic": _anthropic,
}
