"""From rewards to advantages, and to whether a group can teach: the numbers of a method for one group."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from tfgrpo.advantages import Advantages, critic_advantages, dr_grpo, gdpo, grpo, rloo
from tfgrpo.advantages import condition as conditioned
from tfgrpo.advantages.gdpo import GdpoAdvantages
from tfgrpo.advantages.moments import is_flat, present
from tfgrpo.config import LearnConfig
from tfgrpo.errors import UsageError
from tfgrpo.methods.memory import Memory
from tfgrpo.methods.step_credit import STEPWISE, StepwiseAdvantages, stepwise
from tfgrpo.selection import keep_informative
from tfgrpo.types import Group, GroupStatus, Score

CORRECT = 0.5
"""A rollout is correct when its score, before any shaping, is above this."""
CRITICS = ("critic", "gae")
"""Kinds of advantage that compare with earlier rollouts of the problem, so that one rollout is a group."""


def accuracy(group: Group) -> tuple[float, ...]:
    """Return the scores of a group before any shaping, nan where there is none."""
    return tuple(math.nan if s.value is None else s.value for s in group.scores_G)


def judged(group: Group, rewards_G: Sequence[float], config: LearnConfig, memory: Memory) -> Group:
    """Fill in advantages and status from the rewards that take part; nan takes a rollout out."""
    advantages = advantages_of(group, rewards_G, config, memory)
    critic = config.advantage.kind in CRITICS
    if len(present(group.rewards_G)) < (1 if critic else 2):
        status = GroupStatus.FAILED
    elif config.selection.kind == "dynamic" and not critic:
        (status,) = keep_informative([accuracy(group)]).status_P
    elif critic:
        steps = [a for row in getattr(advantages, "steps_G", ()) for a in row]
        surprised = max((abs(a) for a in (*advantages, *steps)), default=0.0) >= config.advantage.surprise
        status = GroupStatus.KEPT if surprised else GroupStatus.FLAT
    elif not advantages.degenerate or (config.selection.contrast == "objectives" and _differs(advantages)):
        # Scores that cancel in the sum differ all the same, and each is asked for on its own.
        status = GroupStatus.KEPT
    else:
        status = GroupStatus.FLAT if is_flat(group.rewards_G) else GroupStatus.FILTERED
    kept = status is GroupStatus.KEPT
    return replace(
        group,
        advantages_G=tuple(advantages) if kept else (0.0,) * len(rewards_G),
        status=status,
        grader_advantages_G=_by_grader(advantages, group),
        step_advantages_G=advantages.steps_G if kept and isinstance(advantages, StepwiseAdvantages) else (),
    )


def advantages_of(group: Group, rewards_G: Sequence[float], config: LearnConfig, memory: Memory) -> Advantages:
    """Return the advantages of some rewards of a group, by the kind that the configuration names."""
    wanted = config.advantage
    if wanted.kind == "gdpo":
        return gdpo_advantages(group, rewards_G, config)
    if wanted.kind == "critic":
        return critic_advantages(memory.critic, group.problem.id, rewards_G)
    if wanted.kind in STEPWISE:
        return stepwise(group.problem.id, group.rollouts_G, group.scores_G, rewards_G, wanted, memory.steps)
    plain: dict[str, Callable[[Sequence[float]], Advantages]] = {"dr_grpo": dr_grpo, "rloo": rloo}
    if wanted.kind in plain:
        return plain[wanted.kind](rewards_G)
    return grpo(rewards_G, ddof=wanted.ddof, eps=wanted.eps)


def grader_names(group: Group) -> tuple[str, ...]:
    """Names of the graders of a group, in order of first appearance; one empty name where there are no parts."""
    return tuple(dict.fromkeys(part.name for score in group.scores_G for part in score.parts)) or ("",)


def gdpo_advantages(group: Group, rewards_G: Sequence[float], config: LearnConfig) -> GdpoAdvantages:
    """Normalize each grader on its own; length shaping counts as a part of the whole where there are no parts."""
    wanted, names = config.advantage, grader_names(group)
    if names == ("",):
        return gdpo([[r] for r in rewards_G], ddof=wanted.ddof, eps=wanted.eps)
    if unknown := {wanted.condition_on, *wanted.weights} - {"", *names}:
        raise UsageError(f"advantage names the grader {min(unknown)!r}; the graders are: {', '.join(names)}")
    columns = {name: [_part(s, name, r) for s, r in zip(group.scores_G, rewards_G, strict=True)] for name in names}
    if wanted.condition_on:
        on = columns[wanted.condition_on]
        columns |= {
            name: list(conditioned(column, on, threshold=wanted.threshold))
            for name, column in columns.items()
            if name != wanted.condition_on
        }
    rows = list(zip(*columns.values(), strict=True))
    chosen = wanted.weights or config.grader.parts
    weights = [float(chosen.get(name, 1.0)) for name in names]
    return gdpo(rows, weights, ddof=wanted.ddof, eps=wanted.eps)


def _part(score: Score, name: str, reward: float) -> float:
    found = next((part.value for part in score.parts if part.name == name), None)
    return math.nan if found is None or math.isnan(reward) else found


def _by_grader(advantages: Advantages, group: Group) -> tuple[dict[str, float], ...]:
    names = grader_names(group)
    if not isinstance(advantages, GdpoAdvantages) or names == ("",):
        return ()
    return tuple(
        {name: a for name, a in zip(names, row, strict=True) if not math.isnan(a)} for row in advantages.per_grader_G_K
    )


def _differs(advantages: Advantages) -> bool:
    """Whether some named score differs within the group."""
    rows = advantages.per_grader_G_K if isinstance(advantages, GdpoAdvantages) else ()
    return any(a != 0.0 for row in rows for a in row if not math.isnan(a))
