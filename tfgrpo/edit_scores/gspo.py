"""GSPO: one length-normalized ratio per rollout, the steadiest measure of what an edit did to known rollouts.

s_i = exp(D_i / |y_i|). Measurement noise averages out along the sequence, but the 1/|y| power means this ranks edits;
it does not estimate their reward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfgrpo.advantages.moments import mean
from tfgrpo.edit_scores.surrogate import AdvantageRow, Clip, aggregate, clipped_term, spread_over
from tfgrpo.edit_scores.tokens import LogProbs, log_ratios, mean_log_ratios, ratio
from tfgrpo.errors import UsageError


@dataclass(frozen=True, slots=True)
class Outside:
    """Shares of the scored rollouts whose ratio left the trust region, by side and by sign of the advantage."""

    left_good: float = 0.0
    """Good rollouts that became much less likely: forgetting."""
    left_bad: float = 0.0
    right_good: float = 0.0
    right_bad: float = 0.0
    """Bad rollouts that became much likelier."""


@dataclass(frozen=True, slots=True)
class Gspo:
    """The sequence-level score of an edit."""

    ratios_G: tuple[float, ...]
    """s_i; nan where a rollout could not be scored."""
    value: float
    """J(E_new); nan when nothing could be scored."""
    gain: float
    """J(E_new) minus its value at the identity edit."""
    size: float
    """Mean |D_i| / |y_i|, in nats per token: how much the edit changed known behaviour."""
    fraction_outside: float
    """Share of scored rollouts outside the trust region."""
    outside: Outside
    coverage: float
    """Share of rollouts that could be scored on both sides."""

    @property
    def valid(self) -> bool:
        """False when no rollout could be scored."""
        return not math.isnan(self.value)


def sequence_ratios(mean_log_ratios_G: Sequence[float]) -> tuple[float, ...]:
    """s_i = exp(D_i / |y_i|) from log-ratios in nats per token; nan stays nan.

    Source: GSPO, arXiv 2507.18071, Eq. 7. An empty response has no ratio; it is not 1.
    """
    return tuple(ratio(d) for d in mean_log_ratios_G)


def outside(s: float, clip: Clip) -> bool:
    """True when the ratio lies strictly outside [1 - low, 1 + high]; False for nan."""
    return s < 1.0 - clip.low or s > 1.0 + clip.high


def gspo(logp_new_G: LogProbs, logp_old_G: LogProbs, advantages_G: Sequence[AdvantageRow], clip: Clip) -> Gspo:
    """J = 1/G sum_i 1/|y_i| sum_t min(s_i A_{i,t}, clip(s_i) A_{i,t}): GSPO, or GSPO-token with per-token advantages.

    Source: GSPO, arXiv 2507.18071, Eq. 5 and section 4.3. Equal advantages along a rollout make both the same.

    Args:
        logp_new_G: log-probs of stored rollouts under the edited library.
        logp_old_G: of the same tokens under the current one, from the same scorer.
        advantages_G: per rollout or per token; a rollout with a nan advantage is left out.
        clip: calibrate it; the published 3e-4 / 4e-4 lies below the noise of the measurement.

    Raises:
        UsageError: shapes do not match.
    """
    if len(advantages_G) != len(logp_new_G):
        raise UsageError(f"{len(advantages_G)} advantages for {len(logp_new_G)} rollouts; pass one per rollout")
    shifts = mean_log_ratios(logp_new_G, logp_old_G)
    ratios = sequence_ratios(shifts)
    rows = {
        i: spread_over(advantages_G[i], len(row)) for i, row in enumerate(log_ratios(logp_new_G, logp_old_G)) if row
    }
    rows = {i: row for i, row in rows.items() if not any(math.isnan(a) for a in row)}
    terms = [[clipped_term(ratios[i], a, clip) for a in row] for i, row in rows.items()]
    value = aggregate(terms, "seq-mean-token-mean")
    identity = aggregate(list(rows.values()), "seq-mean-token-mean")
    sides = _outside([(ratios[i], math.fsum(row)) for i, row in rows.items()], clip)
    left = [outside(ratios[i], clip) for i in rows]
    return Gspo(
        ratios,
        value,
        value - identity,
        mean(abs(d) for d in shifts),
        mean(float(x) for x in left),
        sides,
        len(rows) / len(ratios) if ratios else math.nan,
    )


def _outside(pairs: Sequence[tuple[float, float]], clip: Clip) -> Outside:
    def share(*, left: bool, good: bool) -> float:
        hits = [(s < 1.0 - clip.low if left else s > 1.0 + clip.high) and (a > 0 if good else a < 0) for s, a in pairs]
        return sum(hits) / len(hits) if hits else 0.0

    return Outside(
        share(left=True, good=True),
        share(left=True, good=False),
        share(left=False, good=True),
        share(left=False, good=False),
    )
