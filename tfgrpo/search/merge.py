"""Merging two branches of a pool: when, whom, and whether the result may join it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from experience_db import Edit, Library, Op
from experience_db.prompt_parts import one_of_each_part
from tfgrpo.errors import BudgetReached
from tfgrpo.gates.eprocess import fold
from tfgrpo.learning.run import Run
from tfgrpo.lessons.edits import net_edits
from tfgrpo.search.children import CandidatePlan, UnnumberedCandidate, assign_ids
from tfgrpo.search.merge_ancestors import MergeSides, draw_sides, subsample
from tfgrpo.search.merge_conflicts import merge_libraries
from tfgrpo.search.mutate import mutation_of
from tfgrpo.search.pareto import best_per_key, drop_dominated
from tfgrpo.search.pool import Candidate, HeldoutScores, ancestry_of, same_candidate, score_table
from tfgrpo.search.store_step import ScoredCandidate, candidate_verdicts, validation_evidence
from tfgrpo.search.validate import RacingCandidate, differences, score_library, validate
from tfgrpo.types import Failure, Verdict

Sides = tuple[Mapping[str, float], Mapping[str, float]]
"""Held-out rewards of the better side and of the other."""
BUILDS = 10
"""Triples that are looked at for a merge that nobody has yet."""
BETTER, WORSE = 4.0, 10.0
"""Odds of the paired rule: that a merge is better than its better side, and that it is worse."""


@dataclass(slots=True)
class MergeSchedule:
    """When a merge is due; the counters are GEPA's."""

    due: int = 0
    accepted: int = 0
    fresh: bool = False
    """Whether the step before accepted a child."""
    done: set[MergeSides] = field(default_factory=set)

    def accepted_child(self, count: int, most: int) -> None:
        """Count what a step of mutations added to the pool."""
        self.fresh = count > 0
        if self.accepted < most:
            self.due += count


@dataclass(frozen=True, slots=True)
class TriedMerge:
    """What came of a merge that could be built."""

    origins: tuple[int, ...]
    """Versions of both sides and of the ancestor."""
    made: tuple[ScoredCandidate, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    failures: tuple[Failure, ...] = ()
    refused: str = ""


async def merge_step(
    run: Run, merging: MergeSchedule, pool: Sequence[Candidate], head: Library, index: int
) -> TriedMerge | None:
    """Try one merge where one is due; None where none could be built, and the step goes on with mutations."""
    if not (merging.due and merging.fresh):
        return None
    merging.fresh = False
    rng = Random(f"{run.config.seed}/merge/{index}")
    try:
        built = await _built(run, merging, pool, head, index, rng)
        if built is None:
            return None
        triple, goal, failures = built
        tried = await _tested(run, pool, triple, goal, rng)
    except BudgetReached as error:
        run.stopped = str(error)
        return TriedMerge((), refused=str(error))
    if tried.made and tried.made[0].joins:
        merging.due -= 1
        merging.accepted += 1
    return replace(tried, failures=failures)


async def _built(
    run: Run, merging: MergeSchedule, pool: Sequence[Candidate], head: Library, index: int, rng: Random
) -> tuple[MergeSides, CandidatePlan, tuple[Failure, ...]] | None:
    config = run.config.search
    known = ancestry_of(pool)
    eligible = drop_dominated(best_per_key(score_table(pool), config.frontier), known.means)
    overlap = min(config.overlap, len(run.heldout))
    failures: tuple[Failure, ...] = ()
    for _ in range(BUILDS):
        triple = draw_sides(known, eligible, merging.done, rng, overlap=overlap)
        if triple is None:
            return None
        merging.done.add(triple)
        a, b, stem = pool[triple.i], pool[triple.j], pool[triple.ancestor]
        better = "a" if (a.mean, -triple.i) >= (b.mean, -triple.j) else "b"
        found = await merge_libraries(
            run.store,
            run.library.name,
            (stem.library.lessons, a.library.lessons, b.library.lessons),
            better=better,
            teacher=run.teacher if mutation_of(run) == "reflect" else None,
            before=(run.id, index),
        )
        failures += found.failures
        first, second = (triple.i, triple.j) if better == "a" else (triple.j, triple.i)
        base = replace(pool[first].library, next_id=head.next_id)
        lessons = one_of_each_part(found.lessons, {lesson.id for lesson in base.lessons})
        edits = net_edits(base.lessons, lessons)
        (goal,) = assign_ids([UnnumberedCandidate(base, lessons, (first, second), "merge", edits)], head)
        if same_candidate(pool, goal.library) is None:
            why = {i: _because(edit, pool[second]) for i, edit in goal.why.items()}
            return triple, replace(goal, why=why, edits=edits), failures
    return None


def _because(edit: Edit, other: Candidate) -> Edit:
    return edit if edit.reason else replace(edit, reason=f"{_VERBS[edit.op]} version {other.library.version}")


_VERBS = {Op.ADD: "taken from", Op.UPDATE: "reworded as in", Op.DELETE: "left out as in", Op.MERGE: "joined as in"}


async def _tested(
    run: Run, pool: Sequence[Candidate], triple: MergeSides, goal: CandidatePlan, rng: Random
) -> TriedMerge:
    sides = pool[goal.parents[0]].marks.reward, pool[goal.parents[1]].marks.reward
    origins = tuple(pool[k].library.version for k in (*goal.parents, triple.ancestor))
    rule = _published if run.config.search.merge_rule == "published" else _confident
    refused = await rule(run, goal.library, sides, rng)
    if refused:
        return TriedMerge(origins, (), (Verdict("rejected", goal.edits, refused),), refused=refused)
    (entry,) = await validate(run, [RacingCandidate(goal.library, sides[0])])
    made = ScoredCandidate(goal, entry)
    found = validation_evidence(run, made, origins[:2])
    return TriedMerge(origins, (made,), tuple(candidate_verdicts([made], [found])), refused=entry.lost)


async def _published(run: Run, library: Library, sides: Sides, rng: Random) -> str:
    """GEPA's rule: on a few held-out problems the merge's sum is at least that of either side."""
    a, b = sides
    chosen = subsample(a, b, rng, size=run.config.search.overlap)
    found = (await _on(run, library, chosen)).reward
    known = [v for v in chosen if v in found]
    if not known:
        return "no held-out problem of the subsample could be scored"
    sums = [math.fsum(side[v] for v in known) for side in (found, a, b)]
    if sums[0] >= max(sums[1:]):
        return ""
    return f"subsample {sums[0]:g} against {sums[1]:g} and {sums[2]:g} on {len(known)} held-out problems"


async def _confident(run: Run, library: Library, sides: Sides, rng: Random) -> str:
    """Ours: go on over the problems that both sides share until a betting test against the better side has decided."""
    a, b = sides
    left = list(subsample(a, b, rng, size=len(run.heldout)))
    found = HeldoutScores()
    while left:
        now, left = left[: run.config.search.overlap], left[run.config.search.overlap :]
        found |= await _on(run, library, now)
        seen = fold(differences(a, found.reward))
        if seen.e_better >= BETTER:
            return ""
        if seen.e_worse >= WORSE:
            return f"E {seen.e_worse:.2g} that it is worse than its better side, after {seen.n} held-out problems"
    seen = fold(differences(a, found.reward))
    return (
        f"E {seen.e_better:.2g} that it is better than its better side, below {BETTER:g}, on {seen.n} held-out problems"
    )


async def _on(run: Run, library: Library, ids: Sequence[str]) -> HeldoutScores:
    wanted = set(ids)
    return await score_library(run, library, [p for p in run.heldout if p.id in wanted])
