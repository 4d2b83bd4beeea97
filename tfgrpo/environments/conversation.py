"""One rollout while it runs: the conversation, what it cost, and what was called."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tfgrpo.environments import context
from tfgrpo.environments.base import Slot
from tfgrpo.types import Failure, Message, Problem, Reply, Rollout, ToolCall, Usage

RESERVE = 1024
"""Tokens kept free for a reply whose limit is not known."""


@dataclass(slots=True)
class Conversation:
    """What has been said and done so far."""

    problem: Problem
    slot: Slot
    messages: tuple[Message, ...]
    usage: Usage = Usage()  # noqa: RUF009  (frozen)
    calls: list[ToolCall] = field(default_factory=list)
    results: list[int] = field(default_factory=list)
    """Positions of the messages that hold tool results."""
    taken: set[str] = field(default_factory=set)
    """Ids of calls."""
    malformed: bool = False
    """Whether the latest turn held a call that could not be read."""
    notes: list[str] = field(default_factory=list)
    chars_per_token: float = context.CHARS_PER_TOKEN
    """Of this conversation, once the endpoint has counted it."""
    reply: Reply | None = None
    turn_ids: list[tuple[int, ...]] = field(default_factory=list)
    """Token ids of the replies, () where the endpoint gave none."""
    began: float = field(default_factory=time.perf_counter)

    @property
    def tokens(self) -> int:
        """Tokens of all turns, prompts included."""
        return self.usage.prompt_tokens + self.usage.completion_tokens

    def add_reply(self, reply: Reply) -> None:
        """Count a reply."""
        self.reply, self.usage = reply, self.usage + reply.usage
        self.turn_ids.append(reply.token_ids or ())
        if reply.usage.prompt_tokens:
            self.chars_per_token = min(
                context.conversation_length(self.messages) / reply.usage.prompt_tokens, context.CHARS_PER_TOKEN
            )

    def add(self, *messages: Message) -> None:
        """Append to the conversation."""
        self.messages += messages

    def add_results(self, messages: Sequence[Message]) -> None:
        """Append results, which may be shortened later."""
        self.results += range(len(self.messages), len(self.messages) + len(messages))
        self.messages += tuple(messages)

    def make_room(self, context_tokens: int | None) -> None:
        """Shorten the oldest results when the next prompt and its reply would not fit into the window."""
        if context_tokens is None:
            return
        reply = self.slot.sampling.max_tokens or min(RESERVE, context_tokens // 4)
        excess = context.conversation_length(self.messages) / max(self.chars_per_token, 0.1) + reply - context_tokens
        if excess > 0:
            self.shorten(int(excess * self.chars_per_token) + 1)

    def shorten(self, excess: int) -> bool:
        """Take at least `excess` characters from the oldest results; False when nothing can be taken."""
        before = self.messages
        after = context.shorten_results(before, self.results, excess)
        if after is None:
            return False
        count = sum(a is not b for a, b in zip(before, after, strict=True))
        left_out = context.conversation_length(before) - context.conversation_length(after)
        self.notes.append(
            f"before reply {self._replies() + 1}: {count} older tool results shortened by {left_out} characters"
        )
        self.messages = after
        return True

    def rollout(self, finish_reason: str = "", failure: Failure | None = None) -> Rollout:
        """Return what there is as a rollout."""
        reply = self.reply
        return Rollout(
            self.problem.id,
            self.slot.index,
            self.messages,
            reply.text if reply is not None and failure is None else "",
            finish_reason or (reply.finish_reason if reply else ""),
            self.usage,
            time.perf_counter() - self.began,
            failure,
            tainted=any(call.failure is None or call.text for call in self.calls),
            reply=reply,
            tool_calls=tuple(self.calls),
            notes=tuple(self.notes),
            turn_ids=tuple(self.turn_ids) if all(self.turn_ids) else (),
        )

    def _replies(self) -> int:
        return sum(m.get("role") == "assistant" for m in self.messages)
