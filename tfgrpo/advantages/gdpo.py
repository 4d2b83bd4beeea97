"""GDPO: normalize each grader on its own before adding, so that one grader cannot hide another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfgrpo.advantages.moments import FLAT, check_ddof, standardized
from tfgrpo.advantages.values import Advantages
from tfgrpo.errors import UsageError

RESIDUE = 1e-3
"""Spread of a batch, as a share of the largest part of a grader, below which scaling would enlarge what is left where
graders cancel, rounding included; the batch is then divided by that share. Ours: Eq. 6 has no such bound."""


@dataclass(frozen=True, slots=True)
class GdpoAdvantages(Advantages):
    """Advantages with the part that each grader contributed."""

    per_grader_G_K: tuple[tuple[float, ...], ...] = ()
    """Group-normalized value of each grader before weighting, nan where it gave none. Shown to the summarizer."""


def gdpo(
    rewards_G_K: Sequence[Sequence[float]],
    weights: Sequence[float] | None = None,
    *,
    ddof: int = 1,
    eps: float = 1e-6,
) -> GdpoAdvantages:
    """A_i = sum_k w_k (r_{i,k} - mean_k) / (std_k + eps), statistics per grader over one group.

    Source: GDPO, arXiv 2601.05242, Eq. 4, 5 and 7. For conditioning (Eq. 8) see `condition`; for the optional scale
    over a batch (Eq. 6) see `scale_batch`.

    Args:
        rewards_G_K: one row per rollout, one column per grader; nan where a grader gave no value.
        weights: one per grader; all 1 when absent.
        ddof: 1 for the sample deviation, 0 for the population.
        eps: added to each deviation.

    Returns:
        A missing value is left out of its grader's statistics and adds 0; a grader that is flat in the group adds
        exactly 0. Degenerate when nothing is left, graders that cancel exactly included.

    Raises:
        UsageError: rows differ in length, or weights do not match the graders.
    """
    weights_K = _weights(rewards_G_K, weights)
    columns = [standardized([row[k] for row in rewards_G_K], ddof=ddof, eps=eps) for k in range(len(weights_K))]
    rows = [tuple(column[i] for column in columns) for i in range(len(rewards_G_K))]
    parts = [[w * a for w, a in zip(weights_K, row, strict=True)] for row in rows]
    sums = tuple(math.fsum(part) for part in parts)
    largest = max((abs(value) for part in parts for value in part), default=0.0)
    degenerate = all(abs(total) <= FLAT * largest for total in sums)
    shown = tuple(
        tuple(math.nan if math.isnan(r) else a for r, a in zip(rewards, row, strict=True))
        for rewards, row in zip(rewards_G_K, rows, strict=True)
    )
    return GdpoAdvantages((0.0,) * len(sums) if degenerate else sums, degenerate, shown)


def scale_batch(
    groups_P: Sequence[GdpoAdvantages],
    *,
    ddof: int = 1,
    eps: float = 1e-6,
    eps_in_variance: bool = False,
    lengths_P_G: Sequence[Sequence[int]] | None = None,
    reset_degenerate: bool = True,
) -> tuple[Advantages, ...]:
    """(A - mean) / (std + eps) over all rollouts of all groups, so that groups can be compared with each other.

    Source: GDPO, arXiv 2601.05242, Eq. 6. The mean is 0 by construction, so this only rescales, and never by more than
    1 / (RESIDUE times the largest part): where graders all but cancel, what is left stays small.

    Args:
        groups_P: results of `gdpo`. Rollouts without any grader value are left out of the statistics and stay 0.
        ddof: 1 for the sample deviation, 0 for the population.
        eps: added to the deviation.
        eps_in_variance: divide by sqrt(variance + eps) instead.
        lengths_P_G: weights by tokens, as the NVlabs verl port does against Eq. 6; the mean is then not 0.
        reset_degenerate: keep degenerate groups at exactly 0; off only to reproduce that port's leak.

    Returns:
        One per group. All zero and degenerate when the batch has no spread.
    """
    check_ddof(ddof)
    weighted = [
        (a, 1 if lengths_P_G is None else lengths_P_G[p][i])
        for p, group in enumerate(groups_P)
        for i, a in enumerate(group.values)
        if _graded(group, i)
    ]
    if sum(weight for _, weight in weighted) <= ddof or all(group.degenerate for group in groups_P):
        return tuple(Advantages((0.0,) * len(group), degenerate=True) for group in groups_P)
    middle, variance = _moments(weighted, ddof)
    parts = [abs(a) for g in groups_P for row in g.per_grader_G_K for a in row if not math.isnan(a)]
    least = RESIDUE * max(parts, default=0.0)
    variance = max(variance, least * least)
    divisor = math.sqrt(variance + eps) if eps_in_variance else math.sqrt(variance) + eps
    heard = [[_graded(g, i) and not (reset_degenerate and g.degenerate) for i in range(len(g))] for g in groups_P]
    return tuple(
        Advantages(tuple((a - middle) / divisor if h else 0.0 for a, h in zip(g, flags, strict=True)), g.degenerate)
        for g, flags in zip(groups_P, heard, strict=True)
    )


def _weights(rewards_G_K: Sequence[Sequence[float]], weights: Sequence[float] | None) -> tuple[float, ...]:
    graders = len(rewards_G_K[0]) if rewards_G_K else 0
    if any(len(row) != graders for row in rewards_G_K):
        raise UsageError("rollouts have different numbers of grader values; put nan where a grader gave none")
    if weights is None or not rewards_G_K:
        return (1.0,) * graders
    if len(weights) != graders:
        raise UsageError(f"{len(weights)} weights for {graders} graders; pass one weight per grader")
    return tuple(weights)


def _moments(weighted: Sequence[tuple[float, float]], ddof: int) -> tuple[float, float]:
    total = math.fsum(weight for _, weight in weighted)
    middle = math.fsum(a * weight for a, weight in weighted) / total
    return middle, math.fsum(weight * (a - middle) ** 2 for a, weight in weighted) / (total - ddof)


def _graded(group: GdpoAdvantages, index: int) -> bool:
    return not all(math.isnan(a) for a in group.per_grader_G_K[index])
