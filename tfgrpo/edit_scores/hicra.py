"""HICRA: put the weight on what a rollout planned, not on how it calculated.

A^H = A + alpha |A| inside planning text, A elsewhere: success is amplified by 1 + alpha, and blame is DAMPENED to
1 - alpha. In context space this decides what the summarizer sees first. It is counterproductive where failures are
errors of execution (arithmetic, tool syntax): look at the kind of error first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfgrpo.edit_scores.kl import token_mean
from tfgrpo.edit_scores.surrogate import AdvantageRow, aggregate, spread_over
from tfgrpo.edit_scores.tokens import LogProbs, coverage, log_ratios, ratio
from tfgrpo.errors import UsageError


def planning_advantages(
    advantages_G: Sequence[AdvantageRow],
    planning_mask_G: Sequence[Sequence[int]],
    *,
    alpha: float = 0.2,
    recentre: bool = False,
) -> tuple[tuple[float, ...], ...]:
    """A^H_{i,t} = A_{i,t} + alpha |A_{i,t}| where the mask is set, else A_{i,t}.

    Source: HICRA, arXiv 2509.03646; its base is A_i = R_i - mean R.

    Args:
        advantages_G: per rollout or per token (or word, or sentence: any unit the mask has); nan counts as 0.
        planning_mask_G: 1 inside planning text, one row per rollout.
        alpha: emphasis, 0.2 in the paper.
        recentre: subtract the group's mean of A^H, so that the group sums to zero again. Ours, not the paper's.

    Raises:
        UsageError: masks and advantages do not match.
    """
    if len(advantages_G) != len(planning_mask_G):
        raise UsageError(f"{len(advantages_G)} advantages but {len(planning_mask_G)} masks; pass one per rollout")
    rows = []
    for advantage, mask in zip(advantages_G, planning_mask_G, strict=True):
        plain = [0.0 if math.isnan(a) else a for a in spread_over(advantage, len(mask))]
        rows.append(tuple(a + alpha * abs(a) if m else a for a, m in zip(plain, mask, strict=True)))
    filled = [row for row in rows if row]
    if not recentre or not filled:
        return tuple(rows)
    shift = aggregate(filled, "seq-mean-token-mean")
    return tuple(tuple(a - shift for a in row) for row in rows)


def mean_advantage(advantages_G_T: Sequence[Sequence[float]]) -> float:
    """Mean over all tokens of the group: the bias towards planning text that A^H builds in; nan without tokens."""
    return token_mean(advantages_G_T)


@dataclass(frozen=True, slots=True)
class HicraGain:
    """The hierarchy-aware score of an edit."""

    surrogate: float
    """mean_i mean_t rho A^H at the edit."""
    identity: float
    """The same at the edit that changes nothing; not 0, because A^H does not sum to zero."""
    gain: float
    """The difference: the number to compare. nan when no rollout could be scored."""
    coverage: float


def hicra_gain(
    logp_new_G: LogProbs,
    logp_old_G: LogProbs,
    advantages_G: Sequence[AdvantageRow],
    planning_mask_G: Sequence[Sequence[int]],
    *,
    alpha: float = 0.2,
    recentre: bool = False,
) -> HicraGain:
    """S(E_new) - S(identity) with S = mean_i mean_t rho_{i,t} A^H_{i,t}, unclipped.

    Source: the advantage of HICRA, arXiv 2509.03646, in the ratio surrogate of PPO; the difference is ours.

    Raises:
        UsageError: shapes do not match.
    """
    rows_d = log_ratios(logp_new_G, logp_old_G)
    rows_a = planning_advantages(advantages_G, planning_mask_G, alpha=alpha, recentre=recentre)
    if len(rows_d) != len(rows_a) or any(d and len(d) != len(a) for d, a in zip(rows_d, rows_a, strict=False)):
        raise UsageError("planning masks do not match the scored tokens; pass one mark per token of each rollout")
    pairs = [(d, a) for d, a in zip(rows_d, rows_a, strict=True) if d]
    moved = [[ratio(x) * y for x, y in zip(d, a, strict=True)] for d, a in pairs]
    value = aggregate(moved, "seq-mean-token-mean")
    identity = aggregate([a for _, a in pairs], "seq-mean-token-mean")
    return HicraGain(value, identity, value - identity, coverage(rows_d))
