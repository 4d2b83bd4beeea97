"""Rollouts, grades, groups: everything between a problem and the contrast it may hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from experience_db import Library
from tfgrpo.config import LearnConfig
from tfgrpo.environments import Environment, Slot
from tfgrpo.errors import BudgetReached
from tfgrpo.executors import Executor
from tfgrpo.graders import Grader, grade
from tfgrpo.methods.method import EMPTY_MEMORY, Memory, form_group
from tfgrpo.methods.reward import grader_score
from tfgrpo.types import Failure, FailureKind, Group, Problem, Rollout, Sampling, Score


@dataclass(frozen=True, slots=True)
class Actor:
    """What attempts problems and what judges the attempts."""

    environment: Environment
    grader: Grader
    executor: Executor
    seed: int = 0
    concurrency: int = 64
    """Most rollouts at once per call of a function here; the limiter below bounds model calls over all roles."""
    on_group: Callable[[Group], None] | None = None
    """Told of every group as soon as it is graded."""
    reward: Callable[[Rollout, Score], float] = grader_score
    """What a measured rollout is worth: the method's reward in a run, the grader's score elsewhere."""

    def slot(self, role: str, index: int, sampling: Sampling) -> Slot:
        """Return the slot of one rollout under this run's seed."""
        return Slot(role, index, replace(sampling, seed=self.seed))


async def roll_out(actor: Actor, problem: Problem, library: Library, slot: Slot) -> Rollout:
    """Run one rollout; a used-up budget becomes its failure, so that finished siblings still count."""
    try:
        return await actor.environment(problem, library, slot)
    except BudgetReached as error:
        return Rollout(problem.id, slot.index, failure=Failure(FailureKind.BUDGET, str(error)))


async def run_group(
    actor: Actor,
    problem: Problem,
    library: Library,
    size: int,
    sampling: Sampling,
    *,
    first: int = 0,
    config: LearnConfig = LearnConfig(),
    memory: Memory = EMPTY_MEMORY,
) -> Group:
    """Run and grade `size` rollouts of one problem, from seed index `first` on, and compute their advantages."""
    slots = [actor.slot("rollout", first + i, sampling) for i in range(size)]
    rollouts_G = await actor.executor.run([partial(roll_out, actor, problem, library, s) for s in slots])
    scores_G = await grade(actor.grader, problem, rollouts_G)
    group = make_group(problem, tuple(rollouts_G), scores_G, library.version, config, memory)
    if actor.on_group is not None:
        actor.on_group(group)
    return group


PASSING = frozenset({FailureKind.TIMEOUT, FailureKind.RATE_LIMITED, FailureKind.PROVIDER, FailureKind.EMPTY})
"""Failures that a while later may not happen again."""


def may_complete(group: Group) -> bool:
    """Whether some rollouts of a group failed for reasons that may have passed by now."""
    return any(r.failure and r.failure.kind in PASSING for r in group.rollouts_G)


async def complete_group(
    actor: Actor,
    group: Group,
    library: Library,
    sampling: Sampling,
    *,
    config: LearnConfig = LearnConfig(),
    memory: Memory = EMPTY_MEMORY,
) -> Group:
    """Run the rollouts of `group` again that failed for passing reasons, and grade the whole group anew."""

    async def once_more(rollout: Rollout) -> Rollout:
        if not (rollout.failure and rollout.failure.kind in PASSING):
            return rollout
        return await roll_out(actor, group.problem, library, actor.slot("rollout", rollout.index, sampling))

    rollouts_G = tuple(await actor.executor.run([partial(once_more, r) for r in group.rollouts_G]))
    scores_G = await grade(actor.grader, group.problem, rollouts_G)
    return make_group(group.problem, rollouts_G, scores_G, group.version, config, memory)


def make_group(
    problem: Problem,
    rollouts_G: tuple[Rollout, ...],
    scores_G: tuple[Score, ...],
    version: int,
    config: LearnConfig = LearnConfig(),
    memory: Memory = EMPTY_MEMORY,
) -> Group:
    """Combine graded rollouts into a group as the method of `config` does; its status says whether it can teach."""
    return form_group(problem, rollouts_G, scores_G, version, config, memory)


@dataclass(frozen=True, slots=True)
class Graded:
    """One measured rollout: its reward, or why there is none."""

    rollout: Rollout
    score: Score
    value: float | None = None
    """The reward, where it is not the score itself."""

    @property
    def reward(self) -> float:
        """What it is worth; nan when the rollout failed or is unscored."""
        return grader_score(self.rollout, self.score) if self.value is None else self.value


async def measure(
    actor: Actor, library: Library, cases: Sequence[tuple[Problem, int]], sampling: Sampling, role: str
) -> tuple[Graded, ...]:
    """Run and grade one rollout per (problem, seed index), in input order.

    Raises:
        BudgetReached: a budget did not admit all of them; half a measurement would be a wrong one. Calls that were
            under way have ended and are in the journal: they were paid for.
    """

    async def one(problem: Problem, index: int) -> Graded:
        rollout = await roll_out(actor, problem, library, actor.slot(role, index, sampling))
        (score,) = await grade(actor.grader, problem, (rollout,))
        return Graded(rollout, score, actor.reward(rollout, score))

    graded = tuple(await actor.executor.run([partial(one, p, i) for p, i in cases], limit=actor.concurrency))
    for failure in (g.score.failure for g in graded):
        if failure and failure.kind is FailureKind.BUDGET:
            raise BudgetReached(failure.message)
    return graded
