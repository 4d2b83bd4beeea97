"""Several identical calls as one: a Request that asks for n choices, and a Reply that holds them all.

Both are what they extend, so retries, limits and budgets treat one joined request as one call, which it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from tfgrpo.types import Reply, Request, Usage


@dataclass(frozen=True, slots=True)
class Joined(Request):
    """A request for `n` choices; with a seed, choice j is drawn with the seed plus j."""

    n: int = 1


@dataclass(frozen=True, slots=True)
class Choices(Reply):
    """The answer to a Joined: the first usable choice in its own fields, and all of them in order."""

    choices: tuple[Reply | None, ...] = ()
    """None where a choice was empty; fewer than n where the endpoint returned fewer."""


def joined(requests: Sequence[Request]) -> Joined:
    """Return one request for what `requests` ask; they differ in attempt and seed alone, and the first one's count."""
    first = requests[0]
    return Joined(**{f.name: getattr(first, f.name) for f in fields(Request)}, n=len(requests))


def gathered(choices: Sequence[Reply | None], usage: Usage) -> Choices:
    """Return the choices of one answer as one Reply, the usage of the whole shared out among them."""
    shared = iter(shares(usage, [_size(choice) for choice in choices if choice]))
    parts = tuple(choice and replace(choice, usage=next(shared)) for choice in choices)
    first = next(part for part in parts if part)
    whole = {f.name: getattr(first, f.name) for f in fields(Reply)} | {"usage": usage}
    return Choices(**whole, choices=parts)


def shares(usage: Usage, sizes: Sequence[int]) -> list[Usage]:
    """Split `usage` so that it sums up to itself: the prompt, paid for once, to the first; the rest by size."""
    total, before, parts = sum(sizes), 0, []
    for position, size in enumerate(sizes):
        done = usage.completion_tokens * before // total
        before += size
        mine = usage.completion_tokens * before // total - done
        usd = None if usage.usd is None else usage.usd / len(sizes)
        prompt, cached = (usage.prompt_tokens, usage.cached_tokens) if position == 0 else (0, 0)
        parts.append(Usage(prompt, mine, cached, usd))
    return parts


def _size(choice: Reply) -> int:
    """Return how much of the completion a choice is: its tokens, else its characters; at least 1."""
    if choice.token_ids is not None:
        return max(1, len(choice.token_ids))
    return max(1, len(choice.text) + len(choice.reasoning or "") + sum(len(str(call)) for call in choice.tool_calls))
