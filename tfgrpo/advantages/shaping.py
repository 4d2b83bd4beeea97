"""Reward shaping before normalization: length, truncation, and one grader conditioning another."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tfgrpo.errors import UsageError


def soft_overlong(
    lengths: Sequence[float],
    *,
    max_length: int,
    cache: int,
    factor: float = 1.0,
    floor: float | None = -1.0,
) -> tuple[float, ...]:
    """DAPO's length penalty, to be added to the reward: 0, then a linear fall over the last `cache` tokens, then -1.

    Source: DAPO, arXiv 2503.14476, Eq. 13: 0 up to max_length - cache; ((max_length - cache) - |y|) / cache in between;
    -1 beyond max_length.

    Args:
        lengths: generated tokens of each rollout; nan where unknown.
        max_length: the real `max_tokens` of the sampling.
        cache: width of the soft zone in tokens; 0 makes a hard cut above `max_length`.
        factor: multiplies the slope, as in verl.
        floor: the lowest penalty; None lets it fall without end beyond `max_length`, as verl does.

    Returns:
        Penalties <= 0; nan for an unknown length.

    Raises:
        UsageError: `cache` is negative or larger than `max_length`.
    """
    if not 0 <= cache <= max_length:
        raise UsageError(f"cache is {cache} tokens; it must lie between 0 and max_length ({max_length})")
    return tuple(_penalty(length, max_length, cache, factor, floor) for length in lengths)


def _penalty(length: float, max_length: int, cache: int, factor: float, floor: float | None) -> float:
    if math.isnan(length):
        return math.nan
    if cache == 0:
        penalty = -factor if length > max_length else 0.0
    else:
        penalty = min((max_length - cache - length) / cache * factor, 0.0)
    return penalty if floor is None else max(penalty, floor)


def mask_truncated(rewards: Sequence[float], truncated: Sequence[bool]) -> tuple[float, ...]:
    """Rewards with nan where the rollout was cut at the token limit: unknown, not wrong.

    Source: DAPO's overlong filtering, arXiv 2503.14476, section 3.4. Use this or `soft_overlong` on one set of rewards:
    a masked rollout that is also penalized counts twice.

    Raises:
        UsageError: the two sequences differ in length.
    """
    if len(rewards) != len(truncated):
        raise UsageError(f"{len(rewards)} rewards but {len(truncated)} truncation flags; pass one flag per rollout")
    return tuple(math.nan if cut else float(r) for r, cut in zip(rewards, truncated, strict=True))


def condition(rewards: Sequence[float], on: Sequence[float], *, threshold: float) -> tuple[float, ...]:
    """r_k where r_l >= threshold, else 0: an easy grader pays only once the hard one is met.

    Source: GDPO, arXiv 2601.05242, Eq. 8; applied before normalization.

    Args:
        rewards: r_k, the easy grader's values.
        on: r_l, the conditioning grader's values; where nan, the outcome is unknown and so is the result.
        threshold: t, in the unit of `on`.

    Raises:
        UsageError: the two sequences differ in length.
    """
    if len(rewards) != len(on):
        raise UsageError(f"{len(rewards)} rewards but {len(on)} conditions; pass one per rollout")
    return tuple(
        math.nan if math.isnan(met) else float(r) if met >= threshold else 0.0
        for r, met in zip(rewards, on, strict=True)
    )
