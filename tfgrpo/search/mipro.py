"""MIPROv2 over libraries: lessons and demonstrations from bootstrapped rollouts, then TPE over which of them are in.

The first step runs groups on some learning problems and collects candidates: lessons that contrasts propose, and
rollouts that earned full reward as worked examples. Every later step tries a few subsets on a minibatch of held-out
problems; after every `search.every` trials the subset with the best average is scored on all of them and joins the
pool. The library that the search started from is the first member, as MIPROv2's default program is its trial 0.
Source: Opsahl-Ong et al. 2024, arXiv 2406.11695.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from experience_db import Edit, Library, Op, Source
from tfgrpo.backends.metered import total_usage
from tfgrpo.errors import BudgetReached, NothingLearned
from tfgrpo.learning.batch import BatchConditions, BatchResult, run_batch
from tfgrpo.learning.gate_step import known_effects, usage_difference
from tfgrpo.learning.run import Run, learning_sampling
from tfgrpo.lessons.edits import check_edits, fit_budget, join_duplicates
from tfgrpo.lessons.review import NEVER, decided_before, hold_for_review, screen
from tfgrpo.lessons.scanners import KINDS
from tfgrpo.methods.method import EMPTY_MEMORY, accuracy
from tfgrpo.prompting.transcript import cut_to_tokens
from tfgrpo.search import gepa
from tfgrpo.search.children import CandidatePlan
from tfgrpo.search.gepa import Search
from tfgrpo.search.pool import Candidate, best_candidate
from tfgrpo.search.store_step import ScoredCandidate
from tfgrpo.search.subsets import Subset, Tpe, default_trials, next_validated, require_optuna
from tfgrpo.search.validate import RacingCandidate, heldout_order, score_library, validate
from tfgrpo.types import Group, GroupStatus, Proposal, Step, Verdict

AT_ONCE = 4
"""Subsets that are tried at the same time."""
EARNED = "a rollout that earned full reward"
EXAMPLE_TOKENS = 300
"""Longest demonstration."""

__all__ = ["require_optuna", "search"]


@dataclass(slots=True)
class SubsetTrials:
    """What was tried so far."""

    edits: tuple[Edit, ...]
    """One ADD per candidate."""
    tpe: Tpe
    wanted: int
    scored: dict[Subset, list[float]] = field(default_factory=dict)
    validated: set[Subset] = field(default_factory=set)
    count: int = 0


async def search(run: Run) -> AsyncIterator[Step]:
    """Search the subsets, and yield each step once it is stored; a used-up budget ends it as in `gepa.search`.

    Raises:
        EndpointError: the endpoint refuses every call.
        NothingLearned: every contrast failed.
    """
    found = await gepa.score_start(run)
    if found is None:
        return
    done = {row.step for row in run.store.steps(run.id)}
    trials: SubsetTrials | None = None
    for index in itertools.count():
        used = total_usage(run.tally)
        run.ledger.closed = index in done
        if trials is None:
            step, trials, made = await _bootstrap(found)
        else:
            step, made = await _tried(found, trials, index)
        run.ledger.closed = False
        step = replace(step, usage=usage_difference(total_usage(run.tally), used))
        if run.stopped:
            yield step
            return
        last = trials.count >= trials.wanted
        verdicts = (*step.verdicts, *(_settled(found, trials, made) if last else ()))
        yield gepa.store_candidates(found, replace(step, verdicts=verdicts), made)
        if not trials.edits:
            _require_contrasts(step)
        if last or gepa.stop_reason(found):
            break
    run.library = found.head


async def _bootstrap(found: Search) -> tuple[Step, SubsetTrials, tuple[ScoredCandidate, ...]]:
    """Roll out groups, collect the candidates, and validate the library that holds all of them."""
    run, config = found.run, found.run.config.search
    count = len(run.learning)
    drawn = sorted(Random(f"{run.config.seed}/bootstrap").sample(range(count), min(config.bootstrap, count)))
    library, drawn_as = run.library, learning_sampling(run.config)
    known = known_effects(run, library, 0)
    given = BatchConditions(run.actor, run.teacher, run.config, library, drawn_as, 0, 0, (), known, EMPTY_MEMORY)
    taught = await run_batch(given, [run.learning[i] for i in drawn])
    run.stopped = _cut(taught)
    proposals = _lessons(taught)
    screened = screen(proposals, run.rules, decided_before(run.store, library.name, run.id, 0))
    adds = [p for p in sorted(screened.clean, key=lambda p: -p.support * p.weight) if p.edit.op is Op.ADD]
    checked = check_edits([p.edit for p in adds], library.lessons, max_words=run.config.lessons.max_words)
    kept = checked.kept[: config.candidates]
    examples, stopped = _examples(run, taught)
    dropped = [*stopped, *(v for c in taught.contrasts_P for v in c.dropped)]
    dropped += [
        *screened.verdicts,
        *hold_for_review([Verdict("accepted", (p.edit,), "proposed") for p in screened.held]),
    ]
    dropped += [Verdict("rejected", (edit,), reason) for edit, reason in checked.dropped]
    others = [p.edit for p in screened.clean if p.edit.op is not Op.ADD]
    beyond = [*others, *checked.kept[config.candidates :]]
    dropped += [
        Verdict("rejected", (edit,), "no candidate: only the best supported new lessons are") for edit in beyond
    ]
    failures = tuple(f for c in taught.contrasts_P for f in c.failures)
    version = found.head.version
    told = {"search": {"candidates": len(kept), "demonstrations": len(examples)}}
    step = Step(
        0, 0, taught.groups_P, tuple(proposals), tuple(dropped), failures, version, version,
        sum(len(c.dropped) for c in taught.contrasts_P), monitor=told,
    )  # fmt: skip
    trials = _trials(run, (*kept, *examples))
    whole = (True,) * len(trials.edits)
    made = await _validated(found, trials, whole) if trials.edits and not run.stopped else ()
    return step, trials, made


def _lessons(taught: BatchResult) -> tuple[Proposal, ...]:
    pairs = zip(taught.groups_P, taught.contrasts_P, strict=True)
    return join_duplicates([replace(p, weight=g.weight) for g, c in pairs for p in c.proposals])


def _cut(taught: BatchResult) -> str:
    found = [s.failure for g in taught.groups_P for s in g.scores_G if s.failure]
    found += [f for c in taught.contrasts_P for f in c.failures]
    return next((f.message for f in found if f.kind == "budget"), "")


def _examples(run: Run, taught: BatchResult) -> tuple[tuple[Edit, ...], list[Verdict]]:
    """Return the demonstrations that go on, and why others do not: tool output and secrets are looked at as in lessons.

    An answer orders nothing and may hold code or addresses, so no other finding stops an example.
    """
    found = demonstrations(taught.groups_P, run.config.search.demonstrations, run.id)
    rules = replace(run.rules, allow=tuple(kind for kind in KINDS if kind not in NEVER))
    screened = screen([Proposal(edit) for edit in found], rules)
    held = hold_for_review([Verdict("accepted", (p.edit,), "an example") for p in screened.held])
    return tuple(p.edit for p in screened.clean), [*screened.verdicts, *held]


def demonstrations(groups: Sequence[Group], most: int, run: str) -> tuple[Edit, ...]:
    """Return rollouts of full reward as worked examples: one per problem, the problems hardest to solve first.

    They hold a learning problem with its answer on purpose, which a lesson never may; held-out problems share none.
    """
    solved = []
    for group in groups:
        known = [r for r in accuracy(group) if not math.isnan(r)]
        right = next((i for i, r in enumerate(accuracy(group)) if r >= 1.0), None)
        if right is not None and group.status is not GroupStatus.FAILED:
            solved.append((math.fsum(known) / len(known), group, right))
    found = []
    for _, group, i in sorted(solved, key=lambda each: each[0])[:most]:
        rollout = group.rollouts_G[i]
        said = " ".join(cut_to_tokens(rollout.answer, EXAMPLE_TOKENS).split())
        text = f"Worked example. {' '.join(group.problem.question.split())} {said}"
        source = Source(group.problem.id, (rollout.index,), run)
        found.append(Edit(Op.ADD, text, (), EARNED, (source,), rollout.tainted))
    return tuple(found)


def _trials(run: Run, edits: tuple[Edit, ...]) -> SubsetTrials:
    """Begin with all lessons and no demonstration; that everything is in was validated already."""
    tpe = Tpe(len(edits), run.config.seed)
    if edits:
        tpe.enqueue(tuple(edit.reason != EARNED for edit in edits))
    wanted = run.config.search.trials or default_trials(len(edits))
    return SubsetTrials(edits, tpe, wanted if edits else 0)


async def _tried(found: Search, trials: SubsetTrials, index: int) -> tuple[Step, tuple[ScoredCandidate, ...]]:
    """Try a few subsets, and validate the best one where that is due."""
    run, before = found.run, trials.count
    subsets = trials.tpe.ask(min(AT_ONCE, trials.wanted - trials.count))
    batches = [_minibatch(run, before + n) for n in range(len(subsets))]
    jobs = [partial(_score, found, trials, s, b) for s, b in zip(subsets, batches, strict=True)]
    values = await run.actor.executor.run(jobs)
    run.stopped = next((str(v) for v in values if isinstance(v, BudgetReached)), run.stopped)
    scores = [v if isinstance(v, float) else None for v in values]
    trials.tpe.tell(scores)
    for subset, value in zip(subsets, scores, strict=True):
        if value is not None:
            trials.scored.setdefault(subset, []).append(value)
    trials.count += len(subsets)
    every = run.config.search.every
    due = trials.count // every > before // every or trials.count >= trials.wanted
    chosen = next_validated(trials.scored, trials.validated) if due and not run.stopped else None
    made = await _validated(found, trials, chosen) if chosen is not None else ()
    told = [{"lessons": sum(s), "mean": v} for s, v in zip(subsets, scores, strict=True)]
    version = found.head.version
    step = Step(index, 0, (), (), (), (), version, version, monitor={"search": {"trials": told}})
    return step, made


def _minibatch(run: Run, number: int) -> tuple[int, ...]:
    rng = Random(f"{run.config.seed}/trial/{number}")
    count = len(run.heldout)
    return tuple(rng.sample(range(count), min(run.config.search.batch, count)))


async def _score(
    found: Search, trials: SubsetTrials, subset: Subset, batch: Sequence[int]
) -> float | BudgetReached | None:
    """Return a subset's mean reward on a minibatch; a used-up budget is a value, so that other trials may end."""
    library = subset_library(found, trials.edits, subset)
    order = heldout_order(found.run)
    try:
        marks = await score_library(found.run, library, [order[i] for i in batch])
    except BudgetReached as error:
        return error
    return marks.mean if marks.reward else None


def subset_library(found: Search, edits: Sequence[Edit], subset: Subset) -> Library:
    """Return the library that a subset makes; every candidate keeps one id in all subsets."""
    run = found.run
    base = run.library
    whole = base.with_edits(edits)
    chosen = {base.next_id + n for n, inside in enumerate(subset) if inside} | {x.id for x in base}
    lessons = tuple(x for x in whole.lessons if x.id in chosen)
    leaving = set(fit_budget(lessons, run.config.lessons.budget_tokens, {}))
    return replace(whole, lessons=tuple(x for x in lessons if x.id not in leaving))


async def _validated(found: Search, trials: SubsetTrials, subset: Subset) -> tuple[ScoredCandidate, ...]:
    """Score a subset on every held-out problem; it becomes a version."""
    run = found.run
    trials.validated.add(subset)
    drawn = subset_library(found, trials.edits, subset)
    library = replace(drawn, version=found.head.version + 1, next_id=max(found.head.next_id, drawn.next_id))
    inside = tuple(edit for edit, chosen in zip(trials.edits, subset, strict=True) if chosen)
    why = {run.library.next_id + n: edit for n, edit in enumerate(trials.edits)}
    goal = CandidatePlan(library, (0,), "subset", {i: why[i] for i in why if i in {x.id for x in library}}, inside)
    try:
        (entry,) = await validate(run, [RacingCandidate(library, found.pool[0].marks.reward)])
    except BudgetReached as error:
        run.stopped = str(error)
        return ()
    if entry.marks.reward:
        trials.tpe.add(subset, entry.marks.mean)
    return (ScoredCandidate(goal, entry),)


def _settled(found: Search, trials: SubsetTrials, made: Sequence[ScoredCandidate]) -> list[Verdict]:
    """Say of every candidate whether it is in the final choice."""
    pool = [*found.pool, *(Candidate(m.goal.library, (0,), "subset", m.entry.marks) for m in made if m.joins)]
    inside = {x.text for x in pool[best_candidate(pool, found.run.config.search)].library}
    chosen = tuple(edit for edit in trials.edits if edit.text in inside)
    left = tuple(edit for edit in trials.edits if edit.text not in inside)
    verdicts = [Verdict("accepted", chosen, "in the best subset")] if chosen else []
    return [*verdicts, *([Verdict("rejected", left, "not in the best subset")] if left else [])]


def _require_contrasts(step: Step) -> None:
    lost = [f for f in step.failures if f.kind != "budget"]
    if lost:
        raise NothingLearned(f"every contrast failed, {len(lost)} in all: {lost[0].message}")
