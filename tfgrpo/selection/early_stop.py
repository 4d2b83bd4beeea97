"""A group sampled in waves stops as soon as it has its contrast, and goes on while it is uniform, up to G.

The saving is not free of consequences: how often a stopped group succeeded depends on when it stopped, so its success
rate is no accuracy. Use it for finding contrasts, not for measuring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tfgrpo.advantages.moments import FLAT, is_flat, present
from tfgrpo.errors import UsageError


class WaveReason(StrEnum):
    """Why a group goes on or stops."""

    CONTRAST = "contrast"
    """Enough rollouts differ; sampling more would only repeat it."""
    UNIFORM = "uniform"
    """All graded rollouts agree, or too few are graded: sample on."""
    EXHAUSTED = "exhausted"
    """G rollouts were drawn without the wanted contrast."""


@dataclass(frozen=True, slots=True)
class Wave:
    """How many rollouts to draw next."""

    size: int
    """0 when the group is finished."""
    reason: WaveReason


def next_wave(rewards: Sequence[float], *, group_size: int, wave: int = 2, min_each: int = 1) -> Wave:
    """Decide on a group from the rewards of the rollouts drawn so far.

    Args:
        rewards: of all rollouts drawn, nan where one failed or is unscored. A failure spends its place in the group but
            is no evidence of agreement or contrast.
        group_size: G, the most rollouts the group may have.
        wave: rollouts per wave; the last one may be smaller.
        min_each: rollouts wanted at the best reward and away from it, for a contrast of more than one pair.

    Raises:
        UsageError: a size is below 1.
    """
    if group_size < 1 or wave < 1 or min_each < 1:
        raise UsageError("group_size, wave and min_each are counts of rollouts; each must be at least 1")
    if has_contrast(rewards, min_each=min_each):
        return Wave(0, WaveReason.CONTRAST)
    left = group_size - len(rewards)
    return Wave(min(wave, left), WaveReason.UNIFORM) if left > 0 else Wave(0, WaveReason.EXHAUSTED)


def has_contrast(rewards: Sequence[float], *, min_each: int = 1) -> bool:
    """True when at least `min_each` graded rollouts have the best reward and at least as many have another."""
    graded = present(rewards)
    if is_flat(graded):
        return False
    tolerance = FLAT * max(abs(r) for r in graded)
    best = sum(max(graded) - r <= tolerance for r in graded)
    return min(best, len(graded) - best) >= min_each
