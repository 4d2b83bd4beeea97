"""Stored rollouts scored under two libraries, and how far edits that change nothing move them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfgrpo.advantages.moments import mean
from tfgrpo.edit_scores import kl, mean_log_ratios, noise_floor
from tfgrpo.edit_scores.tokens import LogProbs, log_ratios
from tfgrpo.types import Group

RIGHT = 0.5
"""A rollout counts as right above this reward, for the scores that know right and wrong only."""
WIDTH = 3.0
"""A trust region spans so many noise floors."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The stored rollouts of one problem, scored under both libraries by the same route."""

    group: Group
    old_G: LogProbs
    new_G: LogProbs
    texts_G: Sequence[tuple[str, ...] | None] = ()
    """What the tokens of each rollout spell; None, or (), where the endpoint does not say."""

    @property
    def shifts_G(self) -> tuple[float, ...]:
        """Mean log-ratio of each rollout, in nats per token; nan where it could not be scored."""
        return mean_log_ratios(self.new_G, self.old_G)

    @property
    def right_G(self) -> tuple[float, ...]:
        """1 for right, 0 for wrong, nan for unscored rollouts, before any shaping."""
        return self.right_above(RIGHT)

    def right_above(self, threshold: float) -> tuple[float, ...]:
        """`right_G` with another threshold."""
        return tuple(math.nan if s.value is None else float(s.value > threshold) for s in self.group.scores_G)

    @property
    def advantages_G(self) -> tuple[float, ...]:
        """Advantages, nan where the rollout has no reward."""
        pairs = zip(self.group.advantages_G, self.group.rewards_G, strict=True)
        return tuple(math.nan if math.isnan(r) else a for a, r in pairs)


@dataclass(frozen=True, slots=True)
class Floor:
    """How far edits that change nothing move known rollouts."""

    shift: float = 0.0
    """Quantile of |mean log-ratio| of rollouts, nats per token."""
    token: float = 0.0
    """Quantile of |log-ratio| of single tokens, nats."""
    kl: float = 0.0
    """Largest k3 estimate of KL(old || new), nats per token."""
    worst: float = 0.0
    """Largest fall of the right rollouts of one problem, nats per token."""


def floor_of(nulls: Sequence[Sequence[Sides]], q: float = 0.95) -> Floor:
    """Return the floor that null edits span; all 0 without any."""
    sides = [s for null in nulls for s in null]
    shifts = [d for s in sides for d in s.shifts_G if not math.isnan(d)]
    tokens = [abs(d) for s in sides for row in log_ratios(s.new_G, s.old_G) for d in row]
    distances = [kl(s.old_G, s.new_G) for s in sides]
    falls = [-fall for s in sides if not math.isnan(fall := right_shift(s))]
    return Floor(
        zero_if_nan(noise_floor(shifts, q=q)),
        zero_if_nan(noise_floor(tokens, q=q)),
        max((d for d in distances if not math.isnan(d)), default=0.0),
        max((*falls, 0.0)),
    )


def right_shift(sides: Sides) -> float:
    """Mean log-ratio per token over the right rollouts of a problem; nan where it has none."""
    return mean(d for d, right in zip(sides.shifts_G, sides.right_G, strict=True) if right == 1.0)


def coverage_of(sides_P: Sequence[Sides]) -> float:
    """Share of the graded rollouts that were scored on both sides, in [0, 1]; nan without any."""
    scored = [not math.isnan(d) for s in sides_P for d, a in zip(s.shifts_G, s.advantages_G, strict=True) if a == a]  # noqa: PLR0124 - nan
    return sum(scored) / len(scored) if scored else math.nan


def zero_if_nan(value: float) -> float:
    """Return 0 for nan."""
    return 0.0 if math.isnan(value) else value
