"""What of a pooled candidate is missed: lessons without which it does better where they apply leave it again.

A pool takes what every sibling learned, right or wrong. Each new lesson is left out once, on the held-out problems that
share a rare word with it; who scores more without it drops it. What is left is a candidate of its own beside the pool.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from experience_db import Edit, Lesson, Library, Op
from tfgrpo.errors import BudgetReached
from tfgrpo.gates.touch import touched
from tfgrpo.loop import Run
from tfgrpo.search.children import Goal
from tfgrpo.search.keep import Made
from tfgrpo.search.validate import Entry, score, validate
from tfgrpo.types import Problem


async def pruned(run: Run, pooled: Made, first: int) -> Made | None:
    """Return the candidate without the lessons that are not missed; None where all are, or none can be told apart.

    Args:
        run: the run.
        pooled: a validated candidate.
        first: lessons from this id on are new in it.

    Raises:
        BudgetReached: not all of it fits.
    """
    library = pooled.goal.library
    parts = [(x, where_it_acts(x, library, run.heldout)) for x in library if x.id >= first]
    parts = [(lesson, problems) for lesson, problems in parts if problems]
    if len([x for x in library if x.id >= first]) < 2 or not parts:
        return None
    jobs = [partial(_without, run, pooled, lesson, problems) for lesson, problems in parts]
    gains = await run.actor.executor.run(jobs)
    if spent := next((g for g in gains if isinstance(g, BudgetReached)), None):
        raise spent
    leaving = {x.id for (x, _), gain in zip(parts, gains, strict=True) if isinstance(gain, float) and gain > 0}
    if not leaving:
        return None
    kept = tuple(x for x in library if x.id not in leaving)
    goal = replace(
        pooled.goal,
        library=replace(library, version=library.version + 1, lessons=kept),
        kind="pruned",
        why={i: edit for i, edit in pooled.goal.why.items() if i not in leaving},
        edits=_edits(pooled.goal, library, leaving),
    )
    (entry,) = await validate(run, [Entry(goal.library, pooled.entry.rival)])
    return Made(goal, entry)


def where_it_acts(lesson: Lesson, library: Library, problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return the problems that share a rare word with a lesson; none where words do not tell."""
    found = touched(Edit(Op.ADD, lesson.text), library, problems)
    return found.problems if found.how == "word" else ()


async def _without(run: Run, pooled: Made, lesson: Lesson, problems: Sequence[Problem]) -> float | BudgetReached:
    """Return how much more the touched problems earn without a lesson, seed index 0 on both sides."""
    library = pooled.goal.library
    rest = replace(library, lessons=tuple(x for x in library if x.id != lesson.id))
    try:
        found = (await score(run, rest, problems)).reward
    except BudgetReached as error:
        return error
    known = pooled.entry.marks.reward
    return math.fsum(found[v] - known[v] for v in found if v in known)


def _edits(goal: Goal, library: Library, leaving: set[int]) -> tuple[Edit, ...]:
    words = {x.text for x in library if x.id in leaving}
    return tuple(edit for edit in goal.edits if edit.text not in words)
