"""GVPO: an edit is good when its movement follows the reward by more than half its own variance.

With theta' the current library and theta the edited one, the loss is half the variance of (implicit reward - reward)
within a problem; log Z cancels because weights sum to 0. The identity edit costs Var(R)/2, so

    gain = Cov(beta D, R) - Var(beta D) / 2

is 0 for no change, punishes unrewarded movement, and needs no trust region. D is the SUM over tokens, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfgrpo.advantages.moments import centred, is_flat, standardized, std
from tfgrpo.errors import UsageError


@dataclass(frozen=True, slots=True)
class Gvpo:
    """The score of an edit on the rollouts of one problem. Rollouts without log-ratio or reward are left out."""

    loss: float
    """nan with fewer than two complete rollouts."""
    gain: float
    """Loss of the identity edit minus this loss; > 0 accepts."""
    half_var_implicit: float
    cov: float
    """Cov(beta D, R)."""
    half_var_reward: float
    corr: float
    """Scale-free correlation of D and R in [-1, 1]; 0 when either is flat."""
    beta_star: float
    """Cov(D, R) / Var(D), the beta with the least loss; <= 0 means reject. 0 when D is flat. Fit it on another fold."""
    loss_at_beta_star: float
    """Var(R) (1 - corr^2) / 2."""
    implicit_reward_G: tuple[float, ...]
    """beta D; nan where unknown."""
    weights_G: tuple[float, ...]
    """(R - mean R) - beta (D - mean D), summing to 0; 0 where left out."""
    gradient_G: tuple[float, ...]
    """d loss / d log-prob = -beta w / (k - 1): which rollouts the loss pulls on."""
    valid: bool
    """False with fewer than two complete rollouts."""
    degenerate: bool
    """True when movement or reward is flat, so that their correlation says nothing."""


def gvpo(log_ratios_G: Sequence[float], rewards: Sequence[float], *, beta: float = 0.1) -> Gvpo:
    """Score an edit on one group.

    Source: GVPO, arXiv 2504.19599 (the MSE form with the 1/(k-1) estimator; Theorem 3.1 for the optimum).

    Args:
        log_ratios_G: D_i, sum over the tokens of a rollout of new minus old log-prob; nan where it could not be scored.
        rewards: R_i; nan where unscored.
        beta: converts nats to reward units; 0.1 in the paper. Raw D of long texts spreads over tens of nats, so report
            `corr` and `beta_star` rather than trust one beta. A flat-reward group still punishes relative movement.

    Raises:
        UsageError: the sequences differ in length.
    """
    d, r = _complete(log_ratios_G, rewards)
    k = sum(not math.isnan(x) for x in d)
    dev_d, dev_r = centred(d), centred(r)
    moved = tuple(beta * x for x in dev_d)
    weights = tuple(a - b for a, b in zip(dev_r, moved, strict=True))
    flat = is_flat(d) or is_flat(r)
    var_d, cov_dr, var_r = (_product(x, y, k) for x, y in ((dev_d, dev_d), (dev_d, dev_r), (dev_r, dev_r)))
    half_d, cov, half_r = beta * beta * var_d / 2.0, beta * cov_dr, var_r / 2.0
    corr = 0.0 if flat else _product(standardized(d), standardized(r), k)
    return Gvpo(
        loss=_product(weights, weights, k) / 2.0,
        gain=cov - half_d,
        half_var_implicit=half_d,
        cov=cov,
        half_var_reward=half_r,
        corr=corr if k > 1 else math.nan,
        beta_star=(0.0 if flat else corr * std(r) / std(d)) if k > 1 else math.nan,
        loss_at_beta_star=half_r * (1.0 - corr * corr),
        implicit_reward_G=tuple(beta * x for x in log_ratios_G),
        weights_G=weights,
        gradient_G=tuple(-beta * w / (k - 1) for w in weights) if k > 1 else (0.0,) * len(weights),
        valid=k > 1,
        degenerate=flat,
    )


def gvpo_len_norm(
    log_ratios_G: Sequence[float], lengths_G: Sequence[int], rewards: Sequence[float], *, beta: float = 0.1
) -> Gvpo:
    """`gvpo` on D_i / |y_i|: our variant, less noisy over long rollouts, but no longer GVPO (its optimum is lost).

    A rollout of length 0 is left out. Choose beta in reward units per nat per token.
    """
    per_token = [d / n if n else math.nan for d, n in zip(log_ratios_G, lengths_G, strict=True)]
    return gvpo(per_token, rewards, beta=beta)


@dataclass(frozen=True, slots=True)
class PooledGvpo:
    """GVPO over many problems: centred within each, then pooled."""

    loss: float
    """Mean loss over the problems with at least two complete rollouts; nan without any."""
    gain: float
    """Mean gain over the same problems."""
    corr: float
    """Correlation of the centred D and R of all problems, each weighted 1/(k-1); 0 when either is flat."""
    beta_star: float
    """Pooled Cov / Var(D); 0 when D is flat."""
    problems: int
    """How many problems counted."""


def gvpo_pooled(
    log_ratios_P_G: Sequence[Sequence[float]], rewards_P_G: Sequence[Sequence[float]], *, beta: float = 0.1
) -> PooledGvpo:
    """Score an edit over problems; with two rollouts a problem alone has correlation +-1, so pool before correlating.

    Bootstrap over problems, not rollouts, for an interval.
    """
    scores = [gvpo(d, r, beta=1.0) for d, r in zip(log_ratios_P_G, rewards_P_G, strict=True)]
    scores = [score for score in scores if score.valid]
    if not scores:
        return PooledGvpo(math.nan, math.nan, math.nan, math.nan, 0)
    var_d = math.fsum(2.0 * score.half_var_implicit for score in scores)
    var_r = math.fsum(2.0 * score.half_var_reward for score in scores)
    cov = math.fsum(score.cov for score in scores)
    corr = max(-1.0, min(1.0, cov / math.sqrt(var_d) / math.sqrt(var_r))) if var_d > 0 and var_r > 0 else 0.0
    gain = (beta * cov - beta * beta * var_d / 2.0) / len(scores)
    loss = var_r / 2.0 / len(scores) - gain
    return PooledGvpo(loss, gain, corr, cov / var_d if var_d > 0 else 0.0, len(scores))


def _complete(d: Sequence[float], r: Sequence[float]) -> tuple[list[float], list[float]]:
    if len(d) != len(r):
        raise UsageError(f"{len(d)} log-ratios but {len(r)} rewards; pass one of each per rollout")
    pairs = [(math.nan, math.nan) if math.isnan(a + b) else (float(a), float(b)) for a, b in zip(d, r, strict=True)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _product(a: Sequence[float], b: Sequence[float], k: int) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / (k - 1) if k > 1 else math.nan
