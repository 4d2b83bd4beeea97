"""What an edit score must exceed before it means anything, and what must not fall.

The floor comes from null edits: re-scoring the same library, reordering its lessons, paraphrasing without a change of
meaning. Measure two floors, one by re-scoring (the measurement) and one by paraphrase (the meaning). Inside the floor
an edit is indistinguishable from none; it is not accepted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfgrpo.advantages.moments import mean, quantile
from tfgrpo.edit_scores.surrogate import Clip
from tfgrpo.errors import UsageError


def noise_floor(null_shifts: Sequence[float], *, q: float = 0.95, method: str = "linear") -> float:
    """Quantile of |mean log-ratio| over null edits, in the unit of the shifts (nats per token); nan without any.

    Args:
        null_shifts: mean log-ratio of each null edit; nan is left out.
        q: quantile in [0, 1].
        method: `linear`, `lower` or `higher`.
    """
    return quantile([abs(x) for x in null_shifts], q, method=method)


def distinguishable(shift: float, floor: float) -> bool:
    """True when |shift| exceeds the floor; False for a nan on either side, because nothing was shown."""
    return abs(shift) > floor


def clip_from_floor(floor: float, *, multiple: float = 3.0) -> Clip:
    """A trust region of `multiple` noise floors for length-normalized ratios, instead of a published width.

    Raises:
        UsageError: the floor is unknown or negative.
    """
    if not floor >= 0:
        raise UsageError(f"the noise floor is {floor}; score some null edits first")
    return Clip(multiple * floor, multiple * floor)


@dataclass(frozen=True, slots=True)
class ImportanceWeights:
    """Whether sequence importance weights can carry an estimate of value."""

    ess: float
    """Kish effective sample size, between 1 and the number of rollouts; 0 without any."""
    ess_fraction: float
    """ess divided by the number of scored rollouts, in [0, 1]."""
    valid: bool
    """False when no rollout was scored."""

    @property
    def usable(self) -> bool:
        """True at half the rollouts or more; below, report rankings only."""
        return self.ess_fraction >= 0.5


def effective_sample_size(sum_log_ratios_G: Sequence[float]) -> ImportanceWeights:
    """Kish (sum w)^2 / sum w^2 with w_i = exp(D_i), stable for any finite D; nan is left out.

    A KL of 0.05 nats per token is 50 nats over 1000 tokens: exact weights collapse to one rollout.
    """
    d = [x for x in sum_log_ratios_G if not math.isnan(x)]
    if not d:
        return ImportanceWeights(0.0, 0.0, valid=False)
    largest = max(d)
    w = [math.exp(x - largest) for x in d]
    ess = math.fsum(w) ** 2 / math.fsum(x * x for x in w)
    return ImportanceWeights(ess, ess / len(d), valid=True)


@dataclass(frozen=True, slots=True)
class ForgettingVeto:
    """Whether an edit makes what was solved less likely."""

    mean_P: tuple[float, ...]
    """Mean log-ratio per token over the correct rollouts of each problem; nan where it has none."""
    veto: bool
    """True when any of them falls below minus the noise floor."""


def forgetting_veto(mean_log_ratios_P_G: Sequence[Sequence[float]], *, noise_floor: float) -> ForgettingVeto:
    """Veto an edit under which the correct rollouts of any solved problem lose more than the noise floor.

    Args:
        mean_log_ratios_P_G: D_i / |y_i| of the correct rollouts only, one row per problem; nan where not scored.
        noise_floor: in nats per token, from `noise_floor`.

    Raises:
        UsageError: the floor is unknown or negative; a veto without one would say nothing.
    """
    if not noise_floor >= 0:
        raise UsageError(f"the noise floor is {noise_floor}; score some null edits first")
    means = tuple(mean(row) for row in mean_log_ratios_P_G)
    return ForgettingVeto(means, any(m < -noise_floor for m in means))


def log_prob(logits: Sequence[float], token: int, *, temperature: float = 1.0) -> float:
    """Return log softmax(logits / T)[token], in nats.

    Servers report prompt log-probs at T = 1; a rollout drawn at another T is off-policy for what they measure.

    Raises:
        UsageError: the temperature is not positive.
    """
    if not temperature > 0:
        raise UsageError(f"temperature is {temperature}; log-probs need a positive one")
    scaled = [x / temperature for x in logits]
    largest = max(scaled)
    return scaled[token] - largest - math.log(math.fsum(math.exp(x - largest) for x in scaled))
