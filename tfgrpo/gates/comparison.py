"""One sequential paired comparison of two libraries: roll out a look, bet on the differences, stop when clear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import isnan, nan
from statistics import fmean

from experience_db import Library
from tfgrpo.errors import UsageError
from tfgrpo.gates.base import Case, Rewards, Trial
from tfgrpo.gates.eprocess import Capitals, Outcome, decide, interval, update
from tfgrpo.gates.touch import Touched
from tfgrpo.types import Problem


@dataclass(frozen=True, slots=True)
class Design:
    """How long to look and when to stop."""

    delta: float = 0.05
    """Smallest mean effect on the tested problems that is worth a lesson."""
    look: int = 16
    """Pairs per look; the rollouts of a look run together."""
    nmax: int = 64
    """Pairs at most when the touched problems are known."""
    nmax_all: int = 128
    """Pairs at most when they are not."""
    passes: int = 4
    """Visits per problem at most, each with a new seed index on both sides."""
    worse: float = 10.0
    """E value that refutes "not harmful"."""
    futile: float = 10.0
    """E value that refutes "the effect is delta or more"."""
    usable: float = 0.5
    """Share of the pairs that must have both rewards; below it nothing is decided."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.delta <= 1.0:
            raise UsageError(f"the gate's delta is an effect on reward and must lie in [0, 1], got {self.delta}")
        if min(self.look, self.nmax, self.nmax_all, self.passes) < 1:
            raise UsageError("the gate's look, nmax, nmax_all and passes must be at least 1")

    def limit(self, touched: Touched) -> int:
        """Return the number of pairs at which the gate gives up."""
        return self.nmax_all if touched.how == "all" else self.nmax


LITE = Design(delta=0.1, look=8, nmax=32, nmax_all=64)
"""About a third cheaper; blind to effects below .1."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One difference of reward, candidate minus current, on the same problem and seed index."""

    problem_id: str
    index: int
    difference: float
    """In [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found and what it spent."""

    outcome: Outcome
    capitals: Capitals
    pairs: tuple[Pair, ...]
    touched: Touched
    accept: float
    """E value that was asked for."""
    looks: int = 0
    asked: int = 0
    """Pairs asked for, those without both rewards included."""
    enough: bool = True
    """Whether the share `Design.usable` of them has both rewards; without it nothing is decided."""
    missing_current: int = 0
    """Pairs whose current side has no reward."""
    missing_candidate: int = 0
    new: int = 0
    """Rollouts made, both sides."""
    cached: int = 0
    """Rewards that were known already, both sides."""

    @property
    def differences(self) -> tuple[float, ...]:
        """One number in [-1, 1] per pair, in the order they were met."""
        return tuple(pair.difference for pair in self.pairs)

    @property
    def problems(self) -> int:
        """Number of different problems behind the pairs."""
        return len({pair.problem_id for pair in self.pairs})

    @property
    def estimate(self) -> float:
        """Mean difference; nan without a pair.

        A comparison stops when it looks clear, so the estimate of an accepted edit is on average somewhat too large.
        """
        return fmean(self.differences) if self.pairs else nan

    @property
    def interval(self) -> tuple[float, float]:
        """95% betting confidence sequence for the mean difference, valid at the stopping time."""
        return interval(self.differences)


async def compare(
    trial: Trial,
    rewards: Rewards,
    current: Library,
    candidate: Library,
    touched: Touched,
    *,
    key: str,
    design: Design,
    accept: float,
) -> Comparison:
    """Test whether `candidate` is better than `current` on the touched problems.

    The order of the problems depends on `key` alone. Stops at the first look at which better, worse or futile is
    clear, after `nmax` or `nmax_all` pairs, or when every problem was visited `passes` times.
    """
    state = Comparison(Outcome.OPEN, Capitals(design.delta), (), touched, accept)
    cases = schedule(touched.problems, key, design.passes)[: design.limit(touched)]
    for start in range(0, len(cases), design.look):
        look = cases[start : start + design.look]
        state = await _one_look(state, look, trial, rewards, (current, candidate), design)
        if state.outcome is not Outcome.OPEN:
            break
    return state


def schedule(problems: Sequence[Problem], key: str, passes: int) -> tuple[Case, ...]:
    """Return (problem, seed index) for each visit: each pass in its own order, with the pass as seed index."""
    return tuple((problem, index) for index in range(passes) for problem in shuffled(problems, f"{key}/{index}"))


def shuffled(problems: Sequence[Problem], key: str) -> list[Problem]:
    """Return `problems` in an order that looks random and depends on their ids and `key` alone."""

    def place(problem: Problem) -> bytes:
        return blake2b(f"{key}/{problem.id}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

    return sorted(problems, key=place)


async def _one_look(
    state: Comparison,
    look: Sequence[Case],
    trial: Trial,
    rewards: Rewards,
    sides: tuple[Library, Library],
    design: Design,
) -> Comparison:
    before = await rewards.measure(trial, sides[0], look)
    after = await rewards.measure(trial, sides[1], look)
    pairs = tuple(
        Pair(problem.id, index, new - old)
        for (problem, index), old, new in zip(look, before.rewards, after.rewards, strict=True)
        if not isnan(new - old)
    )
    capitals = state.capitals
    for pair in pairs:
        capitals = update(capitals, pair.difference)
    asked = state.asked + len(look)
    enough = capitals.n >= design.usable * asked
    return Comparison(
        decide(capitals, accept=state.accept, worse=design.worse, futile=design.futile) if enough else Outcome.OPEN,
        capitals,
        state.pairs + pairs,
        state.touched,
        state.accept,
        looks=state.looks + 1,
        asked=asked,
        enough=enough,
        missing_current=state.missing_current + sum(map(isnan, before.rewards)),
        missing_candidate=state.missing_candidate + sum(map(isnan, after.rewards)),
        new=state.new + before.new + after.new,
        cached=state.cached + 2 * len(look) - before.new - after.new,
    )
