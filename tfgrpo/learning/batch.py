"""One batch: problems in, groups with their contrasts out.

Each problem goes its own way unless the method compares groups; then all are rolled out, chosen from, and contrasted.
Dynamic sampling spends further rounds on problems that nobody solved: those of earlier steps first, since the library
may have changed, then those of this step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from experience_db import Library
from tfgrpo.config import LearnConfig
from tfgrpo.lessons.summarize import Contrast, Effects, Teacher, contrast
from tfgrpo.methods.method import RETRY, Memory, accuracy, choose, form, monitored, per_batch, unsolved, with_earlier
from tfgrpo.rollout import Actor, complete, incomplete, run_group
from tfgrpo.selection import Action, next_wave, sampling_action
from tfgrpo.types import Group, GroupStatus, Problem, Sampling, Verdict


@dataclass(frozen=True, slots=True)
class Conditions:
    """What all problems of a step share."""

    actor: Actor
    teacher: Teacher
    config: LearnConfig
    library: Library
    sampling: Sampling
    epoch: int
    step: int
    told: tuple[Verdict, ...]
    """Refused edits that the summarizer is told of."""
    effects: Effects
    memory: Memory


@dataclass(frozen=True, slots=True)
class Taught:
    """What a batch taught."""

    groups_P: tuple[Group, ...]
    contrasts_P: tuple[Contrast, ...]
    monitor: dict[str, Any]


async def teach(given: Conditions, batch: Sequence[Problem]) -> Taught:
    """Roll out, select and contrast one batch of problems."""
    run = given.actor.executor.run
    if not per_batch(given.config):
        early = await run([partial(_alone, given, problem) for problem in batch])
        answered = _answered([group for group, _ in early])
        pairs = await run([partial(_late, given, group, told, answered) for group, told in early])
        groups = tuple(g for g, _ in pairs)
        return Taught(groups, tuple(c for _, c in pairs), monitored(groups, given.config, given.memory))
    groups = tuple(await run([partial(_attempt, given, problem) for problem in batch]))
    groups = tuple(await run([partial(_completed, given, group, _answered(groups)) for group in groups]))
    monitor: dict[str, Any] = {}
    if given.config.selection.kind == "dynamic":
        groups, monitor = await _resampled(given, groups)
    groups, watched = choose(groups, given.config, given.memory)
    contrasts = await run([partial(_contrast, given, group) for group in groups])
    return Taught(groups, tuple(contrasts), monitor | watched | monitored(groups, given.config, given.memory))


async def _alone(given: Conditions, problem: Problem) -> tuple[Group, Contrast | None]:
    """One problem's whole way: no other problem is waited for; a group that an outage hit is left for later."""
    group = await _attempt(given, problem)
    return (group, None) if incomplete(group) else await _taught(given, group)


async def _late(given: Conditions, group: Group, told: Contrast | None, answered: bool) -> tuple[Group, Contrast]:
    """Give a group that an outage hit its second chance, once all others are done."""
    return (group, told) if told is not None else await _taught(given, await _completed(given, group, answered))


async def _taught(given: Conditions, group: Group) -> tuple[Group, Contrast]:
    (group,), _ = choose([group], given.config, given.memory)
    return group, await _contrast(given, group)


async def _completed(given: Conditions, group: Group, answered: bool) -> Group:
    if not (answered and incomplete(group)):
        return group
    return await complete(given.actor, group, given.library, given.sampling, config=given.config, memory=given.memory)


def _answered(groups: Sequence[Group]) -> bool:
    """Whether anything was answered; when nothing was, the endpoint is down and asking again would only take longer."""
    return any(rollout.failure is None for group in groups for rollout in group.rollouts_G)


async def _attempt(given: Conditions, problem: Problem, first: int | None = None) -> Group:
    """Roll out one group, whole or in waves that end with its first contrast."""
    size, wave = given.config.rollout.group_size, given.config.selection.wave
    start = given.epoch * size if first is None else first
    group = await _rolled(given, problem, min(wave or size, size), start)
    while wave is not None:
        more = next_wave(accuracy(group), group_size=size, wave=wave).size
        if not more:
            break
        group = _grown(given, group, await _rolled(given, problem, more, start + len(group.rollouts_G)))
    return group


async def _rolled(given: Conditions, problem: Problem, size: int, first: int) -> Group:
    return await run_group(
        given.actor,
        problem,
        given.library,
        size,
        given.sampling,
        first=first,
        config=given.config,
        memory=given.memory,
    )


async def _contrast(given: Conditions, group: Group) -> Contrast:
    shown = with_earlier(group, given.config, given.memory)
    return await contrast(
        given.teacher, shown, given.library, step=given.step, rejected=given.told, effects=given.effects
    )


async def _resampled(given: Conditions, groups: tuple[Group, ...]) -> tuple[tuple[Group, ...], dict[str, Any]]:
    """Spend further rounds until enough groups have a contrast, the budget of rounds is used up, or nobody is left."""
    chosen = given.config.selection
    wanted, rounds, tried = chosen.wanted or len(groups), 1, dict(given.memory.tries)
    while True:
        kept = sum(g.status is GroupStatus.KEPT for g in groups)
        action = sampling_action(kept, wanted=wanted, rounds=rounds, max_rounds=chosen.rounds)
        waiting = [p for p in _waiting(given, groups) if tried.get(p.id, 0) < chosen.retries]
        if action is not Action.RESAMPLE or not waiting:
            break
        again = waiting[: wanted - kept]
        size = given.config.rollout.group_size
        jobs = [partial(_attempt, given, p, RETRY + tried.get(p.id, 0) * size) for p in again]
        groups = _joined(given, groups, await given.actor.executor.run(jobs))
        tried |= {p.id: tried.get(p.id, 0) + 1 for p in again}
        rounds += 1
    if action is Action.RESAMPLE:
        action = Action.PARTIAL if kept else Action.EMPTY
    return groups, {"rounds": rounds, "sampling": action.value, "waiting": len(waiting)}


def _waiting(given: Conditions, groups: Sequence[Group]) -> list[Problem]:
    here = {g.problem.id for g in groups}
    return [p for p in given.memory.unsolved if p.id not in here] + [g.problem for g in unsolved(groups)]


def _joined(given: Conditions, groups: Sequence[Group], more: Sequence[Group]) -> tuple[Group, ...]:
    """Put further rollouts to the group of their problem, else at the end as a group of their own."""
    table = {g.problem.id: g for g in groups}
    for new in more:
        old = table.get(new.problem.id)
        table[new.problem.id] = new if old is None else _grown(given, old, new)
    return tuple(table.values())


def _grown(given: Conditions, old: Group, new: Group) -> Group:
    rollouts, scores = (*old.rollouts_G, *new.rollouts_G), (*old.scores_G, *new.scores_G)
    return form(old.problem, rollouts, scores, old.version, given.config, given.memory)
