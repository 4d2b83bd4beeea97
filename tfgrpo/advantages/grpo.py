"""GRPO: a rollout is as good as it is better than its siblings, in units of their spread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

from tfgrpo.advantages.moments import is_flat, present, standardized
from tfgrpo.advantages.values import Advantages, TokenAdvantages
from tfgrpo.errors import UsageError


@dataclass(frozen=True, slots=True)
class Normalization:
    """How a library divides by the spread of a group."""

    ddof: int
    """0 for the population, 1 for the sample standard deviation."""
    eps: float
    """Added to the deviation."""


NORMALIZATIONS: Mapping[str, Normalization] = MappingProxyType(
    {
        "tfgrpo": Normalization(1, 1e-6),
        "verl": Normalization(1, 1e-6),
        "trl": Normalization(1, 1e-4),
        "oat": Normalization(1, 1e-8),
        "nvlabs-gdpo": Normalization(1, 1e-4),
        "ms-swift": Normalization(1, 1e-4),
        "ms-swift-gdpo": Normalization(1, 1e-8),
        "gfpo-paper": Normalization(0, 0.0),
    }
)
"""What is used in the wild; the GRPO paper states neither number."""


def grpo(
    rewards: Sequence[float],
    *,
    ddof: int = 1,
    eps: float = 1e-6,
    singleton: Literal["zero", "raw"] = "zero",
) -> Advantages:
    """A_i = (R_i - mean R) / (std R + eps) over the rewards of one group.

    Source: DeepSeekMath, arXiv 2402.03300, section 4.1.2.

    Args:
        rewards: one per rollout; nan where it failed or is unscored. Any finite scale.
        ddof: 1 for the sample deviation, 0 for the population.
        eps: added to the deviation, at least 0.
        singleton: what a group with one graded rollout gets. `zero` is the contract; `raw` reproduces verl, which
            takes mean 0 and deviation 1 and so lets the reward itself through.

    Returns:
        0 for missing rewards. A flat group, tested before dividing, is exactly 0 and degenerate: no eps can make a
        small signal of it.

    Raises:
        UsageError: a reward is infinite, `ddof` is not 0 or 1, or `eps` is negative.
    """
    if eps < 0:
        raise UsageError(f"eps is {eps}; it is added to a deviation and cannot be negative")
    if singleton == "raw" and len(present(rewards)) == 1:
        return Advantages(tuple(0.0 if math.isnan(r) else r / (1.0 + eps) for r in rewards))
    return Advantages(standardized(rewards, ddof=ddof, eps=eps), is_flat(rewards))


def process_supervision(
    step_rewards_G: Sequence[Sequence[float]],
    step_ends_G: Sequence[Sequence[int]],
    *,
    lengths_G: Sequence[int] | None = None,
    ddof: int = 1,
    eps: float = 1e-6,
) -> TokenAdvantages:
    """A_{i,t} = sum of the normalized rewards of the steps that end at or after token t.

    Source: DeepSeekMath, arXiv 2402.03300, section 4.1.3. All step rewards of the group are normalized together. Known
    bias: a longer rollout with good steps accumulates more.

    Args:
        step_rewards_G: rewards of the steps of each rollout; nan where a step is unscored (it adds 0).
        step_ends_G: number of tokens up to and including each step (1-based index of its last token), increasing.
        lengths_G: tokens of each rollout, at least its last step end; tokens after the last step get 0.
        ddof: see `grpo`.
        eps: see `grpo`.

    Raises:
        UsageError: rewards and ends do not match, or ends do not increase.
    """
    for index, (step_rewards, ends) in enumerate(zip(step_rewards_G, step_ends_G, strict=True)):
        if len(step_rewards) != len(ends) or any(a >= b for a, b in pairwise((0, *ends))):
            raise UsageError(f"rollout {index}: each step needs one reward and one end, and ends must increase")
    flat = [reward for step_rewards in step_rewards_G for reward in step_rewards]
    normalized = iter(standardized(flat, ddof=ddof, eps=eps))
    lengths = lengths_G if lengths_G is not None else [ends[-1] if ends else 0 for ends in step_ends_G]
    rows = []
    for ends, length in zip(step_ends_G, lengths, strict=True):
        steps = [(end, next(normalized)) for end in ends]
        rows.append(tuple(math.fsum(a for end, a in steps if end >= t) for t in range(1, length + 1)))
    return TokenAdvantages(tuple(rows), is_flat(flat))
