"""Scores for stored answers that have none: sessions and traces meet the tasks they were about, by id or by question.

Graders that compare need no model; one that asks a model is refused here, since a replay pays for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from tfgrpo import config as configuration
from tfgrpo import datasets
from tfgrpo.backends.base import close
from tfgrpo.datasets.overlap import words_of
from tfgrpo.errors import UsageError
from tfgrpo.graders import Grader, grade
from tfgrpo.graders.factory import grader_for, judges
from tfgrpo.readers import Row
from tfgrpo.types import Problem, Rollout

Regrade = Callable[[Sequence[Row]], tuple[Row, ...]]


def regrader(tasks: str, grader: str) -> Regrade:
    """Return what gives the rows without a score one; rows about no task are dropped.

    Raises:
        UsageError: the tasks or the grader cannot be used, or the grader asks a model.
    """
    problems = datasets.problems_from(tasks, {}, configuration.data_folder())
    made, _ = grader_for(grader)
    if judges(made):
        raise UsageError(f"the grader {grader!r} asks a model, and --replay calls none; give one that compares")
    by_id = {problem.id: problem for problem in problems}
    by_words = {tuple(words_of(problem.question)): problem for problem in problems}

    def regrade(rows: Sequence[Row]) -> tuple[Row, ...]:
        met = [(row, by_id.get(row.id) or by_words.get(tuple(words_of(row.question)))) for row in rows]
        return asyncio.run(_graded([(row, problem) for row, problem in met if problem is not None], made))

    return regrade


async def _graded(met: Sequence[tuple[Row, Problem]], grader: Grader) -> tuple[Row, ...]:
    async def one(row: Row, problem: Problem) -> Row:
        if row.score is not None or not row.text:
            return replace(row, id=problem.id)
        (score,) = await grade(grader, problem, [Rollout(problem.id, row.index, answer=row.text)])
        failure = "" if score.value is not None else (score.failure.message if score.failure else "unscored")
        scores = {} if score.value is None else {"score": score.value}
        return replace(row, id=problem.id, score=score.value, scores=scores, failure=failure)

    found = [await one(row, problem) for row, problem in met]
    await close(grader)
    return tuple(found)
