"""Lessons that stand in for each other: leave-one-out calls both worthless, because the other one is still there.

Pairs of lessons without a shown effect of their own are taken out together. What only shows then is an effect that
either of them brings alone: they say the same, and one of them may leave, but not both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean

from experience_db import Evidence, Library
from tfgrpo.evaluation.credit import credit_from_differences, deletion_of, evidence, touched_by_lesson
from tfgrpo.gates.base import Rewards, Trial
from tfgrpo.lessons.edits import normalise

MOST_PAIRS = 10
"""Pairs that are measured, those with most words in common first."""


async def pairs_out(
    library: Library, trial: Trial, alone: Sequence[Evidence], *, k: int = 2, rewards: Rewards | None = None
) -> tuple[Evidence, ...]:
    """Measure pairs of lessons that leave-one-out shows without effect; return those whose joint effect is above 0.

    Args:
        library: all lessons.
        trial: what rolls out.
        alone: what leave-one-out found, in the order of the lessons.
        k: rollouts per touched problem and side.
        rewards: those of leave-one-out, so that the full library is not rolled out again.

    Raises:
        BudgetReached: a budget did not admit all rollouts.
    """
    known = Rewards() if rewards is None else rewards
    idle = {found.lesson_ids[0] for found in alone if found.low is None or found.low <= 0}
    lessons = [lesson for lesson in library if lesson.id in idle]
    pairs = sorted(combinations(lessons, 2), key=lambda pair: -_alike(pair[0].text, pair[1].text))[:MOST_PAIRS]
    touches = dict(zip((lesson.id for lesson in library), touched_by_lesson(library, trial.problems), strict=True))
    found = []
    for a, b in pairs:
        problems = tuple({p.id: p for p in (*touches[a.id].problems, *touches[b.id].problems)}.values())
        cases = [(problem, index) for problem in problems for index in range(k)]
        both = await known.measure(trial, library, cases)
        rest = await known.measure(trial, library.with_edits((deletion_of(a.id), deletion_of(b.id))), cases)
        gains = [x - y for x, y in zip(both.rewards, rest.rewards, strict=True)]
        told = evidence(
            "pair-out",
            a.id,
            credit_from_differences(_per_problem(gains, k), k),
            replace(touches[a.id], problems=problems),
            k=k,
        )
        if told.low is not None and told.low > 0:
            found.append(replace(told, lesson_ids=(a.id, b.id)))
    return tuple(found)


def _per_problem(gains: Sequence[float], k: int) -> list[float]:
    """Return the mean gain of each problem over its k rollouts; nan where none was scored."""
    told = ([x for x in gains[i : i + k] if not math.isnan(x)] for i in range(0, len(gains), k))
    return [fmean(part) if part else math.nan for part in told]


def _alike(a: str, b: str) -> float:
    """Return the share of the words of two lessons that they have in common."""
    one, other = set(normalise(a).split()), set(normalise(b).split())
    return len(one & other) / max(1, len(one | other))
