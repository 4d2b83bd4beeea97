"""Several identical calls as one: a Request that asks for n choices, and a Reply that holds them all.

Both are what they extend, so retries, limits and budgets treat one joined request as one call, which it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from tfgrpo.errors import ProviderError
from tfgrpo.types import FailureKind, Reply, Request, Usage

Outcome = Reply | ProviderError
"""One choice, or why it is none."""
_ELSEWHERE = 1_000_003
"""How far away the seed of another draw lies; beyond what any group counts up to."""


@dataclass(frozen=True, slots=True)
class ChoicesRequest(Request):
    """A request for `n` choices; with a seed, choice j is drawn with the seed plus j."""

    n: int = 1
    tries: int | None = None
    """Tries before it counts as failed, where that is not the policy's number: so many choices may be too many."""


@dataclass(frozen=True, slots=True)
class Redrawn(Request):
    """A call that is asked once more with another seed or limit, since the first draw could not be used."""


@dataclass(frozen=True, slots=True)
class ChoicesReply(Reply):
    """The answer to a Joined: the first usable choice in its own fields, and all of them in order."""

    choices: tuple[Outcome, ...] = ()
    """A failure where a choice could not be used; fewer than n where the endpoint returned fewer."""


def join_requests(requests: Sequence[Request], tries: int | None = None) -> ChoicesRequest:
    """Return one request for what `requests` ask; they differ in attempt and seed alone, and the first one's count."""
    first = requests[0]
    return ChoicesRequest(**{f.name: getattr(first, f.name) for f in fields(Request)}, n=len(requests), tries=tries)


def redraw_request(request: Request, kind: FailureKind) -> Request:
    """Return `request` with other noise; with twice the limit where the first draw spent it all on reasoning."""
    sampling = request.sampling
    if sampling.seed is not None:
        sampling = replace(sampling, seed=(sampling.seed + _ELSEWHERE) % 2**31)
    if sampling.max_tokens is not None and kind is FailureKind.EMPTY:
        sampling = replace(sampling, max_tokens=2 * sampling.max_tokens)
    if isinstance(request, ChoicesRequest):
        return replace(request, sampling=sampling)
    return Redrawn(**{f.name: getattr(request, f.name) for f in fields(Request)} | {"sampling": sampling})


def join_choices(outcomes: Sequence[Outcome], usage: Usage) -> ChoicesReply:
    """Return the choices of one answer as one Reply, the usage of the whole shared out among those that are replies."""
    replies = [one for one in outcomes if isinstance(one, Reply)]
    shared = iter(split_usage(usage, [choice_size(reply) for reply in replies]))
    parts = tuple(replace(one, usage=next(shared)) if isinstance(one, Reply) else one for one in outcomes)
    first = next(part for part in parts if isinstance(part, Reply))
    whole = {f.name: getattr(first, f.name) for f in fields(Reply)} | {"usage": usage}
    return ChoicesReply(**whole, choices=parts)


def split_usage(usage: Usage, sizes: Sequence[int]) -> list[Usage]:
    """Split `usage` so that it sums up to itself: the prompt, paid for once, to the first; the rest by size."""
    total, before, parts = sum(sizes), 0, []
    for position, one in enumerate(sizes):
        done, guessed = (whole * before // total for whole in (usage.completion_tokens, usage.estimated_tokens))
        before += one
        mine, guess = (whole * before // total for whole in (usage.completion_tokens, usage.estimated_tokens))
        usd = None if usage.usd is None else usage.usd / len(sizes)
        prompt, cached = (usage.prompt_tokens, usage.cached_tokens) if position == 0 else (0, 0)
        parts.append(Usage(prompt, mine - done, cached, usd, guess - guessed))
    return parts


def choice_size(choice: Reply) -> int:
    """Return how much of the completion a choice is: its tokens, else its characters; at least 1."""
    if choice.token_ids is not None:
        return max(1, len(choice.token_ids))
    return max(1, len(choice.text) + len(choice.reasoning or "") + sum(len(str(call)) for call in choice.tool_calls))
