"""The unit of every verdict: the same problem with and without the text, and what both attempts were."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tfgrpo.types import Usage

OWN_FAULT = frozenset({"empty", "truncated", "timeout", "refused_request", "malformed", "environment"})
"""Failures of the attempt itself: 0 where the other side was scored. All others say nothing about the text."""


@dataclass(frozen=True, slots=True)
class Side:
    """One attempt."""

    reward: float = math.nan
    """nan when there is none."""
    failure: str = ""
    """Why there is none: the kind of failure, or the words of a stored one."""
    text: str = ""
    """What was answered."""
    usage: Usage = Usage()  # noqa: RUF009  (frozen)
    seconds: float | None = None

    @property
    def counted(self) -> float:
        """The reward, 0 where the attempt failed by its own fault, nan where an outage or a grader failed."""
        return 0.0 if math.isnan(self.reward) and self.failure in OWN_FAULT else self.reward


@dataclass(frozen=True, slots=True)
class Pair:
    """One problem, one seed index, both sides."""

    id: str
    question: str
    without: Side
    given: Side
    """The side that has the text."""
    index: int = 0

    @property
    def difference(self) -> float:
        """With minus without; nan where a side has nothing, or where both failed."""
        if self.without.failure and self.given.failure:
            return math.nan
        return self.given.counted - self.without.counted


def by_problem(pairs: Iterable[Pair]) -> dict[str, float]:
    """Return each problem's mean difference over its pairs, in first-come order; without a value it is left out."""
    values: dict[str, list[float]] = {}
    for pair in pairs:
        if not math.isnan(pair.difference):
            values.setdefault(pair.id, []).append(pair.difference)
    return {problem: fmean(found) for problem, found in values.items()}


def mean_rewards(pairs: Iterable[Pair]) -> tuple[float, float] | None:
    """Return the mean reward with and without the text over the pairs that count; None without one."""
    counted = [p for p in pairs if not math.isnan(p.difference)]
    if not counted:
        return None
    return fmean(p.given.counted for p in counted), fmean(p.without.counted for p in counted)


def failures(sides: Iterable[Side]) -> dict[str, int]:
    """Return how many attempts failed, by reason, the commonest first."""
    return dict(Counter(side.failure for side in sides if side.failure).most_common())


def cost(sides: Sequence[Side]) -> dict[str, float | int | None]:
    """Return what attempts consumed: totals, and means over attempts; None where nothing is known."""
    usage = sum((side.usage for side in sides), Usage())
    times = [side.seconds for side in sides if side.seconds is not None]
    tokens, n = usage.prompt_tokens + usage.completion_tokens, len(sides)
    return {
        "attempts": n,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "tokens_each": tokens / n if n and tokens else None,
        "usd": usage.usd,
        "seconds_each": fmean(times) if times else None,
    }


def failure_p(pairs: Sequence[Pair]) -> float | None:
    """Return the two-sided p that both sides fail equally often, from pairs where one alone failed; None without one.

    The exact test of McNemar: where one side alone failed, each is it with chance 1/2.
    """
    worse = sum(bool(p.given.failure) and not p.without.failure for p in pairs)
    better = sum(bool(p.without.failure) and not p.given.failure for p in pairs)
    n, most = worse + better, max(worse, better)
    if not n:
        return None
    tail: float = sum(math.comb(n, k) for k in range(most, n + 1)) / 2**n
    return min(1.0, 2 * tail)


def failure_counts_text(table: Mapping[str, int]) -> str:
    """Return failures in words; '' without one."""
    return ", ".join(f"{n} {kind}" for kind, n in table.items())
