"""Storing a step of a search: its rollouts, its candidates with what they come from, and the best one as the head.

Readers of the library see the best candidate and nothing else: a step's candidates and the return to the best one are
one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experience_db import Evidence, Library
from tfgrpo.learning.record_step import record_end, record_group, record_refusals
from tfgrpo.learning.run import Run
from tfgrpo.search.children import CandidatePlan
from tfgrpo.search.pool import Candidate
from tfgrpo.search.validate import RacingCandidate, race_evidence
from tfgrpo.types import Group, Step, Verdict


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """A candidate of a step, scored."""

    goal: CandidatePlan
    entry: RacingCandidate

    @property
    def joins(self) -> bool:
        """Whether it is a member of the pool from now on."""
        return not self.entry.lost


def store_step(
    run: Run, step: Step, made: Sequence[ScoredCandidate], pool: Sequence[Candidate], best: Library
) -> tuple[Library, Step]:
    """Store a step in one transaction and return the newest version, which holds the lessons of `best`.

    A step that is stored already is not stored again: the version it led to is returned.

    Args:
        run: the run.
        step: without the versions it leads to.
        made: its candidates, in order of their versions.
        pool: the candidates before this step, whose indices `Goal.parents` names.
        best: the final choice among all candidates so far, this step's included.
    """
    store, name = run.store, run.library.name
    for row in store.steps(run.id, step.index):
        return store.library(name, row.version_after), replace(step, version_after=row.version_after)
    with store.atomic():
        for group in one_group_per_problem(step.groups_P):
            record_group(run, step, group)
        head = store.library(name, step.version_before)
        for each in made:
            head = _branch(run, step, each, pool, head)
        if visible_lessons(head) != visible_lessons(best):
            goal = replace(best, next_id=head.next_id)
            note = f"the best so far: version {best.version}"
            head = store.branch(
                goal, parent=head.version, origins=(best.version,), kind="best", run=run.id, step=step.index, note=note
            )
        record_refusals(store, name, step.verdicts, version=step.version_before, run=run.id, step=step.index)
        record_end(run, step, head.version, uses_in_pool(step.groups_P, pool))
    return head, replace(step, version_after=head.version)


def visible_lessons(library: Library) -> list[tuple[int, str]]:
    """Return what a rollout sees of a library."""
    return [(lesson.id, lesson.text) for lesson in library]


def one_group_per_problem(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Return one group of each problem, the first: where two proposals drew one problem, the journal has both."""
    return tuple({g.problem.id: g for g in reversed(groups)}.values())[::-1]


def uses_in_pool(groups: Sequence[Group], pool: Sequence[Candidate]) -> Mapping[int, int]:
    """Return how many rollouts of a step had each lesson in their prompt."""
    versions = {c.library.version: c.library for c in pool}
    counted: Counter[int] = Counter()
    for group in groups:
        answered = sum(r.failure is None for r in group.rollouts_G)
        for lesson in versions.get(group.version, Library("")):
            counted[lesson.id] += answered
    return counted


def _branch(run: Run, step: Step, each: ScoredCandidate, pool: Sequence[Candidate], head: Library) -> Library:
    origins = tuple(pool[k].library.version for k in each.goal.parents)
    made = run.store.branch(
        each.goal.library,
        parent=head.version,
        origins=origins,
        kind=each.goal.kind,
        why=each.goal.why,
        run=run.id,
        step=step.index,
        note=f"{each.goal.kind} of {' and '.join(map(str, origins))}",
    )
    found = validation_evidence(run, each, origins)
    run.store.add_evidence(made.name, [found], version=made.version, run=run.id, step=step.index)
    return made


def validation_evidence(run: Run, each: ScoredCandidate, origins: Sequence[int]) -> Evidence:
    """Return the validation of a candidate as evidence about the lessons in which it differs from its first parent."""
    gone = {i for i, edit in each.goal.why.items() if i not in {x.id for x in each.goal.library}}
    ids = tuple(sorted(set(each.goal.why) - gone))
    detail: dict[str, Any] = {
        "origins": list(origins),
        "kind": each.goal.kind,
        "problems": len(each.entry.marks.reward),
    }
    return race_evidence(each.entry, ids, detail, run.config.seed)


def candidate_verdicts(made: Sequence[ScoredCandidate], found: Sequence[Evidence]) -> list[Verdict]:
    """Return what validation said about the edits of each candidate."""
    return [
        Verdict("accepted" if m.joins else "rejected", m.goal.edits, m.entry.lost or "joins the pool", (e,))
        for m, e in zip(made, found, strict=True)
    ]


def candidate_summary(each: ScoredCandidate, version: int) -> dict[str, Any]:
    """Return a candidate as the step's summary tells it."""
    return {
        "version": version,
        "kind": each.goal.kind,
        "mean": each.entry.marks.mean if each.entry.marks.reward else None,
        "problems": len(each.entry.marks.reward),
        "lost": each.entry.lost,
    }
