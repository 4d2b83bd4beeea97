"""The method of a run: which groups and rollouts teach, with what numbers, in what order. Pure; no model.

`form_group` makes a group of graded rollouts, `choose_groups` decides over the groups of a batch, and `remember`
carries what later steps need. That memory is a function of the groups so far, so a run that is repeated from its
journal has the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tfgrpo.advantages import (
    Advantages,
    Critic,
    critic_advantages,
    critic_value,
    dr_grpo,
    gdpo,
    grpo,
    observe,
    rloo,
    scale_batch,
    value_loss,
)
from tfgrpo.advantages import condition as conditioned
from tfgrpo.advantages.gdpo import GdpoAdvantages
from tfgrpo.advantages.moments import is_flat, mean, present
from tfgrpo.config import LearnConfig
from tfgrpo.edit_scores.strategic_grams import StrategicGrams, mine, semantic_entropy, words
from tfgrpo.errors import UsageError
from tfgrpo.methods.reward import Reward, generated_length
from tfgrpo.methods.step_credit import STEPWISE, StepwiseAdvantages, observe_steps, stepwise, whiten_steps
from tfgrpo.methods.step_credit import step_counts as watched_steps
from tfgrpo.selection import AdaptiveK, adaptive_k, gfpo, group_weights, keep_informative
from tfgrpo.types import Group, GroupStatus, Problem, Rollout, Score

CORRECT = 0.5
"""A rollout is correct when its score, before any shaping, is above this."""
FIRST_RETRY_INDEX = 500_000
"""Seed indices of dynamic sampling's further rollouts start here, so that they never meet those of an epoch."""
MOST_TEXTS = 1000
"""Correct rollouts that strategic grams are mined from, the newest."""
CRITICS = ("critic", "gae")
"""Kinds of advantage that compare with earlier rollouts of the problem, so that one rollout is a group."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the steps so far left for the method."""

    critic: Critic = Critic()  # noqa: RUF009 - frozen
    steps: Critic = Critic()  # noqa: RUF009 - frozen
    """What was earned from each step of a problem on (GAE)."""
    means: tuple[float, ...] = ()
    """Mean reward of each group so far (GFPO's difficulty)."""
    correct: tuple[str, ...] = ()
    """Answers of correct rollouts (HICRA's corpus)."""
    unsolved: tuple[Problem, ...] = ()
    """Problems that nobody solved, longest waiting first (DAPO's retry queue)."""
    tries: Mapping[str, int] = field(default_factory=dict)
    """Further groups each problem has cost."""
    earlier: Mapping[str, tuple[tuple[Rollout, Score], ...]] = field(default_factory=dict)
    """The newest graded rollouts of each problem, oldest first, for a critic that has no siblings to show."""


EMPTY_MEMORY = Memory()


def initial_memory(config: LearnConfig) -> Memory:
    """Return the memory before the first step."""
    untaught = Critic(config.advantage.prior_mean, config.advantage.prior_strength)
    return Memory(untaught, untaught)


def compares_groups(config: LearnConfig) -> bool:
    """Say whether the method compares groups, so that all of a batch must be there before any can teach."""
    return (
        config.selection.kind in ("dynamic", "gfpo-adaptive")
        or config.selection.groups is not None
        or config.advantage.batch_scale
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
    if config.selection.kind in ("gfpo", "gfpo-efficiency"):
        k = config.selection.k or max(2, math.ceil(len(rollouts_G) / 2))
        return _filtered(group, k, config, memory)
    return _judged(group, rewards_G, config, memory)


def shaped_rewards(rollouts_G: Sequence[Rollout], scores_G: Sequence[Score], config: LearnConfig) -> tuple[float, ...]:
    """Return one reward per rollout, nan where it is missing: the run's reward function, see `methods.reward`."""
    reward = Reward(config)
    return tuple(reward(r, s) for r, s in zip(rollouts_G, scores_G, strict=True))


def accuracy(group: Group) -> tuple[float, ...]:
    """Return the scores of a group before any shaping, nan where there is none."""
    return tuple(math.nan if s.value is None else s.value for s in group.scores_G)


def _judged(group: Group, rewards_G: Sequence[float], config: LearnConfig, memory: Memory) -> Group:
    """Fill in advantages and status from the rewards that take part; nan takes a rollout out."""
    advantages = _advantages(group, rewards_G, config, memory)
    critic = config.advantage.kind in CRITICS
    if len(present(group.rewards_G)) < (1 if critic else 2):
        status = GroupStatus.FAILED
    elif config.selection.kind == "dynamic" and not critic:
        (status,) = keep_informative([accuracy(group)]).status_P
    elif critic:
        steps = [a for row in getattr(advantages, "steps_G", ()) for a in row]
        surprised = max((abs(a) for a in (*advantages, *steps)), default=0.0) >= config.advantage.surprise
        status = GroupStatus.KEPT if surprised else GroupStatus.FLAT
    elif not advantages.degenerate:
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


def _advantages(group: Group, rewards_G: Sequence[float], config: LearnConfig, memory: Memory) -> Advantages:
    wanted = config.advantage
    if wanted.kind == "gdpo":
        return _gdpo(group, rewards_G, config)
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


def _gdpo(group: Group, rewards_G: Sequence[float], config: LearnConfig) -> GdpoAdvantages:
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


def _filtered(group: Group, k: int, config: LearnConfig, memory: Memory) -> Group:
    """Keep k rollouts (GFPO); the others neither teach nor count in the statistics. The best ranked is shown first."""
    efficient = config.selection.kind == "gfpo-efficiency"
    found = gfpo(
        group.rewards_G,
        [generated_length(r) for r in group.rollouts_G],
        k,
        metric="shifted reward/length" if efficient else "length",
        stratified=config.selection.stratified,
    )
    kept = set(found.selected)
    masked = [r if i in kept else math.nan for i, r in enumerate(group.rewards_G)]
    sign = -1.0 if efficient else 1.0
    order = tuple(sorted(found.selected, key=lambda i: sign * found.metric_G[i]))
    return replace(_judged(group, masked, config, memory), shown=order)


def choose_groups(
    groups_P: Sequence[Group], config: LearnConfig, memory: Memory
) -> tuple[tuple[Group, ...], dict[str, Any]]:
    """Decide over the groups of a batch.

    Returns:
        The groups in their order, with their weights and what the batch adds; and what the method watches.
    """
    groups, monitor = tuple(groups_P), dict[str, Any]()
    if config.selection.kind == "gfpo-adaptive":
        groups = _adaptive(groups, config, memory)
    if config.advantage.kind == "gdpo" and config.advantage.batch_scale:
        groups = _scaled(groups, config)
    if config.advantage.kind == "gae" and config.advantage.batch_scale:
        groups = whiten_steps(groups, config.advantage)
    groups = tuple(replace(g, weight=teaching_weight(g, config)) for g in groups)
    if config.selection.groups is not None:
        groups = _heaviest(groups, config.selection.groups)
    if config.lessons.focus == "planning":
        groups, monitor = _planned(groups, memory, config)
    return groups, monitor


def teaching_weight(group: Group, config: LearnConfig) -> float:
    """How much a group counts: 1, or the mean |advantage| that GRPO or Dr.GRPO gives its success rate."""
    if config.selection.weighting == "equal" or group.status is not GroupStatus.KEPT:
        return 1.0
    rate = mean(min(max(a, 0.0), 1.0) for a in accuracy(group))
    kind = "grpo" if config.selection.weighting == "grpo" else "dr_grpo"
    return group_weights([rate], kind)[0]  # type: ignore[arg-type]


def _adaptive(groups: Sequence[Group], config: LearnConfig, memory: Memory) -> tuple[Group, ...]:
    history = [*memory.means, *(mean(g.rewards_G) for g in groups)]
    sizes = _sizes(config)
    return tuple(_filtered(g, adaptive_k(mean(g.rewards_G), history, sizes), config, memory) for g in groups)


def _sizes(config: LearnConfig) -> AdaptiveK:
    """The four sizes as configured, else those of the paper, 8, 8, 6 and 4 of 16, scaled to the group, at least 2."""
    size, least = config.rollout.group_size, config.selection.min_history
    if not config.selection.k_adaptive:
        k = [max(2, math.ceil(size * share / 16)) for share in (8, 8, 6, 4)]
    else:
        k = [int(x) for x in config.selection.k_adaptive.split(",") if x.strip().isdecimal()]
    if len(k) != 4:
        raise UsageError(f"selection.k_adaptive is four sizes such as 8,8,6,4, not {config.selection.k_adaptive!r}")
    return AdaptiveK(k[0], k[1], k[2], k[3], least)


def _scaled(groups: Sequence[Group], config: LearnConfig) -> tuple[Group, ...]:
    found = [_gdpo(g, g.rewards_G, config) for g in groups]
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


def correct_answers(groups: Sequence[Group]) -> tuple[str, ...]:
    """Answers of the correct rollouts of some groups."""
    return tuple(r.answer for g in groups for r, a in zip(g.rollouts_G, accuracy(g), strict=True) if a > CORRECT)


def _planned(groups: Sequence[Group], memory: Memory, config: LearnConfig) -> tuple[tuple[Group, ...], dict[str, Any]]:
    """Mine strategic grams from all correct rollouts known, and watch how varied this batch's strategies are."""
    here = correct_answers(groups)
    found = mine((*memory.correct, *here)[-MOST_TEXTS:], clustering=config.lessons.clusters)  # type: ignore[arg-type]
    entropy = semantic_entropy(_frequencies(found, here))
    watched = {
        "strategic_grams": len(found.grams),
        "clustering": found.clustering,
        "semantic_entropy": entropy.value,
        "semantic_entropy_normalized": entropy.normalized,
    }
    return tuple(replace(g, grams=found.grams) for g in groups), watched


def _frequencies(found: StrategicGrams, answers: Sequence[str]) -> list[int]:
    """In how many answers each kept cluster occurs."""
    texts = [f" {' '.join(words(answer))} " for answer in answers]
    return [sum(any(f" {gram} " in text for gram in found.clusters[name]) for text in texts) for name in found.kept]


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
    advantages = _advantages(past_group, rewards, config, memory)
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
