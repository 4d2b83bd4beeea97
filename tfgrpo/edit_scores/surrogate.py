"""The clipped surrogate as a pessimistic score of an edit: PPO, GRPO, Dr.GRPO, DAPO and GFPO differ in the averaging.

J = aggregate over i, t of min(rho A, clip(rho, 1 - low, 1 + high) A), to be maximized. The minimum keeps an edit from
winning by pushing a few tokens of one good rollout to huge ratios. Only the value at a finite edit is used; nothing is
optimized. The identity edit does not always score 0, so compare `gain`, never `value`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tfgrpo.edit_scores.kl import kl_tokens, token_mean
from tfgrpo.edit_scores.tokens import LogProbs, coverage, log_ratios, ratio
from tfgrpo.errors import UsageError

Aggregation = Literal[
    "seq-mean-token-mean", "token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm", "constant-length"
]
"""`seq-mean-token-mean`: 1/G sum 1/|y| (PPO, GRPO). `token-mean`: 1/sum|y| (DAPO, GFPO). `seq-mean-token-sum`: 1/G.
`seq-mean-token-sum-norm`: 1/scale, as verl writes it. `constant-length`: 1/(G scale), Dr.GRPO."""

AdvantageRow = float | Sequence[float]
"""One advantage for all tokens of a rollout, or one per token."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Widths of the trust region around ratio 1."""

    low: float
    """A ratio below 1 - low earns nothing more for a bad rollout."""
    high: float
    """A ratio above 1 + high earns nothing more for a good rollout."""
    dual: float | None = None
    """Dual clip (arXiv 1912.09729): with A < 0 the term never falls below dual * A; None leaves it open."""


CLIPS: Mapping[str, Clip] = MappingProxyType(
    {
        "ppo": Clip(0.2, 0.2),
        "dapo": Clip(0.2, 0.28),
        "verl": Clip(0.2, 0.2, dual=3.0),
        "gspo": Clip(3e-4, 4e-4),
        "grpo-in-gspo-paper": Clip(0.2, 0.27),
        "unclipped": Clip(math.inf, math.inf),
    }
)
"""Published widths, sized for one optimizer step. An edit moves far more: calibrate with `clip_from_floor`, or rank
edits with `unclipped`, since a clip that bites hides how much better one is than another."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """The score of an edit, with what is needed to doubt it."""

    value: float
    """J(E_new); nan when nothing could be scored."""
    gain: float
    """J(E_new) - J(E_old): the number to compare."""
    unclipped: float
    """The same average of rho A, without clip and penalty."""
    per_token: tuple[tuple[float, ...], ...]
    """Clipped terms without the KL penalty; () for a rollout left out."""
    clip_fraction: float
    """Share of pooled tokens on which the clip bit."""
    coverage: float
    """Share of rollouts that could be scored on both sides."""

    @property
    def valid(self) -> bool:
        """False when no rollout could be scored."""
        return not math.isnan(self.value)


def surrogate(
    logp_new_G: LogProbs,
    logp_old_G: LogProbs,
    advantages_G: Sequence[AdvantageRow],
    clip: Clip,
    *,
    aggregation: Aggregation = "seq-mean-token-mean",
    scale: float | None = None,
    beta: float = 0.0,
    logp_ref_G: LogProbs | None = None,
) -> Surrogate:
    """J(E_new), with an optional penalty beta * k3(new || reference) per token.

    Source (arXiv): PPO 1707.06347 Eq. 7; GRPO 2402.03300 Eq. 3; DAPO 2503.14476 Eq. 8; Dr.GRPO 2503.20783 sec. 3.

    Args:
        logp_new_G: log-probs of stored rollouts under the edited library.
        logp_old_G: of the same tokens under the current one, from the same scorer.
        advantages_G: a rollout with a nan advantage is left out.
        clip: trust region.
        aggregation: how tokens are averaged.
        scale: constant length, for the two aggregations that divide by one.
        beta: weight of the KL penalty.
        logp_ref_G: log-probs under the reference library, needed with `beta`.

    Raises:
        UsageError: shapes do not match, or an argument that the others ask for is missing.
    """
    rows_d = log_ratios(logp_new_G, logp_old_G)
    costs_new, costs_old = _penalties(logp_new_G, logp_old_G, logp_ref_G, beta)
    kept = _usable(rows_d, advantages_G, [not beta or bool(cost) for cost in costs_new])
    plain = {i: [ratio(d) * a for d, a in zip(rows_d[i], kept[i], strict=True)] for i in kept}
    clipped = {i: [clipped_term(ratio(d), a, clip) for d, a in zip(rows_d[i], kept[i], strict=True)] for i in kept}

    def average(rows: Mapping[int, Sequence[float]], costs: LogProbs) -> float:
        return aggregate([_less(rows[i], costs[i], beta) for i in kept], aggregation, scale=scale)

    value = average(clipped, costs_new)
    gain, unclipped = value - average(kept, costs_old), average(plain, ((),) * len(rows_d))
    bites = token_mean([[float(c < p) for c, p in zip(clipped[i], plain[i], strict=True)] for i in kept])
    per_token = tuple(tuple(clipped.get(i, ())) for i in range(len(rows_d)))
    return Surrogate(value, gain, unclipped, per_token, bites, coverage(per_token))


def worth_testing(score: Surrogate, *, floor: float = 0.0, cap: float = 1.0) -> bool:
    """True when the gain exceeds the noise floor and the clip bit on at most a share `cap` of the tokens.

    Such an edit is worth fresh paired rollouts; this never accepts one by itself.
    """
    return score.gain > floor and score.clip_fraction <= cap


def clipped_term(rho: float, advantage: float, clip: Clip) -> float:
    """min(rho A, clip(rho) A), and with a dual clip at least dual * A where A < 0."""
    near = min(max(rho, 1.0 - clip.low), 1.0 + clip.high)
    term = min(rho * advantage, near * advantage)
    return max(term, clip.dual * advantage) if clip.dual is not None and advantage < 0 else term


def identity_value(
    advantages_G: Sequence[AdvantageRow],
    lengths_G: Sequence[int],
    *,
    aggregation: Aggregation = "seq-mean-token-mean",
    scale: float | None = None,
) -> float:
    """J of the edit that changes nothing: the average advantage, weighted by length unless per rollout.

    A rollout with length 0 or a nan advantage is left out; nan when none remains.
    """
    rows = [spread_over(a, length) for a, length in zip(advantages_G, lengths_G, strict=True) if length]
    return aggregate([row for row in rows if not _has_nan(row)], aggregation, scale=scale)


def aggregate(rows: Sequence[Sequence[float]], aggregation: Aggregation, *, scale: float | None = None) -> float:
    """One number from per-token terms of non-empty rows; nan without rows. See `Aggregation` for the kinds.

    Raises:
        UsageError: the kind is unknown, or it needs a positive `scale`.
    """
    if aggregation in ("seq-mean-token-sum-norm", "constant-length") and (scale is None or scale <= 0):
        raise UsageError(f"aggregation {aggregation!r} divides by a constant length; pass a positive scale")
    if not rows:
        return math.nan
    total = math.fsum(x for row in rows for x in row)
    if aggregation == "seq-mean-token-mean":
        return math.fsum(math.fsum(row) / len(row) for row in rows) / len(rows)
    if aggregation == "token-mean":
        return token_mean(rows)
    if aggregation == "seq-mean-token-sum":
        return total / len(rows)
    if aggregation == "seq-mean-token-sum-norm":
        return total / (scale or 1.0)
    if aggregation == "constant-length":
        return total / ((scale or 1.0) * len(rows))
    raise UsageError(f"aggregation {aggregation!r} is unknown; see tfgrpo.edit_scores.surrogate.Aggregation")


def spread_over(advantage: AdvantageRow, length: int) -> tuple[float, ...]:
    """One advantage per token.

    Raises:
        UsageError: per-token advantages that do not match the length.
    """
    if isinstance(advantage, int | float):
        return (float(advantage),) * length
    if len(advantage) != length:
        raise UsageError(f"{len(advantage)} advantages for {length} tokens; pass one per token or one per rollout")
    return tuple(advantage)


def _usable(
    rows_d: Sequence[Sequence[float]], advantages_G: Sequence[AdvantageRow], allowed: Sequence[bool]
) -> dict[int, tuple[float, ...]]:
    if len(advantages_G) != len(rows_d):
        raise UsageError(f"{len(advantages_G)} advantages for {len(rows_d)} rollouts; pass one per rollout")
    rows = {i: spread_over(advantages_G[i], len(row)) for i, row in enumerate(rows_d) if row and allowed[i]}
    return {i: row for i, row in rows.items() if not _has_nan(row)}


def _penalties(
    logp_new_G: LogProbs, logp_old_G: LogProbs, logp_ref_G: LogProbs | None, beta: float
) -> tuple[Sequence[Sequence[float]], Sequence[Sequence[float]]]:
    if beta == 0.0:
        return ((),) * len(logp_new_G), ((),) * len(logp_new_G)
    if logp_ref_G is None:
        raise UsageError("a KL penalty (beta) needs the log-probs under the reference library; pass logp_ref_G")
    return kl_tokens(logp_new_G, logp_ref_G), kl_tokens(logp_old_G, logp_ref_G)


def _less(row: Sequence[float], costs: Sequence[float], beta: float) -> Sequence[float]:
    return [x - beta * cost for x, cost in zip(row, costs, strict=True)] if costs else row


def _has_nan(values: Sequence[float]) -> bool:
    return any(math.isnan(value) for value in values)
