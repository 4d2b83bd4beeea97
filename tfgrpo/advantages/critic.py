"""PPO's counterpart for a frozen model: a baseline that speaks even when a group has a single rollout.

No network is trained, so the critic is a table: the shrunken running success rate of each problem, taken before the
current group. GAE spreads an outcome over the steps of an agent where step values exist.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tfgrpo.advantages.moments import check_ddof, is_flat, mean, present, std
from tfgrpo.advantages.values import Advantages
from tfgrpo.errors import UsageError


@dataclass(frozen=True, slots=True)
class Critic:
    """Running success rates by problem, shrunk towards a prior."""

    prior_mean: float = 0.5
    """Believed reward of a problem never tried."""
    prior_strength: float = 2.0
    """How many rollouts that belief is worth (n0)."""
    history: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """Problem id to (sum of rewards, number of graded rollouts)."""


def critic_value(critic: Critic, problem_id: str) -> float:
    """V(x) = (sum of past rewards + n0 * prior mean) / (trials + n0); nan with neither history nor prior.

    Stands where PPO, arXiv 1707.06347, has its learned value function; the shrinkage is our design.
    """
    total, trials = critic.history.get(problem_id, (0.0, 0))
    weight = trials + critic.prior_strength
    return (total + critic.prior_strength * critic.prior_mean) / weight if weight > 0 else math.nan


def critic_advantages(critic: Critic, problem_id: str, rewards: Sequence[float]) -> Advantages:
    """A_i = R_i - V(x), also for a single rollout and for a flat group.

    Pass the critic as it was before this group; `observe` afterwards. Otherwise this is GRPO with a lag.

    Returns:
        0 for missing rewards; degenerate only when no reward is present or V is undefined.
    """
    value = critic_value(critic, problem_id)
    if not present(rewards) or math.isnan(value):
        return Advantages((0.0,) * len(rewards), degenerate=True)
    return Advantages(tuple(0.0 if math.isnan(r) else r - value for r in rewards))


def observe(critic: Critic, problem_id: str, rewards: Sequence[float]) -> Critic:
    """The critic with the graded rewards of a group added; missing ones count neither as trial nor as failure."""
    total, trials = critic.history.get(problem_id, (0.0, 0))
    graded = present(rewards)
    entry = (total + math.fsum(graded), trials + len(graded))
    return replace(critic, history={**critic.history, problem_id: entry})


@dataclass(frozen=True, slots=True)
class StepAdvantages:
    """Advantages and returns along the steps of one rollout."""

    advantages: tuple[float, ...]
    returns: tuple[float, ...]
    """advantage + value: what a critic would be fitted to."""


def gae(
    rewards: Sequence[float],
    values: Sequence[float],
    *,
    gamma: float = 0.99,
    lam: float = 0.95,
    last_value: float = 0.0,
) -> StepAdvantages:
    """A_t = sum_l (gamma lambda)^l delta_{t+l} with delta_t = r_t + gamma V_{t+1} - V_t.

    Source: GAE, arXiv 1506.02438, Eq. 16; PPO, arXiv 1707.06347, Eq. 11-12.

    Args:
        rewards: one per step of one rollout.
        values: V before each step, in the unit of the rewards.
        gamma: discount in [0, 1].
        lam: 0 looks one step ahead, 1 to the end.
        last_value: V after the last step; 0 when the rollout ended there.

    Returns:
        A step whose reward or value is nan is passed over as if it were not there: advantage 0, return equal to its
        value, and its neighbours are joined.

    Raises:
        UsageError: rewards and values differ in number.
    """
    if len(rewards) != len(values):
        raise UsageError(f"{len(rewards)} step rewards but {len(values)} values; pass one value per step")
    following, running = last_value, 0.0
    advantages = [0.0] * len(rewards)
    for t in reversed(range(len(rewards))):
        if math.isnan(rewards[t]) or math.isnan(values[t]):
            continue
        running = rewards[t] + gamma * following - values[t] + gamma * lam * running
        following, advantages[t] = values[t], running
    return StepAdvantages(tuple(advantages), tuple(a + v for a, v in zip(advantages, values, strict=True)))


def whiten(values: Sequence[float], *, ddof: int = 1, eps: float = 1e-8) -> Advantages:
    """(value - mean) / sqrt(variance + eps), as PPO code does after GAE: eps joins the variance, not the deviation.

    Returns:
        0 where nan; exactly 0 and degenerate when flat.
    """
    check_ddof(ddof)
    if is_flat(values):
        return Advantages((0.0,) * len(values), degenerate=True)
    middle, divisor = mean(values), math.hypot(std(values, ddof=ddof), math.sqrt(eps))
    return Advantages(tuple(0.0 if math.isnan(v) else (v - middle) / divisor for v in values))


def value_loss(
    predicted: Sequence[float],
    returns: Sequence[float],
    old: Sequence[float] | None = None,
    *,
    clip: float | None = None,
) -> float:
    """0.5 * mean of max((v - R)^2, (clip(v, v_old +- c) - R)^2): how wrong a critic is. A monitor; nothing is trained.

    Source: PPO's value clipping as in verl; without `clip` the plain half mean square.

    Returns:
        In squared reward units; nan when no entry is complete.

    Raises:
        UsageError: `clip` without `old`, or sequences of different length.
    """
    if clip is not None and old is None:
        raise UsageError("clipping the value loss needs the old values; pass old=...")
    anchors = predicted if old is None else old
    if not len(predicted) == len(returns) == len(anchors):
        raise UsageError("predicted values, returns and old values differ in number; pass one of each per step")
    losses = []
    for v, target, anchor in zip(predicted, returns, anchors, strict=True):
        near = v if clip is None else min(max(v, anchor - clip), anchor + clip)
        error = max(abs(v - target), abs(near - target)) if not math.isnan(near) else math.nan
        losses.append(error * error)
    return 0.5 * mean(losses)
