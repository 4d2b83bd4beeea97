"""Ways to choose lessons for a problem, measured side by side: what each earns, and what its prompts cost.

A library that is the same in every prompt is computed once and then read from the cache of the endpoint; lessons that
are chosen for a problem are new text in every prompt. So beside the reward stands how much of a prompt is shared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tfgrpo import stats
from tfgrpo.evaluation.measure import Evaluation
from tfgrpo.types import Message, Rollout

CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class PromptCost:
    """What a prompt costs in tokens of 4 characters, as a mean over rollouts."""

    tokens: float
    shared: float
    """Of them, those that all prompts begin with: a prefix cache computes them once."""

    @property
    def own(self) -> float:
        """Tokens that are computed anew for every problem."""
        return self.tokens - self.shared


def prompt_cost(prompts: Sequence[Sequence[Message]]) -> PromptCost | None:
    """Return what prompts cost; None where none is known, as with an agent of one's own."""
    texts = ["\x1e".join(f"{m.get('role')}\x1f{m.get('content')}" for m in prompt) for prompt in prompts if prompt]
    if not texts:
        return None
    # The first and the last in order differ as early as any two do.
    shared = _alike(min(texts), max(texts))
    return PromptCost(fmean(map(len, texts)) / CHARS_PER_TOKEN, shared / CHARS_PER_TOKEN)


def _alike(a: str, b: str) -> int:
    """How many characters two texts begin with in common."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def prompt_of(rollout: Rollout) -> tuple[Message, ...]:
    """Return the messages before the first reply; none where nothing but the question is known."""
    for place, message in enumerate(rollout.messages):
        if message.get("role") == "assistant":
            return rollout.messages[:place]
    return rollout.messages


def retrieval_row(found: Evaluation, base: Evaluation, seed: int, comparisons: int) -> dict[str, Any]:
    """Return what one way showed, and its paired difference to the first one.

    `p` is multiplied by the number of comparisons (Bonferroni): the best of several looks better than it is.
    """
    scored = [mean for mean in found.means_P if not math.isnan(mean)]
    low, high = stats.bootstrap_mean(scored, seed=seed)
    rollouts = [graded.rollout for graded_K in found.graded_P_K for graded in graded_K]
    cost = prompt_cost([prompt_of(rollout) for rollout in rollouts])
    told: dict[str, Any] = {
        "mean": fmean(scored),
        "ci": [low, high],
        "diff": None, "diff_ci": None, "p": None,
        "prompt_tokens": None if cost is None else round(cost.tokens, 1),
        "shared_tokens": None if cost is None else round(cost.shared, 1),
        "own_tokens": None if cost is None else round(cost.own, 1),
        "cached_tokens": sum(rollout.usage.cached_tokens for rollout in rollouts),
    }  # fmt: skip
    if found is not base:
        diff = stats.paired_difference(base.means_P, found.means_P, seed=seed)
        told |= {"diff": diff.diff, "diff_ci": [diff.low, diff.high], "p": min(1.0, diff.p * comparisons)}
    return told


def best_retrieval(table: Mapping[str, Mapping[str, Any]], level: float = 0.05) -> tuple[str, str]:
    """Return which way the figures speak for, and why in words.

    The first one stays unless another one is better by more than its noise; of several, the one with the largest
    difference.
    """
    first, *others = table
    better = [n for n in others if table[n]["diff"] is not None and table[n]["diff"] > 0 and table[n]["p"] <= level]
    if better:
        name = max(better, key=lambda n: float(table[n]["diff"]))
        return name, f"{name} is better than {first} by {table[name]['diff']:+.3f}, p={table[name]['p']:.3g}"
    worse = [n for n in others if table[n]["diff"] is not None and table[n]["diff"] < 0 and table[n]["p"] <= level]
    told = f"; {', '.join(worse)} worse" if worse else ""
    return first, f"nothing is told apart from {first} for the better{told}: {first} stays"
