"""Scoring children on held-out problems, with as few rollouts as the decision needs.

A race takes held-out problems in rungs, in an order drawn once per run. It ends for a child when a betting test holds
10 to 1 that it is worse than its parent on the problems seen so far, or, in successive halving, when the other half of
its siblings is ahead. Who is left was scored on every problem, as GEPA's candidates are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from experience_db import Evidence, Library
from tfgrpo import stats
from tfgrpo.errors import BudgetReached
from tfgrpo.gates.eprocess import fold
from tfgrpo.learning.run import Run, evaluation_sampling
from tfgrpo.rollout import measure
from tfgrpo.search.pool import HeldoutScores, heldout_scores
from tfgrpo.types import Problem

WORSE = 10.0
"""Capital against "not worse than the parent" at which a child leaves the race."""
ROLE = "evaluate"
"""The same role, seed index and sampling as the measurements before and after a run: nothing is measured twice."""


@dataclass(frozen=True, slots=True)
class RacingCandidate:
    """A child in the race."""

    library: Library
    rival: Mapping[str, float]
    """Rewards of its parent."""
    marks: HeldoutScores = field(default_factory=HeldoutScores)
    lost: str = ""
    """Why it is out; '' while it is in."""

    @property
    def whole_mean(self) -> float | None:
        """The mean over all held-out problems; None where the race ended early, on the first of them."""
        return None if self.lost or not self.marks.reward else self.marks.mean


async def score_library(run: Run, library: Library, problems: Sequence[Problem]) -> HeldoutScores:
    """Measure one library on held-out problems, seed index 0.

    Raises:
        BudgetReached: not all of it fits.
    """
    graded = await measure(run.actor, library, [(p, 0) for p in problems], evaluation_sampling(run.config), ROLE)
    return heldout_scores(graded)


async def validate(run: Run, entries: Sequence[RacingCandidate]) -> tuple[RacingCandidate, ...]:
    """Score all children as `search.validation` says; those that lost carry the reason and what was measured.

    Raises:
        BudgetReached: not all of it fits; what was measured is in the journal.
    """
    racing, order = list(entries), heldout_order(run)
    for start, end in rungs(len(order), run.config.search.look, run.config.search.validation):
        still = [n for n, entry in enumerate(racing) if not entry.lost]
        jobs = [partial(_rung, run, racing[n], order[start:end]) for n in still]
        for n, entry in zip(still, await run.actor.executor.run(jobs), strict=True):
            if isinstance(entry, BudgetReached):
                raise entry
            racing[n] = entry
        if end < len(order):
            racing = list(_cut(racing, run.config.search.validation))
    return tuple(racing)


async def _rung(run: Run, entry: RacingCandidate, problems: Sequence[Problem]) -> RacingCandidate | BudgetReached:
    """Return the entry with further marks; a used-up budget is a value, so that siblings under way may end."""
    try:
        return replace(entry, marks=entry.marks | await score_library(run, entry.library, problems))
    except BudgetReached as error:
        return error


def heldout_order(run: Run) -> tuple[Problem, ...]:
    """Return the held-out problems in the order of the rungs, the same one for all children of a run."""
    order = list(run.heldout)
    Random(f"{run.config.seed}/rungs").shuffle(order)
    return tuple(order)


def rungs(count: int, first: int, kind: str) -> tuple[tuple[int, int], ...]:
    """Return [start, end) of each rung: `first` problems, then as many again as were seen; all at once for `full`."""
    if kind == "full" or first >= count:
        return ((0, count),)
    found, end = [(0, first)], first
    while end < count:
        found.append((end, min(2 * end, count)))
        end = found[-1][1]
    return tuple(found)


def _cut(racing: Sequence[RacingCandidate], kind: str) -> tuple[RacingCandidate, ...]:
    """Take out who lost to its parent; in halving also the worse half of those left, ties going to the earlier one."""
    cut = [entry if entry.lost else _against_parent(entry) for entry in racing]
    still = [n for n, entry in enumerate(cut) if not entry.lost]
    if kind == "halving" and len(still) > 1:
        ranked = sorted(still, key=lambda n: (-cut[n].marks.mean, n))
        for n in ranked[math.ceil(len(still) / 2) :]:
            seen = len(cut[n].marks.reward)
            cut[n] = replace(cut[n], lost=f"behind its siblings after {seen} held-out problems")
    return tuple(cut)


def _against_parent(entry: RacingCandidate) -> RacingCandidate:
    found = differences(entry.rival, entry.marks.reward)
    if not found or not all(-1.0 <= d <= 1.0 for d in found) or fold(found).e_worse < WORSE:
        return entry
    mean = math.fsum(found) / len(found)
    return replace(entry, lost=f"worse than its parent: {mean:+.2f} after {len(found)} held-out problems")


def differences(before: Mapping[str, float], after: Mapping[str, float]) -> list[float]:
    """Return the paired differences over the problems that both have."""
    return [after[v] - before[v] for v in sorted({*before} & {*after})]


def race_evidence(
    entry: RacingCandidate, lesson_ids: tuple[int, ...], detail: Mapping[str, object], seed: int
) -> Evidence:
    """Return a validation as evidence: the paired difference to the parent over the problems that both have."""
    shared = sorted({*entry.rival} & {*entry.marks.reward})
    found = stats.paired_difference(
        [entry.rival[v] for v in shared], [entry.marks.reward[v] for v in shared], seed=seed
    )
    known: Callable[[float], float | None] = lambda value: None if math.isnan(value) else value  # noqa: E731
    return Evidence(
        "validation",
        known(found.diff),
        known(found.low),
        known(found.high),
        n=found.n,
        lesson_ids=lesson_ids,
        verdict="rejected" if entry.lost else "accepted",
        reason=entry.lost or "joins the pool",
        detail={"mean": known(entry.marks.mean) if entry.marks.reward else None, **detail},
    )
