"""Several graders as one reward: a weighted sum of named scores, each kept apart for GDPO and for the summarizer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tfgrpo.backends.base import close
from tfgrpo.executors import Executor, Local
from tfgrpo.graders.base import Grader, grade
from tfgrpo.graders.votes import JudgeModel, NeedsModel
from tfgrpo.types import Problem, Rollout, Score


@dataclass(frozen=True, slots=True)
class Weighted:
    """sum of w_k s_k over the parts; with `condition_on`, the other parts pay only where that one reaches `threshold`.

    A part that is unscored leaves the whole unscored, with its reason: half a reward would be a wrong one. The parts
    stay visible as named scores in `Score.parts`, before weighting; `advantage = "gdpo"` normalizes each on its own,
    with these weights, and the summarizer sees each with its advantage. Conditioning: GDPO, arXiv 2601.05242, Eq. 8.
    """

    graders: Mapping[str, Grader]
    weights: Mapping[str, float]
    condition_on: str = ""
    threshold: float = 1.0
    executor: Executor = Local()  # noqa: RUF009 - holds nothing

    @property
    def asks(self) -> bool:
        """Whether one of the parts asks a model."""
        return any(isinstance(part, NeedsModel) and part.asks for part in self.graders.values())

    def with_model(self, judge_model: JudgeModel) -> Weighted:
        """Return this grader, with a model for the parts that ask one."""
        given = {n: p.with_model(judge_model) if isinstance(p, NeedsModel) else p for n, p in self.graders.items()}
        return replace(self, graders=given)

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout by every part; a part that breaks breaks itself only."""
        jobs = [partial(grade, part, problem, rollouts, name) for name, part in self.graders.items()]
        columns = await self.executor.run(jobs)
        rows = zip(*columns, strict=True)
        return tuple(
            self._combined(tuple(replace(s, name=n) for n, s in zip(self.graders, row, strict=True))) for row in rows
        )

    def _combined(self, parts: tuple[Score, ...]) -> Score:
        """One rollout's parts as one score."""
        lost = [part for part in parts if part.value is None]
        if lost:
            failed = next((part.failure for part in lost if part.failure), None)
            why = "; ".join(f"{part.name} is unscored{f': {part.why}' if part.why else ''}" for part in lost)
            return Score(None, why, failure=failed, parts=parts)
        values = {part.name: part.value or 0.0 for part in parts}
        pays = not self.condition_on or values[self.condition_on] >= self.threshold
        paid = [n for n in values if pays or n == self.condition_on]
        held = "" if pays else f"; only {self.condition_on} counts, it is below {self.threshold:g}"
        said = "; ".join(f"{p.name} {p.value:g}{f' ({p.why})' if p.why else ''}" for p in parts)
        total = math.fsum(self.weights[n] * values[n] for n in paid)
        return Score(total, said + held, parts=parts, steps=self._steps(parts))

    def _steps(self, parts: Sequence[Score]) -> tuple[float, ...]:
        """The weighted sum of the step rewards of those parts that give any; nan where one of them has none."""
        rows = [(self.weights[p.name], p.steps) for p in parts if p.steps]
        return tuple(
            math.fsum(w * value for (w, _), value in zip(rows, column, strict=True))
            for column in zip(*(steps for _, steps in rows), strict=True)
        )

    async def aclose(self) -> None:
        """Give back what the parts hold."""
        for part in self.graders.values():
            await close(part)
