"""A rollout as its reader sees it: what was said, called and found after the prompt, within a budget of tokens.

Where it is too long, results of tools give up their middles first, the longest ones, all to the same length; what the
model itself said is cut last. Every cut says how much it left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfgrpo.types import Message

CHARS_PER_TOKEN = 4
"""Rule of thumb for cutting prompts; exact counts belong to the endpoint."""
LEAST = 120
"""Characters that a shortened result keeps."""


def transcript(messages: Sequence[Message], *, numbered: bool = False, tokens: int | None = None) -> str:
    """Return what happened after the prompt, one turn a paragraph; '' for a single turn.

    Args:
        messages: the whole conversation.
        numbered: call the model's turns `step 1`, `step 2`, ...
        tokens: shorten results so that the whole takes about so many tokens; None keeps them whole.
    """
    start = next((i for i, m in enumerate(messages) if m.get("role") == "assistant"), len(messages))
    # Where tools are spoken of in plain text, what they said comes back in the role of the user.
    turns = [m for m in messages[start:] if m.get("role") in ("assistant", "tool", "user")]
    if len(turns) < 2:
        return ""
    steps = itertools.count(1)
    names = [f"step {next(steps)}" if numbered and m["role"] == "assistant" else m["role"] for m in turns]
    said = [f"{name}: {_said(m)}" for name, m in zip(names, turns, strict=True)]
    if tokens is not None:
        room = tokens * CHARS_PER_TOKEN - 2 * len(said)
        found = [i for i, m in enumerate(turns) if m["role"] != "assistant"]
        own = sum(map(len, said)) - sum(len(said[i]) for i in found)
        most = max(common_limit([len(said[i]) for i in found], room - own), LEAST)
        for i in found:
            said[i] = cut_middle(said[i], most)
    return "\n\n".join(said)


def common_limit(sizes: Sequence[int], room: int) -> int:
    """Return the length to which the longest of `sizes` must be cut so that all together fit into `room`."""
    left = room
    for position, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - position)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0)


def cut_to_tokens(text: str, tokens: int) -> str:
    """Cut the middle out of a text that is longer than `tokens`, saying so: starts and ends carry the decisions."""
    return cut_middle(text, tokens * CHARS_PER_TOKEN)


def cut_middle(text: str, most: int) -> str:
    """Cut the middle out of a text that is longer than `most` characters, saying how much."""
    if len(text) <= most:
        return text
    half = max(most // 2 - 20, 1)
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


def _said(message: Message) -> str:
    return "\n".join(part for part in (message.get("content") or "", _calls(message)) if part)


def _calls(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls") or []
    return "; ".join(f"calls {c['function']['name']}({c['function']['arguments']})" for c in calls)
