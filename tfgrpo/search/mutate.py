"""One proposal: run a parent on a minibatch, reflect on what it did, and try the child on the same minibatch.

`reflect` shows one rollout of each problem to one reflection, as GEPA does. `groups` contrasts the rollouts of each
problem with each other and consolidates what the contrasts propose, as the line of `tfgrpo.learning.loop` does.
"""

from __future__ import annotations

import math
from dataclasses import replace

from tfgrpo.errors import BudgetReached
from tfgrpo.learning.batch import run_batch
from tfgrpo.learning.gate_step import known_effects
from tfgrpo.learning.propose import BatchConditions
from tfgrpo.learning.run import Run, learning_sampling
from tfgrpo.lessons.consolidate import consolidate
from tfgrpo.lessons.review import decided_before, hold_for_review, screen
from tfgrpo.methods.method import EMPTY_MEMORY, accuracy
from tfgrpo.rollout import Graded, measure
from tfgrpo.search.acceptance import Acceptance
from tfgrpo.search.proposal import Child, MutationTask
from tfgrpo.search.reflect import reflect, skip_reason
from tfgrpo.types import Group, GroupStatus, Problem, Verdict


def mutation_of(run: Run) -> str:
    """Return `reflect` or `groups`: as configured, else as the prompt set can."""
    return run.config.search.mutation or run.teacher.prompts.settings.reflect


async def propose(run: Run, task: MutationTask, accept: Acceptance) -> Child:
    """Make one child and try it; a used-up budget is a value, so that other proposals may end.

    Raises:
        EndpointError: the endpoint refuses every call.
    """
    try:
        child = await (_from_groups if mutation_of(run) == "groups" else _from_reflection)(run, task)
        child = screen_child(run, child)
        return await _tried(run, child, accept) if child.proposals and not child.stopped else child
    except BudgetReached as error:
        return Child(task, stopped=str(error))


def screen_child(run: Run, child: Child) -> Child:
    """Take out what scanners refuse and what waits for a person: neither is part of a candidate."""
    decided = decided_before(run.store, run.library.name, run.id, child.task.step)
    found = screen(child.proposals, run.rules, decided, run.library.lessons)
    held = hold_for_review([Verdict("accepted", (p.edit,), "proposed, and not measured") for p in found.held])
    return replace(child, proposals=found.clean, dropped=(*child.dropped, *found.verdicts, *held))


async def _from_reflection(run: Run, task: MutationTask) -> Child:
    cases = [(problem, task.epoch) for problem in task.problems]
    graded = await measure(run.actor, task.library, cases, learning_sampling(run.config), "rollout")
    groups = tuple(_single(run, p, g, task.library.version) for p, g in zip(task.problems, graded, strict=True))
    for group in groups:
        if run.actor.on_group is not None:
            run.actor.on_group(group)
    child = Child(task, groups, before=tuple(g.reward for g in graded))
    if skipped := skip_reason(child.before, run):
        return replace(child, skipped=skipped)
    return await reflect(run, child, graded)


def _single(run: Run, problem: Problem, graded: Graded, version: int) -> Group:
    """Return one rollout as a group; it teaches unless it is perfect."""
    status = GroupStatus.KEPT if graded.reward < run.config.search.perfect else GroupStatus.FLAT
    status = GroupStatus.FAILED if math.isnan(graded.reward) else status
    return Group(problem, (graded.rollout,), (graded.score,), (graded.reward,), (0.0,), status, version)


async def _from_groups(run: Run, task: MutationTask) -> Child:
    sampling = learning_sampling(run.config)
    known = known_effects(run, task.library, task.step)
    given = BatchConditions(
        run.actor,
        run.teacher,
        run.config,
        task.library,
        sampling,
        task.epoch,
        task.step,
        task.told,
        known,
        EMPTY_MEMORY,
    )
    taught = await run_batch(given, task.problems)
    proposals = [
        replace(p, weight=g.weight)
        for g, c in zip(taught.groups_P, taught.contrasts_P, strict=True)
        for p in c.proposals
    ]
    dropped = tuple(v for c in taught.contrasts_P for v in c.dropped)
    failures = tuple(f for c in taught.contrasts_P for f in c.failures)
    before = tuple(r for g in taught.groups_P for r in accuracy(g))
    child = Child(task, taught.groups_P, before=before, dropped=dropped, failures=failures)
    spent = [s.failure for g in taught.groups_P for s in g.scores_G if s.failure]
    if cut := next((f.message for f in (*spent, *failures) if f.kind == "budget"), ""):
        return replace(child, stopped=cut)
    if not proposals:
        return replace(child, skipped=skip_reason(before, run) or "no contrast proposed anything")
    merged = await consolidate(run.teacher, task.library, proposals, known)
    if cut := next((f.message for f in merged.failures if f.kind == "budget"), ""):
        return replace(child, stopped=cut)
    failures, dropped = (*failures, *merged.failures), (*dropped, *merged.dropped)
    return replace(child, proposals=merged.proposals, dropped=dropped, failures=failures)


async def _tried(run: Run, child: Child, accept: Acceptance) -> Child:
    """Run the child where its parent ran: same problems, same seeds."""
    cases = [(g.problem, r.index) for g in child.groups for r in g.rollouts_G]
    try:
        graded = await measure(run.actor, child.library, cases, learning_sampling(run.config), "rollout")
    except BudgetReached as error:
        return replace(child, stopped=str(error))
    after = tuple(g.reward for g in graded)
    return replace(child, after=after, refused=accept(child.before, after))
