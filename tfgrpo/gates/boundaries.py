"""Boundaries of a sequential test by exact recursion: which sums of fair signs are too good, look after look.

A course is a sequence of sums, one per look. Under no effect each look adds fair signs of the sizes it brought; the
chances of all sums are carried along, and the best of them are taken off as long as alpha allows. What is left of alpha
goes to courses on the boundary that had the larger sums earlier, so that few discordant pairs waste little of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import comb

UNITS = 60
"""Differences are counted in these parts: halves, thirds, quarters, fifths, sixths and tenths are exact."""
_ROUNDING = 1e-12

Look = tuple[int, tuple[tuple[int, int], ...]]
"""Pairs so far, and how many of the new ones have which size of difference, in units."""


@dataclass(frozen=True, slots=True)
class Course:
    """Where a test of one side stands after its looks so far."""

    before: Course | None
    """The same one look earlier; None at the start."""
    steps: tuple[tuple[int, float], ...]
    """By how much the last look may have moved the sum, with the chance of each."""
    arrived: tuple[tuple[int, float], ...]
    """Chance of each sum, from the largest down, for courses that crossed at no earlier look."""
    alive: dict[int, float]
    """The same without the courses that cross at the last look."""
    threshold: tuple[int, ...]
    """A course crosses when its sums, newest first, come after these."""
    divided: int | None
    """The sum whose courses cross in part."""
    spent: float
    """Chance that this look or an earlier one was crossed: the error spent."""

    def crossed(self, sums: Sequence[int]) -> bool:
        """Say whether a course, given by its sums at each look, newest first and 0 last, crosses the last look."""
        return tuple(sums[: len(self.threshold)]) > self.threshold

    def p(self, sums: Sequence[int]) -> float:
        """Return the stage-wise p value of a course that crossed at no earlier look."""
        if self.before is None:
            return 1.0
        better = self.before.spent + sum(chance for s, chance in self.arrived if s > sums[0])
        here, share = self, 1.0
        for s, previous in pairwise(sums):
            assert here.before is not None
            moves = [(s - step, q) for step, q in here.steps]
            better += sum(here.before.alive.get(r, 0.0) * q * share for r, q in moves if r > previous)
            share *= next(q for r, q in moves if r == previous)
            here = here.before
            if here.before is None or previous == here.divided:
                better += here.alive.get(previous, 0.0) * share
                break
        return min(1.0, better)


def alpha_spending(pairs: int, alpha: float, horizon: int, rho: float) -> float:
    """Return how much of alpha may have been spent after so many pairs."""
    return float(alpha * min(1.0, pairs / horizon) ** rho)


@lru_cache(maxsize=65536)
def course(looks: tuple[Look, ...], alpha: float, horizon: int, rho: float) -> Course:
    """Return where the test of one side stands: boundaries by exact recursion over what the looks brought."""
    if not looks:
        return Course(None, (), ((0, 1.0),), {0: 1.0}, (1,), None, 0.0)
    before = course(looks[:-1], alpha, horizon, rho)
    pairs, sizes = looks[-1]
    steps = tuple(_convolved({0: 1.0}, sizes).items())
    arrived = tuple(sorted(_convolved(before.alive, sizes).items(), reverse=True))
    room, alive, spent = alpha_spending(pairs, alpha, horizon, rho) - before.spent + _ROUNDING, dict(arrived), 0.0
    for s, p in arrived:
        if spent + p > room:
            part, threshold = _divided(before, steps, s, room - spent)
            spent += part
            alive[s] = p - part
            return Course(before, steps, arrived, alive, threshold, s if part else None, before.spent + spent)
        spent += alive.pop(s)
    raise AssertionError("alpha below 1 never pays for every course")


def _divided(
    before: Course, steps: tuple[tuple[int, float], ...], total: int, room: float
) -> tuple[float, tuple[int, ...]]:
    """Give what is left of alpha to courses that end on `total`, those with the larger earlier sums first.

    Returns the chance that was given, and the sums, newest first, after which a course must come to be among them.
    """
    threshold, given, share = [total], 0.0, 1.0
    here: Course | None = before
    while here is not None:
        for previous, q in sorted(((threshold[-1] - step, q) for step, q in steps), reverse=True):
            mass = here.alive.get(previous, 0.0) * q * share
            if given + mass > room:
                break
            given += mass
        else:
            break
        threshold.append(previous)
        if previous == here.divided:
            break
        share, steps, here = share * q, here.steps, here.before
    return given, tuple(threshold)


def _convolved(alive: Mapping[int, float], sizes: Sequence[tuple[int, int]]) -> dict[int, float]:
    """Return the chances of sums after `count` more fair signs of each size."""
    chances = dict(alive)
    for size, count in sizes:
        signs = [(size * (2 * j - count), comb(count, j) / 2**count) for j in range(count + 1)]
        grown: dict[int, float] = {}
        for s, p in chances.items():
            for step, q in signs:
                grown[s + step] = grown.get(s + step, 0.0) + p * q
        chances = grown
    return chances


@lru_cache(maxsize=4096)
def fair_signs(sizes: tuple[tuple[int, int], ...]) -> tuple[tuple[int, float], ...]:
    """Return the chance of each sum of differences of these sizes under fair signs, from the largest down."""
    return tuple(sorted(_convolved({0: 1.0}, [(s, n) for s, n in sizes if s]).items(), reverse=True))


@dataclass(frozen=True, slots=True)
class OneMore:
    """What one more question brought."""

    crossed: bool
    spent: float
    p: float


def one_more(chances: Sequence[tuple[int, float]], total: int, spent: float, may_be_spent: float) -> OneMore:
    """Ask once more whether a sum is too good for fair signs, and pay for it from what is left."""
    room, tail, cut = may_be_spent - spent + _ROUNDING, 0.0, None
    for s, p in chances:
        if tail + p > room:
            break
        tail, cut = tail + p, s
    own = sum(p for s, p in chances if s >= total)
    return OneMore(cut is not None and total >= cut, spent + tail, min(1.0, spent + own))


def units(d: float) -> int:
    """Return a difference in `UNITS`; raises ValueError outside [-1, 1]."""
    if not -1.0 <= d <= 1.0:
        raise ValueError(f"a paired difference must lie in [-1, 1], got {d}; rewards must lie in [0, 1]")
    return round(Fraction(d) * UNITS)
