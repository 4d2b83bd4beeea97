"""One batch: problems in, groups with their contrasts out.

Each problem goes its own way unless the method compares groups; then all are rolled out, chosen from, and contrasted.
Dynamic sampling spends further rounds on problems that nobody solved: those of earlier steps first, since the library
may have changed, then those of this step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from experience_db import Library
from tfgrpo.config import LearnConfig
from tfgrpo.lessons.summarize import Contrast, Effects, contrast
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.methods.method import (
    FIRST_RETRY_INDEX,
    Memory,
    accuracy,
    batch_monitor,
    choose_groups,
    compares_groups,
    form_group,
    unsolved,
    with_earlier,
)
from tfgrpo.rollout import Actor, complete_group, may_complete, run_group
from tfgrpo.selection import Action, next_wave, sampling_action
from tfgrpo.types import Group, GroupStatus, Problem, Proposal, Sampling, Verdict


@dataclass(frozen=True, slots=True)
class BatchConditions:
    """What all problems of a step share."""

    actor: Actor
    teacher: Teacher
    config: LearnConfig
    library: Library
    sampling: Sampling
    epoch: int
    step: int
    refused: tuple[Verdict, ...]
    """Refused edits that the summarizer is told of."""
    effects: Effects
    memory: Memory
    proposed: Callable[[Sequence[Proposal]], None] | None = None
    """Is told what each contrast proposes."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The groups of a batch, their contrasts, and numbers to watch."""

    groups_P: tuple[Group, ...]
    contrasts_P: tuple[Contrast, ...]
    monitor: dict[str, Any]


async def run_batch(given: BatchConditions, batch: Sequence[Problem]) -> BatchResult:
    """Roll out, select and contrast one batch of problems."""
    run = given.actor.executor.run
    if not compares_groups(given.config):
        early = await run([partial(_problem_alone, given, problem) for problem in batch])
        answered = _answered([group for group, _ in early])
        pairs = await run([partial(_after_outage, given, group, told, answered) for group, told in early])
        groups = tuple(g for g, _ in pairs)
        return BatchResult(groups, tuple(c for _, c in pairs), batch_monitor(groups, given.config, given.memory))
    groups = tuple(await run([partial(_group_of, given, problem) for problem in batch]))
    groups = tuple(await run([partial(_completed, given, group, _answered(groups)) for group in groups]))
    monitor: dict[str, Any] = {}
    if given.config.selection.kind == "dynamic":
        groups, monitor = await _resampled(given, groups)
    groups, watched = choose_groups(groups, given.config, given.memory)
    contrasts = await run([partial(_contrast, given, group) for group in groups])
    return BatchResult(groups, tuple(contrasts), monitor | watched | batch_monitor(groups, given.config, given.memory))


async def _problem_alone(given: BatchConditions, problem: Problem) -> tuple[Group, Contrast | None]:
    """One problem's whole way: no other problem is waited for; a group that an outage hit is left for later."""
    group = await _group_of(given, problem)
    return (group, None) if may_complete(group) else await _contrasted(given, group)


async def _after_outage(
    given: BatchConditions, group: Group, told: Contrast | None, answered: bool
) -> tuple[Group, Contrast]:
    """Give a group that an outage hit its second chance, once all others are done."""
    return (group, told) if told is not None else await _contrasted(given, await _completed(given, group, answered))


async def _contrasted(given: BatchConditions, group: Group) -> tuple[Group, Contrast]:
    (group,), _ = choose_groups([group], given.config, given.memory)
    return group, await _contrast(given, group)


async def _completed(given: BatchConditions, group: Group, answered: bool) -> Group:
    if not (answered and may_complete(group)):
        return group
    return await complete_group(
        given.actor,
        group,
        given.library,
        given.sampling,
        config=given.config,
        memory=given.memory,
    )


def _answered(groups: Sequence[Group]) -> bool:
    """Whether anything was answered; when nothing was, the endpoint is down and asking again would only take longer."""
    return any(rollout.failure is None for group in groups for rollout in group.rollouts_G)


async def _group_of(given: BatchConditions, problem: Problem, first: int | None = None) -> Group:
    """Roll out one group, whole or in waves that end with its first contrast."""
    size, wave = given.config.rollout.group_size, given.config.selection.wave
    start = given.epoch * size if first is None else first
    group = await _roll_out(given, problem, min(wave or size, size), start)
    while wave is not None:
        more = next_wave(accuracy(group), group_size=size, wave=wave).size
        if not more:
            break
        group = _enlarged(given, group, await _roll_out(given, problem, more, start + len(group.rollouts_G)))
    return group


async def _roll_out(given: BatchConditions, problem: Problem, size: int, first: int) -> Group:
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


async def _contrast(given: BatchConditions, group: Group) -> Contrast:
    shown = with_earlier(group, given.config, given.memory)
    found = await contrast(
        given.teacher,
        shown,
        given.library,
        step=given.step,
        rejected=given.refused,
        effects=given.effects,
    )
    if given.proposed is not None:
        given.proposed(found.proposals)
    return found


async def _resampled(given: BatchConditions, groups: tuple[Group, ...]) -> tuple[tuple[Group, ...], dict[str, Any]]:
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
        jobs = [partial(_group_of, given, p, FIRST_RETRY_INDEX + tried.get(p.id, 0) * size) for p in again]
        groups = _merged(given, groups, await given.actor.executor.run(jobs))
        tried |= {p.id: tried.get(p.id, 0) + 1 for p in again}
        rounds += 1
    if action is Action.RESAMPLE:
        action = Action.PARTIAL if kept else Action.EMPTY
    return groups, {"rounds": rounds, "sampling": action.value, "waiting": len(waiting)}


def _waiting(given: BatchConditions, groups: Sequence[Group]) -> list[Problem]:
    here = {g.problem.id for g in groups}
    return [p for p in given.memory.unsolved if p.id not in here] + [g.problem for g in unsolved(groups)]


def _merged(given: BatchConditions, groups: Sequence[Group], more: Sequence[Group]) -> tuple[Group, ...]:
    """Put further rollouts to the group of their problem, else at the end as a group of their own."""
    table = {g.problem.id: g for g in groups}
    for new in more:
        old = table.get(new.problem.id)
        table[new.problem.id] = new if old is None else _enlarged(given, old, new)
    return tuple(table.values())


def _enlarged(given: BatchConditions, old: Group, new: Group) -> Group:
    rollouts, scores = (*old.rollouts_G, *new.rollouts_G), (*old.scores_G, *new.scores_G)
    return form_group(old.problem, rollouts, scores, old.version, given.config, given.memory)
