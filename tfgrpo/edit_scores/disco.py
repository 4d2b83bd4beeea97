"""DisCO: does the library separate right rollouts from wrong ones?

J = mean of the right scores - tau log mean exp(wrong scores / tau), without deviation, without clip; tau weighs the
hardest wrong rollouts, and tau = None is the plain difference of means (DisCO-b). With log-likelihood scores the
identity edit does not score 0, so compare gains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tfgrpo.edit_scores.kl import KL_CLAMP, Estimator, kl
from tfgrpo.edit_scores.tokens import LogProbs, log_ratios, ratio
from tfgrpo.errors import UsageError

Score = Literal["log_likelihood", "likelihood_ratio"]


@dataclass(frozen=True, slots=True)
class Disco:
    """The objective on one problem."""

    value: float
    """J; exactly 0 when not valid."""
    n_right: int
    n_wrong: int
    n_ignored: int
    """Rollouts without a score or a verdict, or with a reward that is neither 0 nor 1 and no threshold."""
    wrong_weights: tuple[float, ...]
    """softmax(s / tau) over the wrong rollouts in order: how much each one counts."""
    valid: bool
    """False when a class is missing: there is nothing to separate."""


def disco_scores(
    logp_new_G: LogProbs, logp_old_G: LogProbs, score: Score = "log_likelihood", *, cap: float | None = None
) -> tuple[float, ...]:
    """s_i = mean_t of the new log-prob (log-L), or of rho = exp(new - old) (L-ratio); nan for an unusable rollout.

    Source: DisCO, arXiv 2505.12366, scoring functions; both unclipped.

    Args:
        logp_new_G: under the edited library.
        logp_old_G: of the same tokens under the current one.
        score: `log_likelihood` averages noise; `likelihood_ratio` is heavy-tailed for edits.
        cap: bound on |new - old| per token for the ratio, calibrated; None leaves it open.

    Raises:
        UsageError: the score is unknown or shapes do not match.
    """
    rows = log_ratios(logp_new_G, logp_old_G)
    if score == "log_likelihood":
        return tuple(_mean(new) if row else math.nan for new, row in zip(logp_new_G, rows, strict=True))
    if score != "likelihood_ratio":
        raise UsageError(f"score {score!r} is unknown; choose log_likelihood or likelihood_ratio")
    bound = math.inf if cap is None else cap
    return tuple(_mean([ratio(min(max(d, -bound), bound)) for d in row]) if row else math.nan for row in rows)


def disco(
    scores_G: Sequence[float], rewards: Sequence[float], *, tau: float | None = None, threshold: float | None = None
) -> Disco:
    """J = mean_{right} s - tau log mean_{wrong} exp(s / tau); DisCO-b with tau None.

    Source: DisCO, arXiv 2505.12366, J2 and DisCO-b. tau -> infinity gives DisCO-b; tau = 0 the hardest wrong rollout.

    Args:
        scores_G: one per rollout; nan where it could not be scored.
        rewards: 1 right, 0 wrong; nan where unscored.
        tau: temperature over the wrong rollouts, in the unit of the scores, at least 0.
        threshold: a reward at or above it is right, below it wrong. None takes exact 1 and 0 and ignores the rest.

    Raises:
        UsageError: tau is negative or the sequences differ in length.
    """
    if tau is not None and tau < 0:
        raise UsageError(f"tau is {tau}; it is a temperature and cannot be negative")
    signs = classes(scores_G, rewards, threshold=threshold)
    right = [s for s, sign in zip(scores_G, signs, strict=True) if sign > 0]
    wrong = [s for s, sign in zip(scores_G, signs, strict=True) if sign < 0]
    ignored = len(signs) - len(right) - len(wrong)
    if not right or not wrong:
        return Disco(0.0, len(right), len(wrong), ignored, (), valid=False)
    value = _mean(right) - _soft_mean(wrong, tau)
    return Disco(value, len(right), len(wrong), ignored, _softmax(wrong, tau), valid=True)


def classes(scores_G: Sequence[float], rewards: Sequence[float], *, threshold: float | None = None) -> tuple[int, ...]:
    """1 for right, -1 for wrong, 0 for ignored rollouts; see `disco` for the rule."""
    if len(scores_G) != len(rewards):
        raise UsageError(f"{len(scores_G)} scores but {len(rewards)} rewards; pass one of each per rollout")
    return tuple(_class(s, r, threshold) for s, r in zip(scores_G, rewards, strict=True))


@dataclass(frozen=True, slots=True)
class DiscoBatch:
    """The objective over problems."""

    value: float
    """Sum over valid problems divided by ALL problems, as the official code has it; 0 without problems."""
    mean_over_valid: float
    """Divided by the valid ones only; 0 when there is none."""
    valid: int
    """Problems with both classes."""


def disco_batch(
    scores_P_G: Sequence[Sequence[float]],
    rewards_P_G: Sequence[Sequence[float]],
    *,
    tau: float | None = None,
    threshold: float | None = None,
) -> DiscoBatch:
    """`disco` on each problem, averaged both ways."""
    results = [disco(s, r, tau=tau, threshold=threshold) for s, r in zip(scores_P_G, rewards_P_G, strict=True)]
    total = math.fsum(result.value for result in results)
    valid = sum(result.valid for result in results)
    return DiscoBatch(total / len(results) if results else 0.0, total / valid if valid else 0.0, valid)


def kl_hinge(kl_value: float, *, beta: float, delta: float, factor: float = 1.0) -> float:
    """Penalty factor * beta * max(KL - delta, 0)^2; 0 for an unknown (nan) KL, so check that it is known.

    Source: DisCO, arXiv 2505.12366. factor 1 is the paper; 0.5 has the force of the official code, which weighs the
    gradient of KL by beta * max(KL - delta, 0). Published beta 1000 and delta 1e-4 veto every real edit: calibrate.
    """
    return factor * beta * max(kl_value - delta, 0.0) ** 2 if not math.isnan(kl_value) else 0.0


def _class(score: float, reward: float, threshold: float | None) -> int:
    if math.isnan(score) or math.isnan(reward):
        return 0
    if threshold is not None:
        return 1 if reward >= threshold else -1
    return 1 if reward == 1 else -1 if reward == 0 else 0


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _soft_mean(values: Sequence[float], tau: float | None) -> float:
    if tau is None or math.isinf(tau):
        return _mean(values)
    largest = max(values)
    if tau == 0:
        return largest
    return largest + tau * math.log(_mean([math.exp((v - largest) / tau) for v in values]))


def _softmax(values: Sequence[float], tau: float | None) -> tuple[float, ...]:
    if tau is None or math.isinf(tau):
        return (1.0 / len(values),) * len(values)
    largest = max(values)
    powers = [float(v == largest) if tau == 0 else math.exp((v - largest) / tau) for v in values]
    total = math.fsum(powers)
    return tuple(p / total for p in powers)


@dataclass(frozen=True, slots=True)
class DiscoGain:
    """The score of an edit: how much better it separates, and at what distance."""

    gain: float
    """J(E_new) - J(E_old)."""
    kl: float
    """Estimate of KL(old || new), nats per token; nan when no rollout could be scored."""
    penalty: float
    valid: bool
    """False when a class is missing among the scored rollouts."""

    @property
    def accept(self) -> bool:
        """True when the gain exceeds the penalty. For ranking and pruning; rollouts decide."""
        return self.valid and self.gain - self.penalty > 0.0


def disco_gain(  # noqa: PLR0913  the published constants
    logp_new_G: LogProbs,
    logp_old_G: LogProbs,
    rewards: Sequence[float],
    *,
    score: Score = "log_likelihood",
    tau: float | None = None,
    beta: float = 1.0,
    delta: float = math.inf,
    estimator: Estimator = "k3",
    cap: float | None = None,
) -> DiscoGain:
    """Compare the edited with the current library on the rollouts of one problem, under a KL hinge.

    Args:
        logp_new_G: under the edited library.
        logp_old_G: of the same tokens under the current one.
        rewards: 1 right, 0 wrong; nan where unscored. Binarize others on purpose.
        score: see `disco_scores`.
        tau: see `disco`; near the spread of the wrong scores it means something.
        beta: weight of the penalty.
        delta: KL that is free, in nats per token; infinite (no penalty) until calibrated.
        estimator: k3, which cannot be negative; k1 is what DisCO ships.
        cap: see `disco_scores`.
    """
    new = disco(disco_scores(logp_new_G, logp_old_G, score, cap=cap), rewards, tau=tau)
    old = disco(disco_scores(logp_old_G, _same_gaps(logp_old_G, logp_new_G), score), rewards, tau=tau)
    distance = kl(logp_old_G, logp_new_G, estimator)
    return DiscoGain(new.value - old.value, distance, kl_hinge(distance, beta=beta, delta=delta), new.valid)


def _same_gaps(logp_G: LogProbs, partner_G: LogProbs) -> LogProbs:
    usable = log_ratios(partner_G, logp_G)
    return [row if kept else () for row, kept in zip(logp_G, usable, strict=True)]


def disco_gradient(
    logp_new_G: LogProbs,
    logp_old_G: LogProbs,
    rewards: Sequence[float],
    *,
    score: Score = "log_likelihood",
    tau: float | None = None,
    beta: float = 0.0,
    delta: float = 0.0,
    estimator: Estimator = "k1",
) -> tuple[tuple[float, ...], ...]:
    """d(-J + penalty) / d log-prob of each token: which tokens carry the score. () for an unusable rollout.

    Nothing is optimized with it; it shows the pull of each rollout, and pins the objective against published code.
    """
    rows = log_ratios(logp_new_G, logp_old_G)
    scores = disco_scores(logp_new_G, logp_old_G, score)
    result = disco(scores, rewards, tau=tau)
    pulls = _pulls(result, classes(scores, rewards))
    excess = max(kl(logp_old_G, logp_new_G, estimator) - delta, 0.0)
    push = 2.0 * beta * excess / max(sum(len(row) for row in rows), 1)
    return tuple(
        tuple(
            push * _kl_slope(d, estimator) - pull_i * (ratio(d) if score == "likelihood_ratio" else 1.0) / len(row)
            for d in row
        )
        for row, pull_i in zip(rows, pulls, strict=True)
    )


def _pulls(result: Disco, signs: Sequence[int]) -> list[float]:
    """How J changes with each rollout's score."""
    if not result.valid:
        return [0.0] * len(signs)
    wrong = iter(result.wrong_weights)
    return [1.0 / result.n_right if sign > 0 else -next(wrong) if sign < 0 else 0.0 for sign in signs]


def _kl_slope(d: float, estimator: Estimator) -> float:
    if estimator == "k1":
        return -1.0
    if estimator == "k2":
        return d
    return math.expm1(d) if abs(d) <= KL_CLAMP else 0.0
