"""Rewards of single steps to advantages of single steps: which turn of a rollout won, and which lost. Pure; no model.

A step is one assistant message, and a grader may give each a value (`Score.steps`). `process` compares the steps of a
group with each other; `gae` compares what followed a step with what earlier rollouts of the problem earned from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tfgrpo.advantages import Advantages, Critic, critic_value, gae, observe, process_supervision, whiten
from tfgrpo.advantages.moments import present
from tfgrpo.config.method import AdvantageConfig
from tfgrpo.types import Group, GroupStatus, Rollout, Score

STEPWISE = ("process", "gae")
"""Kinds of advantage that credit steps."""


@dataclass(frozen=True, slots=True)
class StepwiseAdvantages(Advantages):
    """One number per rollout, that of its first step, which sums up what followed; and one per step."""

    steps_G: tuple[tuple[float, ...], ...] = ()
    """One row per rollout, one number per assistant message; 0 where the step has no reward."""


def stepwise(
    problem_id: str,
    rollouts_G: Sequence[Rollout],
    scores_G: Sequence[Score],
    rewards_G: Sequence[float],
    wanted: AdvantageConfig,
    critic: Critic,
) -> StepwiseAdvantages:
    """Credit the steps of a group of rollouts of one problem.

    Args:
        problem_id: which problem.
        rollouts_G: for the number of their steps.
        scores_G: for the rewards of their steps.
        rewards_G: of whole rollouts, after shaping; nan takes a rollout out.
        wanted: `process` or `gae`, with its constants.
        critic: what earlier rollouts earned from each step on, before this group (`gae`).
    """
    if wanted.kind == "gae":
        return _gae(problem_id, rewards_of_steps(rollouts_G, scores_G, rewards_G, wanted), wanted, critic)
    rows = rewards_of_steps(rollouts_G, scores_G, rewards_G, wanted)
    ends = [range(1, len(row) + 1) for row in rows]
    found = process_supervision(rows, ends, ddof=wanted.ddof, eps=wanted.eps)
    firsts = tuple(row[0] for row in found.values_G_T)
    return StepwiseAdvantages(firsts, found.degenerate, found.values_G_T)


def rewards_of_steps(
    rollouts_G: Sequence[Rollout], scores_G: Sequence[Score], rewards_G: Sequence[float], wanted: AdvantageConfig
) -> tuple[tuple[float, ...], ...]:
    """Return one reward per assistant message of each rollout, nan where there is none.

    Where no rollout of the group has step rewards, the outcome stands at the last step: process supervision is then
    outcome supervision. Where some have and some have not, the latter are missing: their units differ.
    """
    some = any(s.steps for s in scores_G)
    rows = []
    for rollout, score, reward in zip(rollouts_G, scores_G, rewards_G, strict=True):
        steps = score.steps or (math.nan,) * rollout.turns
        if math.isnan(reward) or (some and not score.steps):
            rows.append((math.nan,) * len(steps))
        elif wanted.kind == "gae":
            rows.append(_with_outcome(steps, reward, wanted.outcome))
        else:
            rows.append(steps if some else (*steps[:-1], reward))
    return tuple(rows)


def _with_outcome(steps: tuple[float, ...], reward: float, weight: float) -> tuple[float, ...]:
    """Add the outcome to the last step; a step without a reward earns 0 there, and nothing is known without either."""
    if not weight:
        return steps
    plain = steps if present(steps) else (0.0,) * len(steps)
    last = 0.0 if math.isnan(plain[-1]) else plain[-1]
    return (*plain[:-1], last + weight * reward)


def _gae(
    problem_id: str, rows: Sequence[Sequence[float]], wanted: AdvantageConfig, critic: Critic
) -> StepwiseAdvantages:
    found = []
    for row in rows:
        values = [critic_value(critic, step_key(problem_id, t)) for t in range(len(row))]
        found.append(gae(row, values, gamma=wanted.gamma, lam=wanted.lam).advantages if present(row) else None)
    steps_G = tuple((0.0,) * len(row) if a is None else a for a, row in zip(found, rows, strict=True))
    undefined = math.isnan(critic_value(critic, step_key(problem_id, 0)))
    return StepwiseAdvantages(_firsts(steps_G, rows), undefined or not any(map(present, rows)), steps_G)


def step_key(problem_id: str, step: int) -> str:
    """Return the critic's name for a step of a problem; steps count from 0."""
    return f"{problem_id}#{step}"


def observe_steps(critic: Critic, group: Group, wanted: AdvantageConfig) -> Critic:
    """Return the critic with what each rollout of a group earned from each of its steps on."""
    rows = rewards_of_steps(group.rollouts_G, group.scores_G, group.rewards_G, wanted)
    for row in rows:
        following = 0.0
        for t in reversed(range(len(row))):
            if not math.isnan(row[t]):
                following = row[t] + wanted.gamma * following
                critic = observe(critic, step_key(group.problem.id, t), (following,))
    return critic


def whiten_steps(groups: Sequence[Group], wanted: AdvantageConfig) -> tuple[Group, ...]:
    """Scale the step advantages of all groups that teach to mean 0 and deviation 1, as PPO code does after GAE."""
    known_P = [_known(g, wanted) if g.status is GroupStatus.KEPT else () for g in groups]
    scaled = iter(whiten([a for rows in known_P for row in rows for a in row]))
    done = []
    for group, rows in zip(groups, known_P, strict=True):
        steps_G = tuple(tuple(next(scaled) for _ in row) for row in rows)
        done.append(replace(group, step_advantages_G=steps_G, advantages_G=_firsts(steps_G, rows)) if rows else group)
    return tuple(done)


def _known(group: Group, wanted: AdvantageConfig) -> tuple[tuple[float, ...], ...]:
    """Return the step advantages of a group with nan where the step has no reward."""
    rewards = rewards_of_steps(group.rollouts_G, group.scores_G, group.rewards_G, wanted)
    pairs = zip(group.step_advantages_G, rewards, strict=True)
    return tuple(tuple(math.nan if math.isnan(r) else a for a, r in zip(*rows, strict=True)) for rows in pairs)


def _firsts(steps_G: Sequence[Sequence[float]], rewards_G: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The advantage of the first step of each rollout that has a reward, 0 where none has."""
    return tuple(
        next((a for a, r in zip(steps, row, strict=True) if not math.isnan(r)), 0.0)
        for steps, row in zip(steps_G, rewards_G, strict=True)
    )


def step_counts(groups: Sequence[Group]) -> dict[str, int]:
    """Count the rollouts of a batch whose steps have rewards, and those whose outcome stands for them."""
    graded = [s for g in groups for s in g.scores_G if s.value is not None]
    with_steps = sum(bool(s.steps) for s in graded)
    return {"with_step_rewards": with_steps, "outcome_only": len(graded) - with_steps}
