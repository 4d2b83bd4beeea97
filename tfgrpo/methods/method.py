"""The method of a run: which groups and rollouts teach, with what numbers, in what order. Pure; no model.

`form_group` makes a group of graded rollouts, `choose_groups` decides over the groups of a batch, and `remember`
carries what later steps need. That memory is a function of the groups so far, so a run that is repeated from its
journal has the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tfgrpo.advantages import critic_value, dr_grpo, grpo, observe, scale_batch, value_loss
from tfgrpo.advantages.moments import mean, present
from tfgrpo.config import LearnConfig
from tfgrpo.methods.concise import adaptive, concise
from tfgrpo.methods.judging import CRITICS, accuracy, advantages_of, gdpo_advantages, judged
from tfgrpo.methods.label_free import without_labels
from tfgrpo.methods.memory import EMPTY_MEMORY, Memory, initial_memory
from tfgrpo.methods.planning import MOST_TEXTS, correct_answers, planned
from tfgrpo.methods.reward import Reward
from tfgrpo.methods.step_credit import STEPWISE, observe_steps, whiten_steps
from tfgrpo.methods.step_credit import step_counts as watched_steps
from tfgrpo.selection import keep_informative
from tfgrpo.types import Group, GroupStatus, Problem, Rollout, Score

__all__ = [
    "EMPTY_MEMORY",
    "Memory",
    "accuracy",
    "batch_monitor",
    "choose_groups",
    "compares_groups",
    "form_group",
    "initial_memory",
    "remember",
    "shaped_rewards",
    "unsolved",
    "with_earlier",
]

FIRST_RETRY_INDEX = 500_000
"""Seed indices of dynamic sampling's further rollouts start here, so that they never meet those of an epoch."""


def compares_groups(config: LearnConfig) -> bool:
    """Say whether the method compares groups, so that all of a batch must be there before any can teach."""
    return (
        config.selection.kind in ("dynamic", "gfpo-adaptive")
        or config.selection.groups is not None
        or config.advantage.batch_scale
        or config.advantage.prior == "running"
        or config.lessons.focus == "planning"
    )


def form_group(
    problem: Problem,
    rollouts_G: tuple[Rollout, ...],
    scores_G: tuple[Score, ...],
    version: int,
    config: LearnConfig = LearnConfig(),
    memory: Memory = EMPTY_MEMORY,
) -> Group:
    """Combine graded rollouts into a group: rewards with their shaping, advantages, and whether it can teach.

    `gfpo-adaptive` needs the difficulty of the whole batch and is applied by `choose_groups`.
    """
    rewards_G = shaped_rewards(rollouts_G, scores_G, config)
    group = Group(problem, rollouts_G, scores_G, rewards_G, (0.0,) * len(rewards_G), GroupStatus.FAILED, version)
    if config.lessons.labels == "none":
        return without_labels(group, config)
    if config.selection.kind in ("gfpo", "gfpo-efficiency"):
        k = config.selection.k or max(2, math.ceil(len(rollouts_G) / 2))
        return concise(group, k, config, memory)
    return judged(group, rewards_G, config, memory)


def shaped_rewards(rollouts_G: Sequence[Rollout], scores_G: Sequence[Score], config: LearnConfig) -> tuple[float, ...]:
    """Return one reward per rollout, nan where it is missing: the run's reward function, see `methods.reward`."""
    reward = Reward(config)
    return tuple(reward(r, s) for r, s in zip(rollouts_G, scores_G, strict=True))


def choose_groups(
    groups_P: Sequence[Group], config: LearnConfig, memory: Memory
) -> tuple[tuple[Group, ...], dict[str, Any]]:
    """Decide over the groups of a batch.

    Returns:
        The groups in their order, with their weights and what the batch adds; and what the method watches.
    """
    groups, monitor = tuple(groups_P), dict[str, Any]()
    if config.selection.kind == "gfpo-adaptive":
        groups = adaptive(groups, config, memory)
    if config.advantage.prior == "running":
        groups = _expected(groups, config, memory)
    if config.advantage.kind == "gdpo" and config.advantage.batch_scale:
        groups = _scaled(groups, config)
    if config.advantage.kind == "gae" and config.advantage.batch_scale:
        groups = whiten_steps(groups, config.advantage)
    groups = tuple(replace(g, weight=teaching_weight(g, config)) for g in groups)
    if config.selection.groups is not None:
        groups = _heaviest(groups, config.selection.groups)
    if config.lessons.focus == "planning":
        groups, monitor = planned(groups, memory, config)
    return groups, monitor


def teaching_weight(group: Group, config: LearnConfig) -> float:
    """How much a group counts: 1, or the mean |advantage| of its rewards as GRPO or Dr.GRPO computes it.

    On rewards of 0 and 1 that is 2 sqrt(p (1 - p)) or 2 p (1 - p). On graded ones GRPO, which divides by the spread,
    counts a nearly flat group like any other one, and Dr.GRPO hardly at all.
    """
    if config.selection.weighting == "equal" or group.status is not GroupStatus.KEPT:
        return 1.0
    graded = present(group.rewards_G)
    found = grpo(graded, ddof=0, eps=0.0) if config.selection.weighting == "grpo" else dr_grpo(graded)
    return mean([abs(a) for a in found])


def _expected(groups: Sequence[Group], config: LearnConfig, memory: Memory) -> tuple[Group, ...]:
    """Judge each group against what is usual: the prior of its problem is what all other problems have earned."""
    own = [(math.fsum(graded), len(graded)) for graded in (present(g.rewards_G) for g in groups)]
    told = config.advantage
    earned = math.fsum(total for total, _ in memory.critic.history.values()) + math.fsum(total for total, _ in own)
    trials = sum(n for _, n in memory.critic.history.values()) + sum(n for _, n in own)
    found = []
    for group, (total, n) in zip(groups, own, strict=True):
        past, tries = memory.critic.history.get(group.problem.id, (0.0, 0))
        others, weight = earned - total - past, trials - n - tries + told.prior_strength
        usual = (others + told.prior_strength * told.prior_mean) / weight if weight else told.prior_mean
        believed = replace(memory, critic=replace(memory.critic, prior_mean=usual))
        found.append(judged(group, group.rewards_G, config, believed))
    return tuple(found)


def _scaled(groups: Sequence[Group], config: LearnConfig) -> tuple[Group, ...]:
    found = [gdpo_advantages(g, g.rewards_G, config) for g in groups]
    scaled = scale_batch(found, ddof=config.advantage.ddof, eps=config.advantage.eps)
    return tuple(
        replace(g, advantages_G=tuple(s)) if g.status is GroupStatus.KEPT else g
        for g, s in zip(groups, scaled, strict=True)
    )


def _heaviest(groups: Sequence[Group], most: int) -> tuple[Group, ...]:
    """Leave out all but the heaviest groups that could teach; among equals the earlier one stays."""
    kept = [i for i, g in enumerate(groups) if g.status is GroupStatus.KEPT]
    out = set(sorted(kept, key=lambda i: -groups[i].weight)[most:])
    return tuple(replace(g, status=GroupStatus.FILTERED) if i in out else g for i, g in enumerate(groups))


def remember(memory: Memory, groups: Sequence[Group], config: LearnConfig) -> Memory:
    """Return the memory after a step with these groups."""
    critic, steps = memory.critic, memory.steps
    for g in groups:
        critic = observe(critic, g.problem.id, g.rewards_G)
        if config.advantage.kind == "gae":
            steps = observe_steps(steps, g, config.advantage)
    size = config.rollout.group_size
    again = {
        g.problem.id: len({(r.index - FIRST_RETRY_INDEX) // size for r in g.rollouts_G if r.index >= FIRST_RETRY_INDEX})
        for g in groups
    }
    tries = dict(memory.tries) | {i: memory.tries.get(i, 0) + n for i, n in again.items() if n}
    met = {g.problem.id for g in groups}
    waiting = [p for p in memory.unsolved if p.id not in met] + [g.problem for g in unsolved(groups)]
    return Memory(
        critic,
        steps,
        (*memory.means, *(mean(g.rewards_G) for g in groups)),
        (*memory.correct, *correct_answers(groups))[-MOST_TEXTS:] if config.lessons.focus == "planning" else (),
        tuple(p for p in waiting if tries.get(p.id, 0) < config.selection.retries),
        tries,
        _earlier(memory, groups, config) if config.advantage.kind in CRITICS else {},
        dict(memory.tried) | {g.problem.id: g.version for g in groups},
    )


def _earlier(
    memory: Memory, groups: Sequence[Group], config: LearnConfig
) -> dict[str, tuple[tuple[Rollout, Score], ...]]:
    kept = dict(memory.earlier)
    for g in groups:
        new = [(r, s) for r, s in zip(g.rollouts_G, g.scores_G, strict=True) if s.value is not None]
        known = (*kept.get(g.problem.id, ()), *new)
        kept[g.problem.id] = known[max(len(known) - config.advantage.earlier, 0) :]
    return kept


def with_earlier(group: Group, config: LearnConfig, memory: Memory) -> Group:
    """Put earlier rollouts of the problem beside a critic's group, for the contrast alone.

    They are what V(x) rests on; they saw earlier versions of the library.
    """
    past = memory.earlier.get(group.problem.id, ())
    if group.status is not GroupStatus.KEPT or not past:
        return group
    rollouts, scores = tuple(r for r, _ in past), tuple(s for _, s in past)
    rewards = shaped_rewards(rollouts, scores, config)
    past_group = replace(group, rollouts_G=rollouts, scores_G=scores, rewards_G=rewards)
    advantages = advantages_of(past_group, rewards, config, memory)
    return replace(
        group,
        rollouts_G=(*group.rollouts_G, *rollouts),
        scores_G=(*group.scores_G, *scores),
        rewards_G=(*group.rewards_G, *rewards),
        advantages_G=(*group.advantages_G, *advantages),
        step_advantages_G=(*group.step_advantages_G, *getattr(advantages, "steps_G", ())),
    )


def batch_monitor(groups: Sequence[Group], config: LearnConfig, memory: Memory) -> dict[str, Any]:
    """What is watched over a batch whatever else the method does: a critic's error, and who gave step rewards."""
    watched: dict[str, Any] = {}
    if config.advantage.kind in CRITICS:
        pairs = [(critic_value(memory.critic, g.problem.id), r) for g in groups for r in present(g.rewards_G)]
        watched["value_loss"] = value_loss([v for v, _ in pairs], [r for _, r in pairs])
    return watched | (watched_steps(groups) if config.advantage.kind in STEPWISE else {})


def unsolved(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Return the groups that nobody solved: all graded, all equal, none above 0."""
    found = keep_informative([accuracy(g) for g in groups])
    return tuple(groups[i] for i in found.retry)
