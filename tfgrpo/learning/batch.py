"""One batch: problems in, groups with their contrasts out.

Each problem goes its own way unless the method compares groups; then all are rolled out, chosen from, and contrasted.
Dynamic sampling spends further rounds until enough groups have a contrast: on the next problems of the epoch where the
method takes fresh ones, and on problems that nobody solved under an earlier version of the library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tfgrpo.learning.hardest import with_hardest
from tfgrpo.learning.propose import OVER_BATCH, BatchConditions, propose_over_batch
from tfgrpo.lessons.summarize import Contrast, contrast, joined
from tfgrpo.methods.method import (
    FIRST_RETRY_INDEX,
    accuracy,
    batch_monitor,
    choose_groups,
    compares_groups,
    form_group,
    with_earlier,
)
from tfgrpo.methods.questions import questions
from tfgrpo.rollout import complete_group, may_complete, run_group
from tfgrpo.selection import Action, next_wave, sampling_action
from tfgrpo.types import Group, GroupStatus, Problem


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The groups of a batch, their contrasts, and numbers to watch."""

    groups_P: tuple[Group, ...]
    contrasts_P: tuple[Contrast, ...]
    monitor: dict[str, Any]

    @property
    def pairs(self) -> list[tuple[Group, Contrast]]:
        """Each group with its contrast."""
        return list(zip(self.groups_P, self.contrasts_P, strict=True))


async def run_batch(given: BatchConditions, batch: Sequence[Problem]) -> BatchResult:
    """Roll out, select and contrast one batch of problems."""
    run = given.actor.executor.run
    if not compares_groups(given.config) and given.config.lessons.proposer not in OVER_BATCH:
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
    if given.config.lessons.proposer in OVER_BATCH and given.asks:
        contrasts = await propose_over_batch(given, groups)
    else:
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
    if not given.asks:
        return Contrast()
    shown = with_earlier(group, given.config, given.memory)
    if given.config.selection.contrast == "hardest" and given.likelihood is not None:
        shown = await with_hardest(given.likelihood, given.library, shown)
    ask = partial(
        contrast, given.teacher, library=given.library, step=given.step, rejected=given.refused, effects=given.effects
    )
    run = given.actor.executor.run
    found = joined(await run([partial(ask, asked) for asked in questions(shown, given.config)]))
    if given.proposed is not None:
        given.proposed(found.proposals)
    return found


async def _resampled(given: BatchConditions, groups: tuple[Group, ...]) -> tuple[tuple[Group, ...], dict[str, Any]]:
    """Spend further rounds until enough groups have a contrast, the budget of rounds is used up, or nobody is left."""
    chosen = given.config.selection
    wanted, rounds, drawn = chosen.wanted or len(groups), 1, 0
    while True:
        kept = sum(g.status is GroupStatus.KEPT for g in groups)
        action = sampling_action(kept, wanted=wanted, rounds=rounds, max_rounds=chosen.rounds)
        fresh, again = _waiting(given, groups)
        if action is not Action.RESAMPLE or not (fresh or again):
            break
        # As many as are missing, at the rate at which problems have turned out to have a contrast.
        most = math.ceil((wanted - kept) * len(groups) / max(kept, 1))
        fresh = fresh[: min(most, given.config.batch_size)]
        again = again[: min(most, given.config.batch_size) - len(fresh)]
        size, tries = given.config.rollout.group_size, given.memory.tries
        jobs = [partial(_group_of, given, p) for p in fresh]
        jobs += [partial(_group_of, given, p, FIRST_RETRY_INDEX + tries.get(p.id, 0) * size) for p in again]
        groups = (*groups, *await given.actor.executor.run(jobs))
        rounds, drawn = rounds + 1, drawn + len(fresh)
    if action is Action.RESAMPLE:
        action = Action.PARTIAL if kept else Action.EMPTY
    return groups, {"rounds": rounds, "sampling": action.value, "waiting": len(again), "fresh": drawn}


def _waiting(given: BatchConditions, groups: Sequence[Group]) -> tuple[list[Problem], list[Problem]]:
    """Return the next problems of the epoch, and those that nobody solved while the library was another one.

    Asking once more under the same library would only buy the same outcome again.
    """
    here, chosen, memory = {g.problem.id for g in groups}, given.config.selection, given.memory
    fresh = [p for p in given.spare if p.id not in here] if chosen.fresh else []
    again = [
        p
        for p in memory.unsolved
        if p.id not in here
        and memory.tries.get(p.id, 0) < chosen.retries
        and memory.tried.get(p.id, given.library.version) != given.library.version
    ]
    taken = {p.id for p in fresh}
    return fresh, [p for p in again if p.id not in taken]


def _enlarged(given: BatchConditions, old: Group, new: Group) -> Group:
    rollouts, scores = (*old.rollouts_G, *new.rollouts_G), (*old.scores_G, *new.scores_G)
    return form_group(old.problem, rollouts, scores, old.version, given.config, given.memory)
