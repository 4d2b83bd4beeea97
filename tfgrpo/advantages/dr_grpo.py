"""Dr.GRPO: the same contrast without dividing by the spread, so hard and easy problems are not blown up."""

from __future__ import annotations

from collections.abc import Sequence

from tfgrpo.advantages.moments import centred, is_flat, present
from tfgrpo.advantages.values import Advantages


def dr_grpo(rewards: Sequence[float]) -> Advantages:
    """A_i = R_i - mean R over the rewards of one group.

    Source: Understanding R1-Zero-Like Training, arXiv 2503.20783, section 3.2.

    Args:
        rewards: one per rollout; nan where it failed or is unscored.

    Returns:
        In the unit of the rewards, summing to 0; 0 for missing rewards; a flat group is exactly 0 and degenerate.

    Raises:
        UsageError: a reward is infinite.
    """
    return Advantages(centred(rewards), is_flat(rewards))


def rloo(rewards: Sequence[float]) -> Advantages:
    """A_i = R_i - mean of the other rewards, which equals `dr_grpo` times n / (n - 1) for n graded rollouts.

    Source: the identity noted with Dr.GRPO, arXiv 2503.20783, section 3.

    Returns:
        As `dr_grpo`; a group with fewer than two graded rollouts is degenerate.
    """
    n = len(present(rewards))
    factor = n / (n - 1) if n > 1 else 0.0
    return Advantages(tuple(factor * value for value in centred(rewards)), is_flat(rewards))
