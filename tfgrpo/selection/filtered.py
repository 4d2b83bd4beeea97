"""GFPO: sample more, teach from the few that are short or worth their tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tfgrpo.advantages.grpo import grpo
from tfgrpo.advantages.moments import is_flat, present, quantile
from tfgrpo.advantages.values import Advantages
from tfgrpo.errors import UsageError

Metric = Literal["length", "reward/length", "shifted reward/length"]
Order = Literal["ascending", "descending"]


@dataclass(frozen=True, slots=True)
class Filtered:
    """The rollouts of a group that teach, and their advantages."""

    selected: tuple[int, ...]
    """Indexes in ascending order; empty when nothing may be selected, never a silent fallback to all."""
    advantages: Advantages
    """Among the selected; exactly 0 for the others. Degenerate when the selection is flat."""
    metric_G: tuple[float, ...]
    """What the rollouts were ranked by; nan for those that could not be selected."""


def gfpo(
    rewards: Sequence[float],
    lengths: Sequence[float],
    k: int,
    *,
    metric: Metric = "length",
    order: Order | None = None,
    stratified: bool = False,
    ddof: int = 0,
    eps: float = 0.0,
) -> Filtered:
    """Select k rollouts by a metric; A_i = m_i (R_i - mean_S) / (std_S + eps) over the selection S.

    Source: GFPO, arXiv 2508.09726, Alg. 1 and Eq. 2, with its population deviation.

    Args:
        rewards: one per rollout; nan where it failed or is unscored, and such a rollout is never selected.
        lengths: generated tokens of each rollout; nan takes a rollout out of the choice.
        k: how many to keep; at or above the group size nothing is filtered.
        metric: `length`; `reward/length` (token efficiency, undefined for length 0); or the latter with rewards shifted
            to start at 0, because with negative rewards R/|y| prefers the longer failure.
        order: best first; by default `ascending` for length, else `descending`. Ties go to the lowest index (the paper
            leaves them open).
        stratified: when the selection is flat and the group is not, replace its last-ranked member by the best-ranked
            rollout with another reward. Ours, not the paper's.
        ddof: 0 for the population deviation, 1 for the sample (TRL).
        eps: added to the deviation.

    Raises:
        UsageError: k is negative, the metric is unknown, or lengths do not match rewards.
    """
    if k < 0:
        raise UsageError(f"k is {k}; it is the number of rollouts to keep and cannot be negative")
    values = _metric(rewards, lengths, metric)
    sign = -1.0 if (order or ("ascending" if metric == "length" else "descending")) == "descending" else 1.0
    ranked = sorted((i for i, v in enumerate(values) if not math.isnan(v)), key=lambda i: sign * values[i])
    chosen = _stratify(ranked, k, rewards) if stratified else ranked[:k]
    masked = [r if i in set(chosen) else math.nan for i, r in enumerate(rewards)]
    return Filtered(tuple(sorted(chosen)), grpo(masked, ddof=ddof, eps=eps), values)


def _metric(rewards: Sequence[float], lengths: Sequence[float], metric: str) -> tuple[float, ...]:
    if len(rewards) != len(lengths):
        raise UsageError(f"{len(rewards)} rewards but {len(lengths)} lengths; pass one length per rollout")
    if metric not in ("length", "reward/length", "shifted reward/length"):
        raise UsageError(f"metric {metric!r} is unknown; choose length, reward/length or shifted reward/length")
    shift = min((0.0, *present(rewards))) if metric == "shifted reward/length" else 0.0
    values = []
    for reward, length in zip(rewards, lengths, strict=True):
        if math.isnan(reward) or math.isnan(length):
            values.append(math.nan)
        elif metric == "length":
            values.append(float(length))
        else:
            values.append((reward - shift) / length if length > 0 else math.nan)
    return tuple(values)


def _stratify(ranked: list[int], k: int, rewards: Sequence[float]) -> list[int]:
    chosen, rest = ranked[:k], ranked[k:]
    if len(chosen) < 2 or not is_flat([rewards[i] for i in chosen]):
        return chosen
    others = [i for i in rest if not is_flat([rewards[i], rewards[chosen[0]]])]
    return [*chosen[:-1], others[0]] if others else chosen


@dataclass(frozen=True, slots=True)
class AdaptiveK:
    """How many rollouts to keep, by how hard the problem is among those seen."""

    very_hard: int = 8
    """Mean reward below the first quartile; also used until enough is known."""
    hard: int = 8
    medium: int = 6
    easy: int = 4
    """Mean reward at or above the third quartile."""
    min_history: int = 8
    """Group means needed before quartiles are trusted; the paper gives no number."""


def difficulty_quartiles(history: Sequence[float]) -> tuple[float, float, float]:
    """The three quartiles of all group means so far, linearly interpolated; nan without history.

    Deterministic sorted-list quantiles stand where GFPO, arXiv 2508.09726, Alg. 2 has a t-digest.
    """
    return quantile(history, 0.25), quantile(history, 0.5), quantile(history, 0.75)


def adaptive_k(mean_reward: float, history: Sequence[float], schedule: AdaptiveK | None = None) -> int:
    """Size k for a group with this mean reward: very hard below q25, hard below q50, medium below q75, else easy.

    Source: GFPO, arXiv 2508.09726, section 3.1, Alg. 2; the comparisons are strict, so a mean equal to q75 is easy.

    Args:
        mean_reward: of the group; nan (nothing graded) counts as very hard.
        history: group means so far, this one included; nan is left out.
        schedule: the four sizes and the warm-up.
    """
    (k,) = adaptive_sizes([mean_reward], history, schedule)
    return k


def adaptive_sizes(
    means: Sequence[float], history: Sequence[float], schedule: AdaptiveK | None = None
) -> tuple[int, ...]:
    """`adaptive_k` for each group of a batch; the quartiles of the history are taken once."""
    sizes = schedule or AdaptiveK()
    if len(present(history)) < sizes.min_history:
        return (sizes.very_hard,) * len(means)
    q25, q50, q75 = difficulty_quartiles(history)

    def size(mean: float) -> int:
        if math.isnan(mean) or mean < q25:
            return sizes.very_hard
        if mean < q50:
            return sizes.hard
        return sizes.medium if mean < q75 else sizes.easy

    return tuple(map(size, means))


def excess_length_reduction(sft: float, grpo_length: float, gfpo_length: float) -> float:
    """(L_GRPO - L_GFPO) / (L_GRPO - L_SFT): the share of the length that GRPO added and GFPO took away.

    Source: GFPO, arXiv 2508.09726, Eq. 4. Lengths in any common unit; nan when GRPO added nothing.
    """
    added = grpo_length - sft
    return (grpo_length - gfpo_length) / added if added else math.nan
