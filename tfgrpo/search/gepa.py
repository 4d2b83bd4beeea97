"""GEPA over library versions: a pool, Pareto selection, reflective mutation, validation; with merges on demand.

The algorithm is that of arXiv 2507.19457 with four changes that its defects ask for: all P x N proposals of a step run
at once and what they learned is pooled; children race on the held-out problems; a failed rollout is no score; and
everything goes through the journal, so that a run that is repeated takes the same way and pays nothing twice.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from experience_db import Library
from tfgrpo.backends.metered import total_usage
from tfgrpo.errors import BudgetReached, NothingLearned
from tfgrpo.learning.gate_step import usage_difference
from tfgrpo.learning.run import Run
from tfgrpo.search.children import CandidatePlan, assign_ids, candidates_from
from tfgrpo.search.components import ComponentRequest, components_of
from tfgrpo.search.merge import MergeSchedule, TriedMerge, merge_step
from tfgrpo.search.mutate import propose
from tfgrpo.search.pool import Candidate, best_candidate, same_candidate, score_table
from tfgrpo.search.proposal import Child, MutationTask
from tfgrpo.search.prune import mark_superseded, prune_lessons
from tfgrpo.search.rules import SearchRules, search_rules
from tfgrpo.search.sampler import MinibatchRequest
from tfgrpo.search.store_step import (
    ScoredCandidate,
    candidate_summary,
    candidate_verdicts,
    store_step,
    validation_evidence,
)
from tfgrpo.search.validate import RacingCandidate, score_library, validate
from tfgrpo.types import Step, Verdict

TOLD = 6
"""Refused edits of a parent that its next reflection is told of, the newest."""
ENOUGH_FAILED = 8
"""Reflections after which a run ends if every one of them failed: going on only costs more."""


@dataclass(slots=True)
class Search:
    """What a search carries from step to step; a function of configuration, dataset and journal."""

    run: Run
    rules: SearchRules
    pool: list[Candidate]
    head: Library
    """The newest version."""
    refused: list[Verdict] = field(default_factory=list)
    """What minibatches and races refused, oldest first."""
    lost: set[str] = field(default_factory=set)
    """Learning problems whose newest rollouts were not all perfect."""
    merging: MergeSchedule | None = None
    stale: int = 0
    """Steps since the best candidate changed."""
    failed: int = 0
    """Reflections that failed, all so far; -1 once one of them worked."""

    @property
    def best(self) -> int:
        """Index of the final choice as it stands."""
        return best_candidate(self.pool, self.run.config.search)


async def search(run: Run) -> AsyncIterator[Step]:
    """Search from the run's library, and yield each step once it is stored.

    A used-up budget ends the loop at the step it hit, as in `learning.loop.learn`: that step is yielded but not stored.

    Raises:
        EndpointError: the endpoint refuses every call.
        NothingLearned: every reflection failed.
    """
    found = await score_start(run)
    if found is None:
        return
    done = {row.step for row in run.store.steps(run.id)}
    for index in range(most_steps(run)):
        run.ledger.closed = index in done
        step, made = await _step(found, index)
        run.ledger.closed = False
        if run.stopped:
            yield step
            return
        step = store_candidates(found, step, made)
        reason = stop_reason(found)
        if reason:
            step = replace(step, monitor={**step.monitor, "ended": reason})
        yield step
        if reason:
            break
        _require_reflections(found, ENOUGH_FAILED)
    _require_reflections(found, 1)
    run.library = found.head


async def score_start(run: Run) -> Search | None:
    """Score the version that the search starts from; None when the budget does not reach that far."""
    try:
        marks = await score_library(run, run.library, run.heldout)
    except BudgetReached as error:
        run.stopped = str(error)
        return None
    config = run.config.search
    start = Candidate(run.library, (), "start", marks)
    run.before = run.after = heldout_rewards(run, start)
    merging = MergeSchedule() if config.kind == "gepa-merge" else None
    return Search(run, search_rules(config), [start], run.library, merging=merging)


def heldout_rewards(run: Run, candidate: Candidate) -> tuple[float, ...]:
    """Return a candidate's held-out rewards in the order of the problems; nan where there is none."""
    return tuple(candidate.marks.reward.get(p.id, math.nan) for p in run.heldout)


def most_steps(run: Run) -> int:
    """Return how many steps a run has at most: as configured, else `epochs` passes over the problems."""
    config = run.config.search
    if config.steps is not None:
        return config.steps
    minibatches = run.config.epochs * minibatches_per_epoch(run)
    return -(-minibatches // (config.parents * config.proposals))


def minibatches_per_epoch(run: Run) -> int:
    """Minibatches of one pass over the problems."""
    return -(-len(run.learning) // run.config.search.minibatch)


async def _step(found: Search, index: int) -> tuple[Step, tuple[ScoredCandidate, ...]]:
    """Merge where that is due and possible, else mutate; nothing is stored yet."""
    used = total_usage(found.run.tally)
    tried: TriedMerge | None = None
    if found.merging is not None:
        tried = await merge_step(found.run, found.merging, found.pool, found.head, index)
    if tried is not None:
        step, made = _merged(found, index, tried)
    else:
        step, made = await _mutated(found, index)
    return replace(step, usage=usage_difference(total_usage(found.run.tally), used)), made


def _merged(found: Search, index: int, tried: TriedMerge) -> tuple[Step, tuple[ScoredCandidate, ...]]:
    epoch, version = _epoch(found.run, index), found.head.version
    monitor = {"merge": {"of": list(tried.origins), "refused": tried.refused}}
    step = Step(index, epoch, (), (), tried.verdicts, tried.failures, version, version, monitor=monitor)
    return step, tried.made


async def _mutated(found: Search, index: int) -> tuple[Step, tuple[ScoredCandidate, ...]]:
    run = found.run
    tasks = draw_tasks(found, index)
    children = await run.actor.executor.run([partial(propose, run, task, found.rules.accept) for task in tasks])
    run.stopped = next((c.stopped for c in children if c.stopped), run.stopped)
    children = without_twins(children, found.pool)
    accepted = [c for c in children if c.accepted]
    goals: tuple[CandidatePlan, ...] = ()
    made: tuple[ScoredCandidate, ...] = ()
    if not run.stopped:
        means = [c.mean for c in found.pool]
        limit = run.config.lessons.budget_tokens
        goals = assign_ids(candidates_from(accepted, means, run.config.search.pool, limit), found.head)
        made = await _validated(found, goals)
    return _told(found, index, children, made), made


def draw_tasks(found: Search, index: int) -> tuple[MutationTask, ...]:
    """Return the P x N proposals of a step: parents drawn from the pool as it stands, a minibatch for each proposal."""
    run, config = found.run, found.run.config.search
    rng = Random(f"{run.config.seed}/select/{index}")
    scores = score_table(found.pool)
    parents = [found.rules.select(scores, config.frontier, rng) for _ in range(config.parents)]
    lost = frozenset(i for i, p in enumerate(run.learning) if p.id in found.lost)
    components = components_of(run)
    tasks = []
    for n, parent in enumerate(k for k in parents for _ in range(config.proposals)):
        number = index * config.parents * config.proposals + n
        draw = MinibatchRequest(len(run.learning), config.minibatch, number, n, run.config.seed, lost)
        drawn = found.rules.sample(draw)
        problems = tuple(run.learning[i] for i in dict.fromkeys(drawn))
        library = replace(found.pool[parent].library, next_id=found.head.next_id)
        told = tuple(found.refused[-TOLD:])
        parts = found.rules.component(ComponentRequest(components, number, n, run.config.seed))
        tasks.append(MutationTask(parent, library, problems, number // minibatches_per_epoch(run), index, told, parts))
    return tuple(tasks)


def _epoch(run: Run, index: int) -> int:
    config = run.config.search
    return index * config.parents * config.proposals // minibatches_per_epoch(run)


def without_twins(children: Sequence[Child], pool: Sequence[Candidate]) -> list[Child]:
    """Refuse children whose lessons a candidate or an earlier sibling has already."""
    seen: dict[tuple[str, ...], str] = {}
    found = []
    for child in children:
        if child.accepted:
            words = tuple(sorted(x.text for x in child.library))
            known = same_candidate(pool, child.library)
            same = f"version {pool[known].library.version}" if known is not None else seen.get(words, "")
            child = replace(child, refused=f"{same} has the same lessons") if same else child  # noqa: PLW2901
            seen.setdefault(words, "a sibling")
        found.append(child)
    return found


async def _validated(found: Search, goals: Sequence[CandidatePlan]) -> tuple[ScoredCandidate, ...]:
    entries = [RacingCandidate(goal.library, found.pool[goal.parents[0]].marks.reward) for goal in goals]
    try:
        raced = await validate(found.run, entries)
    except BudgetReached as error:
        found.run.stopped = str(error)
        return ()
    made = tuple(ScoredCandidate(goal, entry) for goal, entry in zip(goals, raced, strict=True))
    if not found.run.config.search.prune or len(made) != 1 or not made[0].joins:
        return made
    try:
        less = await prune_lessons(found.run, made[0], found.head.next_id)
    except BudgetReached as error:
        found.run.stopped = str(error)
        return ()
    return made if less is None else (mark_superseded(made[0], less), less)


def _told(found: Search, index: int, children: Sequence[Child], made: Sequence[ScoredCandidate]) -> Step:
    """Return the step as it is told: every edit has a verdict."""
    run, version = found.run, found.head.version
    verdicts = [v for c in children for v in c.dropped]
    for child in children:
        edits = tuple(p.edit for p in child.proposals)
        if child.proposals and child.refused:
            verdicts.append(Verdict("rejected", edits, child.refused))
        elif child.proposals and not made:
            verdicts.append(Verdict("undecided", edits, f"cut short: {run.stopped}"))
    verdicts += candidate_verdicts(made, [validation_evidence(run, m, _origins(found, m)) for m in made])
    return Step(
        index,
        _epoch(run, index),
        tuple(g for c in children for g in c.groups),
        tuple(p for c in children for p in c.proposals),
        tuple(verdicts),
        tuple(f for c in children for f in c.failures),
        version,
        version,
        sum(len(c.dropped) for c in children),
        monitor=_monitor(found, children),
    )


def _origins(found: Search, made: ScoredCandidate) -> tuple[int, ...]:
    return tuple(found.pool[k].library.version for k in made.goal.parents)


def _monitor(found: Search, children: Sequence[Child]) -> dict[str, Any]:
    skipped = [c.skipped for c in children if c.skipped]
    _count_reflections(found, children)
    return {
        "search": {
            "parents": [found.pool[c.task.parent].library.version for c in children],
            "minibatch": [[_sum(c.before), _sum(c.after)] for c in children],
            "skipped": {reason: skipped.count(reason) for reason in dict.fromkeys(skipped)},
        }
    }


def _sum(values: Sequence[float]) -> float | None:
    known = [v for v in values if not math.isnan(v)]
    return math.fsum(known) if known else None


def _count_reflections(found: Search, children: Sequence[Child]) -> None:
    failed = sum(bool(c.failures) and not c.proposals and not c.dropped for c in children)
    worked = any(not c.failures and not c.skipped and not c.stopped for c in children)
    found.failed = -1 if worked or found.failed < 0 else found.failed + failed


def _require_reflections(found: Search, enough: int) -> None:
    """A search whose every reflection failed must not look like one that found nothing better."""
    if found.failed >= enough:
        raise NothingLearned(f"every reflection failed, {found.failed} in all; see the failures of the run's steps")


def store_candidates(found: Search, step: Step, made: Sequence[ScoredCandidate]) -> Step:
    """Put a step's candidates into the pool, keep the step, and return it with the version it led to."""
    run, before = found.run, found.best
    pool = [*found.pool]
    for each in made:
        if each.joins:
            found.pool.append(Candidate(each.goal.library, each.goal.parents, each.goal.kind, each.entry.marks))
    chosen = found.best
    found.stale = 0 if chosen != before else found.stale + 1
    _remember(found, step, made)
    told = {
        "candidates": [candidate_summary(m, m.goal.library.version) for m in made],
        "pool": len(found.pool),
        "best": found.pool[chosen].library.version,
        "best_mean": found.pool[chosen].mean if found.pool[chosen].marks.reward else None,
    }
    step = replace(step, monitor={**step.monitor, **told})
    found.head, step = store_step(run, step, made, pool, found.pool[chosen].library)
    if run.progress is not None:
        run.progress.steps += 1
    run.after = heldout_rewards(run, found.pool[chosen])
    return step


def _remember(found: Search, step: Step, made: Sequence[ScoredCandidate]) -> None:
    """Keep what later reflections are told of, and whether a merge is due.

    What the checks in code refused is left out: a leaked answer would be shown to every later reflection.
    """
    perfect = found.run.config.search.perfect
    for group in step.groups_P:
        solved = all(s.value is not None and s.value >= perfect for s in group.scores_G)
        (found.lost.discard if solved else found.lost.add)(group.problem.id)
    tried = [v for v in step.verdicts if v.decision == "rejected" and (v.evidence or v.reason.startswith("minibatch"))]
    found.refused += tried
    if found.merging is not None and step.groups_P:
        found.merging.accepted_child(sum(m.joins for m in made), found.run.config.search.merges)


def stop_reason(found: Search) -> str:
    """Say why a search is over before its last step; '' while it goes on."""
    config, top = found.run.config.search, found.pool[found.best]
    if config.target is not None and top.mean >= config.target:
        return f"version {top.library.version} reached the target: {top.mean:.3f} on the held-out problems"
    if config.patience is not None and found.stale >= config.patience:
        return f"no better candidate for {found.stale} steps"
    return ""
