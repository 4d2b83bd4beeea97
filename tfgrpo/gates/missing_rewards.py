"""Rollouts without a reward: whose fault, what they count as, and whether one side loses more of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import comb

from tfgrpo.gates.base import Missing, Observation

LEVEL = 0.05
"""Level at which a side is said to fail more often than the other."""


@dataclass(frozen=True, slots=True)
class MissingCounts:
    """Pairs of which a side has no reward."""

    current: int = 0
    """Pairs that lost only the current side."""
    candidate: int = 0
    """Pairs that lost only the candidate."""
    both: int = 0
    outages_current: int = 0
    """Those of `current` that an outage took, also after they were drawn again."""
    outages_candidate: int = 0

    @property
    def p(self) -> float:
        """Two-sided p of the sign test: does one side fail more often than the other?"""
        few, n = min(self.current, self.candidate), self.current + self.candidate
        return float(min(1.0, 2 * sum(comb(n, j) for j in range(few + 1)) / 2**n))

    @property
    def one_sided(self) -> bool:
        """Whether outages took the candidate's side more often than chance allows, so that the rest is no sample."""
        n = self.outages_candidate + self.outages_current
        tail = sum(comb(n, j) for j in range(self.outages_candidate, n + 1)) / 2**n
        return self.outages_candidate > self.outages_current and tail <= LEVEL

    @property
    def named(self) -> str:
        """A difference in failure rates in words; empty where there is none to speak of."""
        if self.p > LEVEL:
            return ""
        side, more, less = "with", self.candidate, self.current
        if more < less:
            side, more, less = "without", less, more
        return f"it fails more often {side} the edit: {more} rollouts against {less} (p = {self.p:.2g})"

    def after(self, before: Observation, after: Observation) -> MissingCounts:
        """Return the counts after one more pair."""
        if before.scored and after.scored:
            return self
        if not before.scored and not after.scored:
            return replace(self, both=self.both + 1)
        if before.scored:
            outages = self.outages_candidate + (after.missing is Missing.OUTAGE)
            return replace(self, candidate=self.candidate + 1, outages_candidate=outages)
        outages = self.outages_current + (before.missing is Missing.OUTAGE)
        return replace(self, current=self.current + 1, outages_current=outages)


def paired_rewards(before: Observation, after: Observation) -> tuple[float, float]:
    """Return both rewards of a pair; a side's own fault is 0 where the other was scored, and anything else is nan."""
    old = 0.0 if before.missing is Missing.OWN_FAULT and after.scored else before.reward
    new = 0.0 if after.missing is Missing.OWN_FAULT and before.scored else after.reward
    return old, new
