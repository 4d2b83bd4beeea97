"""How far a policy moved, estimated from tokens it or its predecessor drew, and how hard to punish that.

The roles matter: an estimator is unbiased for KL(sampled || other) when the tokens were drawn from `sampled` at
temperature 1. For an edit the stored rollouts come from the old library, so sampled = old and other = new. GRPO's
penalty has sampled = current and other = reference. Swapping them is the commonest mistake.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from tfgrpo.edit_scores.tokens import LogProbs, log_ratios
from tfgrpo.errors import UsageError

Estimator = Literal["k1", "k2", "k3"]

KL_CLAMP = 20.0
"""Bound on the log-ratio inside k3."""


def kl_tokens(sampled_G: LogProbs, other_G: LogProbs, estimator: Estimator = "k3") -> tuple[tuple[float, ...], ...]:
    """Per-token estimates of KL(sampled || other) with r = log other - log sampled; () for an unusable rollout.

    k1 = -r (unbiased, can be negative and then disables a penalty); k2 = r^2 / 2; k3 = exp(r) - 1 - r >= 0 (unbiased,
    r clamped to +-20). Source of k3: DeepSeekMath, arXiv 2402.03300, Eq. 4.

    Raises:
        UsageError: the estimator is unknown or the sides do not match.
    """
    if estimator not in ("k1", "k2", "k3"):
        raise UsageError(f"KL estimator {estimator!r} is unknown; choose k1, k2 or k3")
    return tuple(tuple(_term(r, estimator) for r in row) for row in log_ratios(other_G, sampled_G))


def kl(sampled_G: LogProbs, other_G: LogProbs, estimator: Estimator = "k3") -> float:
    """Mean of `kl_tokens` over all tokens pooled, in nats per token; nan when no rollout is usable."""
    return token_mean(kl_tokens(sampled_G, other_G, estimator))


def token_mean(rows_G: Sequence[Sequence[float]]) -> float:
    """Mean over all tokens of all rollouts pooled; nan when there is none."""
    tokens = [value for row in rows_G for value in row]
    return math.fsum(tokens) / len(tokens) if tokens else math.nan


def _term(r: float, estimator: str) -> float:
    if estimator == "k1":
        return -r
    if estimator == "k2":
        return r * r / 2.0
    clamped = min(max(r, -KL_CLAMP), KL_CLAMP)
    return max(math.expm1(clamped) - clamped, 0.0)


def adaptive_beta(beta: float, kl_value: float, d_targ: float) -> float:
    """Halve beta when KL < d_targ / 1.5, double it when KL > 1.5 d_targ, else keep it; also for an unknown (nan) KL.

    Source: PPO, arXiv 1707.06347, section 4. Here it is applied per accepted edit, with `d_targ` calibrated.
    """
    if kl_value < d_targ / 1.5:
        return beta / 2.0
    return beta * 2.0 if kl_value > 1.5 * d_targ else beta


def proportional_beta(
    beta: float, kl_value: float, *, target: float, n_steps: int, horizon: float = 10_000, clip: float = 0.2
) -> float:
    """Return beta * (1 + clip(KL / target - 1, -clip, clip) * n_steps / horizon); unchanged for an unknown (nan) KL.

    Source: Fine-Tuning Language Models from Human Preferences, arXiv 1909.08593.

    Raises:
        UsageError: target or horizon is not positive.
    """
    if target <= 0 or horizon <= 0:
        raise UsageError("target and horizon of the KL controller must be positive")
    if math.isnan(kl_value):
        return beta
    error = min(max(kl_value / target - 1.0, -clip), clip)
    return beta * (1.0 + error * n_steps / horizon)
