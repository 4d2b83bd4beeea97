"""MIPROv2 over libraries: lessons, instructions and sets of demonstrations, then TPE over which of them are in.

The first step runs groups on some learning problems and collects candidates: lessons that contrasts propose (none where
`search.candidates` is 0, as published), sets of rollouts that earned full reward as worked examples, and instructions
by a grounded proposer. A choice says for each lesson whether it is in, and which instructions and which set of examples
stand beside them, if any. Every later step tries a few choices on a minibatch of held-out problems; after every
`search.every` trials the one with the best average is scored on all of them and joins the pool. The library that the
search started from is the first member, as MIPROv2's default program is its trial 0. Source: Opsahl-Ong et al. 2024,
arXiv 2406.11695.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from experience_db import Edit, Library, Op, Source
from experience_db.library import example_text
from tfgrpo.backends.metered import total_usage
from tfgrpo.errors import BudgetReached, NothingLearned
from tfgrpo.learning.batch import BatchResult, run_batch
from tfgrpo.learning.gate_step import known_effects, usage_difference
from tfgrpo.learning.propose import BatchConditions
from tfgrpo.learning.run import Run, learning_sampling
from tfgrpo.lessons.edits import check_edits, fit_budget, join_duplicates
from tfgrpo.lessons.review import NEVER, decided_before, hold_for_review, screen
from tfgrpo.lessons.scanners import KINDS
from tfgrpo.methods.method import EMPTY_MEMORY, accuracy
from tfgrpo.prompting.transcript import cut_to_tokens
from tfgrpo.search import gepa
from tfgrpo.search.children import CandidatePlan
from tfgrpo.search.gepa import Search
from tfgrpo.search.grounded import Grounded, propose_instructions
from tfgrpo.search.pool import Candidate, best_candidate
from tfgrpo.search.store_step import ScoredCandidate
from tfgrpo.search.subsets import Subset, Tpe, default_trials, next_validated, require_optuna
from tfgrpo.search.validate import RacingCandidate, heldout_order, score_library, validate
from tfgrpo.types import Group, GroupStatus, Problem, Proposal, Step, Verdict

AT_ONCE = 4
"""Subsets that are tried at the same time."""
EARNED = "a rollout that earned full reward"
EXAMPLE_TOKENS = 300
"""Longest demonstration."""

__all__ = ["require_optuna", "search"]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a choice means: a yes or no for each lesson, then the number of the instructions and of the set."""

    lessons: int
    instructions: int
    """How many there are; 0 stands for those of the run."""
    sets: tuple[frozenset[int], ...] = ()
    """Which demonstrations each set holds; 0 stands for none of them."""
    demonstrations: int = 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each variable has; one without an alternative is left out."""
        rest = (1 + self.instructions if self.instructions else 0, 1 + len(self.sets) if self.sets else 0)
        return (*(2,) * self.lessons, *(size for size in rest if size))

    def inside(self, subset: Subset) -> tuple[bool, ...]:
        """Return for each candidate whether a choice puts it in."""
        rest = list(subset[self.lessons :])
        which = rest.pop(0) if self.instructions else 0
        chosen = self.sets[rest[0] - 1] if rest and rest[0] else frozenset[int]()
        return (
            *(bool(value) for value in subset[: self.lessons]),
            *(number + 1 == which for number in range(self.instructions)),
            *(number in chosen for number in range(self.demonstrations)),
        )

    def everything(self, *, sets: bool) -> Subset:
        """Return the choice of all lessons, the instructions of the run, and the first set or none."""
        return (*(1,) * self.lessons, *((0,) if self.instructions else ()), *((int(sets),) if self.sets else ()))


@dataclass(slots=True)
class SubsetTrials:
    """What was tried so far."""

    edits: tuple[Edit, ...]
    """One ADD per candidate: lessons, then instructions, then demonstrations."""
    choices: Choices
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
    given = BatchConditions(
        run.actor, run.teacher, run.config, library, drawn_as, 0, 0, (), known, EMPTY_MEMORY, asks=config.candidates > 0
    )
    taught = await run_batch(given, [run.learning[i] for i in drawn])
    run.stopped = _cut(taught)
    proposals = _lessons(taught)
    screened = screen(proposals, run.rules, decided_before(run.store, library.name, run.id, 0), library.lessons)
    adds = [p for p in sorted(screened.clean, key=lambda p: -p.support * p.weight) if p.edit.op is Op.ADD]
    checked = check_edits([p.edit for p in adds], library.lessons, max_words=run.config.lessons.max_words)
    kept = checked.kept[: config.candidates]
    examples, stopped = _examples(run, taught)
    grounded = await _instructions(run, [run.learning[i] for i in drawn], examples)
    instructions = grounded.edits
    dropped = [*stopped, *grounded.dropped, *(v for c in taught.contrasts_P for v in c.dropped)]
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
    failures = (*(f for c in taught.contrasts_P for f in c.failures), *grounded.failures)
    version = found.head.version
    trials = _trials(run, kept, instructions, examples)
    told = {
        "search": {
            "candidates": len(kept), "instructions": len(instructions), "demonstrations": len(examples),
            "sets": len(trials.choices.sets),
        }
    }  # fmt: skip
    step = Step(
        0, 0, taught.groups_P, tuple(proposals), tuple(dropped), failures, version, version,
        sum(len(c.dropped) for c in taught.contrasts_P), monitor=told,
    )  # fmt: skip
    if trials.edits and found.pool[0].marks.reward:
        # That nothing is in was measured first of all; the estimator is told, as MIPROv2 tells its default program.
        start = (0,) * len(trials.choices.sizes)
        trials.tpe.add(start, found.pool[0].marks.mean)
        trials.validated.add(start)
    whole = trials.choices.everything(sets=True)
    made = await _validated(found, trials, whole) if trials.edits and not run.stopped else ()
    return step, trials, made


async def _instructions(run: Run, problems: Sequence[Problem], examples: Sequence[Edit]) -> Grounded:
    """Return the instructions that go on, looked at as lessons are; none where a budget is used up."""
    if run.stopped:
        return Grounded()
    found = await propose_instructions(run, problems, examples)
    run.stopped = found.stopped
    screened = screen([Proposal(edit) for edit in found.edits], run.rules)
    held = hold_for_review([Verdict("accepted", (p.edit,), "proposed") for p in screened.held])
    dropped = (*found.dropped, *screened.verdicts, *held)
    return replace(found, edits=tuple(p.edit for p in screened.clean), dropped=dropped)


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
        try:
            text = example_text(group.problem.question, cut_to_tokens(rollout.answer, EXAMPLE_TOKENS))
        except ValueError:
            continue
        source = Source(group.problem.id, (rollout.index,), run)
        found.append(Edit(Op.ADD, text, (), EARNED, (source,), rollout.tainted))
    return tuple(found)


def _trials(run: Run, lessons: Sequence[Edit], instructions: Sequence[Edit], examples: Sequence[Edit]) -> SubsetTrials:
    """Begin with all lessons and no demonstration; that all lessons and demonstrations are in was validated already."""
    edits = (*lessons, *instructions, *examples)
    sets = demonstration_sets(len(examples), run.config.search.demonstration_sets, run.config.seed)
    choices = Choices(len(lessons), len(instructions), sets, len(examples))
    tpe = Tpe(choices.sizes, run.config.seed)
    if edits:
        tpe.enqueue(choices.everything(sets=False))
    wanted = run.config.search.trials or default_trials(len(edits))
    return SubsetTrials(edits, choices, tpe, wanted if edits else 0)


def demonstration_sets(count: int, most: int, seed: int) -> tuple[frozenset[int], ...]:
    """Return up to `most` different sets of `count` demonstrations: all of them first, then random ones of any size."""
    if not count:
        return ()
    rng, found = Random(f"{seed}/demonstrations"), [frozenset(range(count))]
    while len(found) < min(most, 2**count - 1):
        drawn = frozenset(rng.sample(range(count), rng.randint(1, count)))
        if drawn not in found:
            found.append(drawn)
    return tuple(found)


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
    told = [{"lessons": sum(trials.choices.inside(s)), "mean": v} for s, v in zip(subsets, scores, strict=True)]
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
    library = subset_library(found, trials.edits, trials.choices.inside(subset))
    order = heldout_order(found.run)
    try:
        marks = await score_library(found.run, library, [order[i] for i in batch])
    except BudgetReached as error:
        return error
    return marks.mean if marks.reward else None


def subset_library(found: Search, edits: Sequence[Edit], subset: Sequence[bool]) -> Library:
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
    chosen_edits = trials.choices.inside(subset)
    drawn = subset_library(found, trials.edits, chosen_edits)
    library = replace(drawn, version=found.head.version + 1, next_id=max(found.head.next_id, drawn.next_id))
    inside = tuple(edit for edit, chosen in zip(trials.edits, chosen_edits, strict=True) if chosen)
    why = {run.library.next_id + n: edit for n, edit in enumerate(trials.edits)}
    goal = CandidatePlan(library, (0,), "subset", {i: why[i] for i in why if i in {x.id for x in library}}, inside)
    try:
        (entry,) = await validate(run, [RacingCandidate(library, found.pool[0].marks.reward)])
    except BudgetReached as error:
        run.stopped = str(error)
        return ()
    mean = entry.whole_mean
    if mean is not None:
        trials.tpe.add(subset, mean)
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
