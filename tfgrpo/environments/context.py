"""Room in a full window: the oldest tool results give up their middles first, and the text says so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from tfgrpo.types import Message

CHARS_PER_TOKEN = 4
KEPT = 400
"""Characters that a shortened result keeps."""
SAID = re.compile(r"\n\[\.\.\. shortened to make room: (\d+) characters of this older result left out \.\.\.\]\n")
TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum.{0,20}(length|tokens)|(prompt|input|request).{0,30}too (long|large)"
    r"|too many (input )?tokens|reduce the length|exceeds?.{0,40}(context|limit|tokens)"
    r"|max(_|imum )?(new_|completion_|output_)?tokens`?.{0,20}(must be|at least|>=).{0,20}\b(0|1|positive).{0,30}-\d"
    r"|range of input length|inputs?`? tokens.{0,40}must be <?=|input length.{0,40}(exceed|longer|larger|more than)"
    r"|(prompt|input|conversation).{0,60}(does not|doesn't) fit|requested tokens.{0,40}exceed|request is too large"
    r"|n_ctx|available context|maximum allowed (input|prompt)|string too long|too many total text bytes"
    r"|input is too long|prompt contains \d{1,9} tokens",
    re.IGNORECASE,
)
"""How endpoints say that a prompt does not fit."""


def shorten_results(messages: Sequence[Message], results: Sequence[int], excess: int) -> tuple[Message, ...] | None:
    """Return the messages with at least `excess` characters fewer where that can be had; None where nothing can.

    Args:
        messages: the conversation.
        results: positions of the messages that hold tool results, oldest first.
        excess: characters too many.
    """
    kept, won = list(messages), 0
    for position in results:
        if won >= excess:
            break
        before = kept[position]["content"] or ""
        after = leave_out_middle(before)
        if len(after) < len(before):
            kept[position] = cast("Message", {**kept[position], "content": after})
            won += len(before) - len(after)
    return tuple(kept) if won else None


def leave_out_middle(text: str) -> str:
    """Leave the middle of a result out, saying how much; a result that was shortened before stays as it is."""
    if len(text) <= KEPT + 120 or SAID.search(text):
        return text
    half = KEPT // 2
    left_out = len(text) - 2 * half
    said = f"\n[... shortened to make room: {left_out} characters of this older result left out ...]\n"
    return f"{text[:half]}{said}{text[-half:]}"


def conversation_length(messages: Sequence[Message]) -> int:
    """Return the characters of a conversation, calls included."""
    return sum(len(m.get("content") or "") + len(str(m.get("tool_calls") or "")) for m in messages)
