"""Right when the final answer equals the reference as text, after both are normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfgrpo.graders.base import judged, no_reference, reference_of
from tfgrpo.graders.extract import final_answer, normalise
from tfgrpo.types import Problem, Rollout, Score


@dataclass(frozen=True, slots=True)
class Exact:
    """1 when the final answer equals the reference or one of `metadata["answer_aliases"]`, else 0.

    What counts as the final answer is in `extract.final_answer`; what is ignored is in `extract.normalise`.
    """

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout; all stay unscored when the problem has no reference answer."""
        reference = reference_of(problem)
        if reference is None:
            return (no_reference(problem),) * len(rollouts)
        wanted = {normalise(final_answer(answer)) for answer in _accepted(problem) if answer.strip()}
        return tuple(_score(rollout, wanted, reference) for rollout in rollouts)


def _score(rollout: Rollout, wanted: set[str], shown: str) -> Score:
    """Compare one answer."""
    got = final_answer(rollout.answer)
    return judged(normalise(got) in wanted and bool(got), got, shown)


def _accepted(problem: Problem) -> list[str]:
    """The reference and its aliases."""
    aliases = problem.metadata.get("answer_aliases", ())
    extra = [alias for alias in aliases if isinstance(alias, str)] if isinstance(aliases, list | tuple) else []
    return [problem.answer or "", *extra]
