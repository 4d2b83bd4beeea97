"""What of a pooled candidate is missed: lessons without which it does better where they apply leave it again.

A pool takes what every sibling learned, right or wrong. Each new lesson is left out once, on the held-out problems that
share a rare word with it; who scores more without it drops it. What is left is a candidate of its own beside the pool.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from experience_db import Edit, Lesson, Library, Op
from tfgrpo.datasets.content_words import words
from tfgrpo.errors import BudgetReached
from tfgrpo.gates.touch import RARE
from tfgrpo.learning.run import Run
from tfgrpo.search.children import CandidatePlan
from tfgrpo.search.store_step import ScoredCandidate
from tfgrpo.search.validate import RacingCandidate, score_library, validate
from tfgrpo.types import Problem

FEWEST = 4
"""Held-out problems below which leaving a lesson out says nothing."""


async def prune_lessons(run: Run, pooled: ScoredCandidate, first: int) -> ScoredCandidate | None:
    """Return the candidate without the lessons that are not missed; None where all are, or none can be told apart.

    Args:
        run: the run.
        pooled: a validated candidate.
        first: lessons from this id on are new in it.

    Raises:
        BudgetReached: not all of it fits.
    """
    library = pooled.goal.library
    parts = prunable_lessons(library, first, run.heldout)
    if not parts:
        return None
    jobs = [partial(_without, run, pooled, lesson, problems) for lesson, problems in parts]
    gains = await run.actor.executor.run(jobs)
    if spent := next((g for g in gains if isinstance(g, BudgetReached)), None):
        raise spent
    leaving = {x.id for (x, _), gain in zip(parts, gains, strict=True) if isinstance(gain, float) and gain > 0}
    if not leaving:
        return None
    kept = tuple(x for x in library if x.id not in leaving)
    gone = {i: Edit(Op.DELETE, None, (i,), "where it applies more is earned without it") for i in leaving if i < first}
    goal = replace(
        pooled.goal,
        library=replace(library, version=library.version + 1, lessons=kept),
        kind="pruned",
        why={**{i: edit for i, edit in pooled.goal.why.items() if i not in leaving}, **gone},
        edits=(*_edits(pooled.goal, library, leaving), *gone.values()),
    )
    (entry,) = await validate(run, [RacingCandidate(goal.library, pooled.entry.rival)])
    return ScoredCandidate(goal, entry)


def mark_superseded(whole: ScoredCandidate, less: ScoredCandidate) -> ScoredCandidate:
    """Return the candidate as it stands beside its pruned one: out of the pool where that is no worse."""
    if not less.joins or less.entry.marks.mean < whole.entry.marks.mean:
        return whole
    kept = set(less.goal.edits)
    left = tuple(edit for edit in whole.goal.edits if edit not in kept)
    lost = f"superseded by version {less.goal.library.version}: where they apply, more is earned without some lessons"
    return ScoredCandidate(replace(whole.goal, edits=left), replace(whole.entry, lost=lost))


def prunable_lessons(
    library: Library, first: int, problems: Sequence[Problem]
) -> tuple[tuple[Lesson, tuple[Problem, ...]], ...]:
    """Return the lessons that are left out in turn, with the problems where each is missed if it is of use.

    Those are the new ones, where there are several, and older ones that share a rare word with a new one: two lessons
    of one thing may contradict each other. A lesson that shares words with fewer than 4 problems is left alone.
    """
    words_P = [words(problem.question) for problem in problems]
    frequency = Counter(word for found in words_P for word in found)
    rare = {word for word, count in frequency.items() if count <= RARE * len(problems)}
    own = {lesson.id: words(lesson.text) & rare for lesson in library}
    new = [x.id for x in library if x.id >= first]
    fresh = frozenset[str]().union(*(own[i] for i in new))
    chosen = [x for x in library if (x.id in new and len(new) > 1) or (x.id not in new and own[x.id] & fresh)]
    acts = [
        (x, tuple(p for p, found in zip(problems, words_P, strict=True) if found & own[x.id])) for x in chosen
    ]  # fmt: skip
    return tuple((x, there) for x, there in acts if len(there) >= FEWEST)


async def _without(
    run: Run, pooled: ScoredCandidate, lesson: Lesson, problems: Sequence[Problem]
) -> float | BudgetReached:
    """Return how much more the touched problems earn without a lesson, seed index 0 on both sides."""
    library = pooled.goal.library
    rest = replace(library, lessons=tuple(x for x in library if x.id != lesson.id))
    try:
        found = (await score_library(run, rest, problems)).reward
    except BudgetReached as error:
        return error
    known = pooled.entry.marks.reward
    return math.fsum(found[v] - known[v] for v in found if v in known)


def _edits(goal: CandidatePlan, library: Library, leaving: set[int]) -> tuple[Edit, ...]:
    texts = {x.text for x in library if x.id in leaving}
    return tuple(edit for edit in goal.edits if edit.text not in texts)
