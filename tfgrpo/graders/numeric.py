"""Right when the one number of the answer equals the reference number, within a tolerance; see `number_reading`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tfgrpo.graders.base import judged, no_reference, reference_of, unscored
from tfgrpo.graders.extract import final_answer
from tfgrpo.graders.number_reading import Number, read_number
from tfgrpo.types import Problem, Rollout, Score


@dataclass(frozen=True, slots=True)
class Numeric:
    r"""1 when the number that the answer gives is the reference within either tolerance, else 0.

    Read are digits in the groups of any locale, 3/4, 1 1/2, 2½, \frac{3}{4}, 2.5e3, 2.5 \times 10^3, $5, 3 million and
    "seven"; units are ignored. Several numbers, ranges, bounds and denials are no number, and 5! is 120. A percent sign
    counts only when both sides could carry it: 50% equals 50 and 0.5, but 500% is not 5.
    """

    rel_tol: float = 1e-6
    """Allowed difference relative to the reference."""
    abs_tol: float = 1e-9
    """Allowed absolute difference; what matters near zero."""

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout; all stay unscored when the reference holds no number."""
        reference = reference_of(problem)
        if reference is None:
            return (no_reference(problem),) * len(rollouts)
        wanted = read_number(reference)
        if wanted is None:
            message = (
                f"the reference answer {reference[:80]!r} of problem {problem.id!r} is no single number; use exact"
            )
            return (unscored(message),) * len(rollouts)
        return tuple(self._score(rollout, wanted, reference) for rollout in rollouts)

    def _score(self, rollout: Rollout, wanted: Number, shown: str) -> Score:
        """Compare one answer; an answer without a number is wrong."""
        got = read_number(rollout.answer)
        return judged(got is not None and self._same(got, wanted), final_answer(rollout.answer)[-120:], shown)

    def _same(self, got: Number, wanted: Number) -> bool:
        """Equal within tolerance; with a percent sign on one side only, as it stands or divided by 100."""
        pairs = [(got.value, wanted.value)]
        if got.percent and not wanted.percent and abs(got.value) <= 100:
            pairs.append((got.value / 100, wanted.value))
        if wanted.percent and not got.percent and abs(wanted.value) <= 100:
            pairs.append((got.value, wanted.value / 100))
        return any(self._close(a, b) for a, b in pairs)

    def _close(self, a: Fraction, b: Fraction) -> bool:
        """Compared exactly, as fractions: floats would overflow on large numbers."""
        return abs(a - b) <= max(Fraction(self.abs_tol), Fraction(self.rel_tol) * abs(b))
