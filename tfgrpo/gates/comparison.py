"""One paired comparison of two libraries: roll out a look, count what is missing, ask the test, stop when it is clear.

A pair is one problem and one seed index, met by both libraries. The problem is the unit of the test: its difference is
the mean over its passes, and problems that say the same count as one. What a side lost by its own fault (cut, empty,
too slow) is a 0 where the other side was scored; what an outage took is no pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import ceil, exp, isnan, log, nan, prod, sqrt
from statistics import fmean, stdev

from experience_db import Library
from tfgrpo.errors import UsageError
from tfgrpo.gates.base import Case, Rewards, Trial
from tfgrpo.gates.eprocess import BETS, LARGEST_LOG, fold, log_mean_exp
from tfgrpo.gates.missing_rewards import MissingCounts, paired_rewards
from tfgrpo.gates.sequential import Answer, Plan, State, mean_guard
from tfgrpo.gates.touch import Touched, strata
from tfgrpo.stats import t_cdf
from tfgrpo.types import Problem

LEAST = 4
"""Problems below which nothing is ever clear."""
FEW = 12
"""Problems below which their means, not only their signs, are put to a test."""
FEW_LEVEL = 0.6
"""Share of the level that this test may spend."""
FEW_BET = 0.2
"""Times 1 / level, the capital that a bet on the means must reach besides."""
LEAST_BEFORE = 0.05
"""Mean reward of the current side that this bet assumes at least."""
MOST_VISITS = 10
"""Visits of each of a few problems, at most."""

Sums = Mapping[str, tuple[float, int]]
"""Per unit, a problem or several that say the same, the sum of its differences and their number."""


@dataclass(frozen=True, slots=True)
class Design:
    """How long to look and when to stop."""

    delta: float = 0.05
    """Smallest mean effect worth a lesson; an objective that seems worse by more than this keeps an edit out."""
    look: int = 16
    """Pairs per look; the rollouts of a look run together."""
    nmax: int = 64
    """Pairs at most when the touched problems are known."""
    nmax_all: int = 128
    """Pairs at most when they are not."""
    passes: int = 4
    """Visits per problem at most, each with a new seed index on both sides."""
    harm: float = 0.05
    """Chance that an edit which harms nothing is called harmful."""
    usable: float = 0.5
    """Share of the pairs that must have a difference; below it nothing is decided."""
    race: int = 16
    """Rollouts of each rival in the race for the one test; they are not evidence."""
    elsewhere: int = 48
    """Problems at most, not touched, that an edit must also meet before it enters; 0 leaves that out."""
    pairs_few: int = 40
    """Pairs, about, where fewer than FEW problems are touched: each is visited more often."""
    beyond: bool = False
    """Whether an edit that helps fewer than FEW problems must also be shown to help others like them."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.delta <= 1.0:
            raise UsageError(f"the gate's delta is an effect on reward and must lie in [0, 1], got {self.delta}")
        if min(self.look, self.nmax, self.nmax_all, self.passes, self.race) < 1 or self.elsewhere < 0:
            raise UsageError("the gate's look, nmax, nmax_all, passes and race must be at least 1, elsewhere 0 or more")

    def limit(self, touched: Touched) -> int:
        """Return the number of pairs at which the gate gives up."""
        return self.nmax_all if touched.how == "all" else self.nmax

    def visits(self, touched: Touched, problems: int) -> int:
        """Return how often each problem is visited at most: more often where few are touched."""
        if touched.how == "all" or self.passes == 1 or not LEAST <= problems < FEW:
            return self.passes
        return max(self.passes, min(MOST_VISITS, ceil(self.pairs_few / problems)))

    def plan(self, touched: Touched, problems: int, alpha: float) -> Plan:
        """Return the test of a question on so many different problems.

        Where the problems are known, effects are large and few looks decide, so alpha is spent early (evenly below FEW
        problems, whose means are tested besides); else late, for small effects.
        """
        horizon = max(1, min(self.limit(touched), problems * self.visits(touched, problems)))
        known = touched.how != "all"
        first = problems if FEW <= problems < self.look else self.look
        return Plan(
            alpha=alpha,
            harm=self.harm,
            horizon=horizon,
            harm_horizon=min(64, horizon),
            rho=2.5 if not known else 0.5 if problems >= FEW else 1.0,
            idle=first if known else 3 * self.look,
            pursuit=0.9 if known else 0.5,
            hopeful=min(first if known else 2 * self.look, max(1, horizon // 2)),
        )


LITE = Design(look=8, nmax=32, nmax_all=64)
"""About a third cheaper; blind to small effects."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One difference of reward, candidate minus current, on the same problem and seed index."""

    problem_id: str
    index: int
    difference: float
    """In [-1, 1]."""
    before: float = nan
    """Reward of the current side, in [0, 1]: the most that could be lost. nan for objectives other than the reward."""


@dataclass(frozen=True, slots=True)
class Question:
    """Is `candidate` better than `current` on the problems that are touched?"""

    current: Library
    candidate: Library
    touched: Touched
    key: str
    """Names the order of the problems."""
    units: Mapping[str, str] = field(default_factory=dict)
    """For each problem id the id of the first problem that says the same; itself where it is not listed."""
    earlier: Comparison | None = None
    """An earlier test of the same edit that came to no answer; its passes are not drawn again."""

    @property
    def members(self) -> dict[str, list[Problem]]:
        """The touched problems by unit."""
        found: dict[str, list[Problem]] = {}
        for problem in self.touched.problems:
            found.setdefault(self.units.get(problem.id, problem.id), []).append(problem)
        return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found and what it spent."""

    state: State
    touched: Touched
    pairs: tuple[Pair, ...] = ()
    sums: Sums = field(default_factory=dict)
    earlier: Sums = field(default_factory=dict)
    """The same of earlier tests of this very edit, whose E value this one carries on."""
    passes: int = 0
    """Passes begun, those of earlier tests included."""
    looks: int = 0
    asked: int = 0
    """Pairs asked for, those without a difference included."""
    enough: bool = True
    """Whether the share `Design.usable` of them has a difference; without it nothing is decided."""
    lost: MissingCounts = field(default_factory=MissingCounts)
    new: int = 0
    """Rollouts made, both sides."""
    cached: int = 0
    """Rewards that were known already, both sides."""

    @property
    def answer(self) -> Answer:
        """What the test says; open where too little came back, or where outages struck the candidate alone."""
        if not self.enough or (self.state.answer is Answer.HELPS and self.lost.one_sided):
            return Answer.OPEN
        return self.state.answer

    @property
    def differences(self) -> tuple[float, ...]:
        """One number in [-1, 1] per pair, in the order they were met."""
        return tuple(pair.difference for pair in self.pairs)

    @property
    def problems(self) -> int:
        """Number of different problems behind the pairs."""
        return len(self.sums)

    @property
    def estimate(self) -> float:
        """Mean difference over problems; nan without a pair.

        A comparison stops when it looks clear, so the estimate of an accepted edit is on average somewhat too large.
        """
        return fmean(_means(self.sums)) if self.sums else nan

    @property
    def pooled(self) -> Sums:
        """Sums per unit over all tests of this edit."""
        table = dict(self.earlier)
        for unit, (total, n) in self.sums.items():
            before, many = table.get(unit, (0.0, 0))
            table[unit] = (before + total, many + n)
        return table

    @property
    def e_helps(self) -> float:
        """E value against "does not help" over all tests of this edit, one bet per problem."""
        return fold(_means(self.pooled)).e_better

    @property
    def interval(self) -> tuple[float, float]:
        """95% betting confidence sequence for the mean difference over problems, valid at the stopping time."""
        return self.state.interval

    @property
    def p_beyond(self) -> float:
        """Where so few problems are helped that this says little of others like them: p for these; else nan.

        The level of the test is about the problems that were asked: a few may all gain while those that the pool lacks
        lose. Whatever these lose, an all-in bet on each problem multiplies a capital of 1 by 1 or less on average if
        the edit helps by nothing over all problems of the kind, so the inverse of that capital is a p (Markov).
        """
        if self.answer is not Answer.HELPS or self.problems >= FEW or self.touched.how == "all":
            return nan
        p = min(1.0, 1.0 / max(prod(1.0 + mean for mean in _means(self.sums)), 1e-9))
        return p if p > self.state.plan.alpha else nan


def _means(sums: Sums) -> list[float]:
    return [total / n for total, n in sums.values()]


async def compare(
    trial: Trial, rewards: Rewards, question: Question, design: Design, plan: Plan | None = None
) -> Comparison:
    """Ask a question until there is an answer, or the plan's pairs or the design's passes are used up.

    Without a `plan` the design's own is taken, at level .05.
    """
    found = await _compare(trial, rewards, question, design, plan)
    if not design.beyond or isnan(p := found.p_beyond):
        return found
    why = f"it helps these {found.problems}; for others like them p is at most {p:.2g}"
    return replace(found, state=replace(found.state, answer=Answer.OPEN, why=why))


async def _compare(trial: Trial, rewards: Rewards, question: Question, design: Design, plan: Plan | None) -> Comparison:
    earlier = question.earlier
    plan = plan or design.plan(question.touched, len(question.members), 0.05)
    begun = earlier.passes if earlier else 0
    found = Comparison(plan.start(), question.touched, earlier=earlier.pooled if earlier else {}, passes=begun)
    for number in range(design.visits(question.touched, len(question.members))):
        cases = wave(question, begun + number)[: plan.horizon - found.asked]
        found = replace(found, passes=found.passes + bool(cases))
        # A later pass is one question: its pairs are no new problems.
        size = design.look if number == 0 else max(1, len(cases))
        for start in range(0, len(cases), size):
            found = await _one_look(found, cases[start : start + size], trial, rewards, question)
            found = _tested(found, design, first=number == 0)
            if found.answer is not Answer.OPEN:
                return found
    return _nothing_gained(_few(found, plan))


def _nothing_gained(found: Comparison) -> Comparison:
    """Call a test that ran to its end without a gain what it is; what may help after all stays open."""
    if found.state.answer is not Answer.OPEN or found.lost.one_sided or not found.sums or found.estimate > 0.0:
        return found
    why = f"all {found.asked} pairs, and no gain in them"
    return replace(found, state=replace(found.state, answer=Answer.NO_WORTH, why=why))


def _few(found: Comparison, plan: Plan) -> Comparison:
    """Put the means of a few problems, all visits over, to a t test and a bet; the problem stays the unit.

    Signs of so few problems can hardly ever be clear, however large and even their effects are. The test is asked once,
    at .6 of the level: where passes agree the means are coarse, and t alone would err in up to 8% instead of 5%
    (`tests/gates/test_few_problems.py`). To t many small gains look certain although a large loss on the problems of
    this kind that the pool lacks would outweigh them; so a bet against "it does not help" must win too (`few_bet`).
    Where rewards are fractional, the any-time test of the mean must agree besides, as it must with signs.
    """
    means = _means(found.sums)
    few = LEAST <= len(means) < FEW and found.touched.how != "all"
    if not few or found.state.answer is not Answer.OPEN or not found.enough or plan.by == "mean":
        return found
    p, bet = mean_p(means), few_bet(means, fmean(pair.before for pair in found.pairs))
    fractional = any(d not in (-1.0, 0.0, 1.0) for d in found.differences)
    if p > FEW_LEVEL * plan.alpha or bet < FEW_BET / plan.alpha:
        return found
    if fractional and found.state.e_helps < mean_guard(plan.alpha):
        return found
    why = f"t over the means of {len(means)} problems, {found.asked} pairs, p = {p:.2g}"
    return replace(found, state=replace(found.state, answer=Answer.HELPS, p_helps=p, why=why))


def few_bet(means: Sequence[float], before: float) -> float:
    """Return the capital of a bet against "the mean is at most 0", one stake per problem.

    No problem can lose more than the current side earns on it, `before` on average. So stakes are in parts of that: a
    gain counts for as much as the loss that it would have to make up for is small. A problem that lost all of more than
    the average ends the bet.
    """
    scale = max(before, LEAST_BEFORE)
    logs = [sum(log(max(1.0 + bet * mean / scale, 1e-9)) for mean in means) for bet in BETS]
    return exp(min(log_mean_exp(logs), LARGEST_LOG))


def mean_p(means: Sequence[float]) -> float:
    """Return the one-sided p of "the mean is at most 0" by Student's t; equal means above 0 count as their signs do."""
    n, middle = len(means), fmean(means)
    if n < 2 or middle <= 0.0:
        return 1.0
    spread = stdev(means)
    return 0.5**n if spread == 0.0 else max(1.0 - t_cdf(middle / (spread / sqrt(n)), n - 1), 0.0)


async def _one_look(
    found: Comparison, look: Sequence[Case], trial: Trial, rewards: Rewards, question: Question
) -> Comparison:
    """Roll out both sides of a look and add its pairs; the test is not asked yet."""
    before = await rewards.measure(trial, question.current, look)
    after = await rewards.measure(trial, question.candidate, look)
    pairs, lost, sums = list(found.pairs), found.lost, dict(found.sums)
    for (problem, index), old, new in zip(look, before.observations, after.observations, strict=True):
        lost = lost.after(old, new)
        was, now = paired_rewards(old, new)
        if not isnan(d := now - was):
            pairs.append(Pair(problem.id, index, d, was))
            unit = question.units.get(problem.id, problem.id)
            total, n = sums.get(unit, (0.0, 0))
            sums[unit] = (total + d, n + 1)
    return replace(
        found,
        pairs=tuple(pairs),
        sums=sums,
        looks=found.looks + 1,
        asked=found.asked + len(look),
        lost=lost,
        new=found.new + before.new + after.new,
        cached=found.cached + 2 * len(look) - before.new - after.new,
    )


def _tested(found: Comparison, design: Design, *, first: bool) -> Comparison:
    """Put what a look brought to the test."""
    means, new = _means(found.sums), found.asked - found.state.visits
    state = found.state.add(means[found.state.problems :], new) if first else found.state.again(means, new)
    found = replace(found, state=state, enough=len(found.pairs) >= design.usable * found.asked)
    if found.earlier and state.answer is Answer.OPEN and found.e_helps >= 1 / state.plan.alpha:
        why = f"E = {found.e_helps:.3g}, an earlier test included"
        return replace(found, state=replace(state, answer=Answer.HELPS, why=why))
    return found


def wave(question: Question, index: int) -> tuple[Case, ...]:
    """Return a pass: each unit once, by another of its problems where it has several.

    Where all problems are tested, every look has its share of each stratum. Problems that were sometimes right and
    sometimes wrong before do not come first: an edit that gains on these and loses as much on the others would pass.
    """
    order = shuffle_problems([own[index % len(own)] for own in question.members.values()], f"{question.key}/{index}")
    if question.touched.how == "all":
        order = spread(order)
    return tuple((problem, index) for problem in order)


def spread(order: Sequence[Problem]) -> list[Problem]:
    """Return problems in an order whose every stretch has its share of each stratum, by their order within it."""
    stratum = strata(order)
    sizes, seen, rank = Counter(stratum.values()), Counter[int](), dict[str, float]()
    for problem in order:
        seen[stratum[problem.id]] += 1
        rank[problem.id] = (seen[stratum[problem.id]] - 0.5) / sizes[stratum[problem.id]]
    return sorted(order, key=lambda problem: rank[problem.id])


def schedule(problems: Sequence[Problem], key: str, passes: int) -> tuple[Case, ...]:
    """Return (problem, seed index) for each visit: each pass in its own order, with the pass as seed index."""
    return tuple(
        (problem, index) for index in range(passes) for problem in shuffle_problems(problems, f"{key}/{index}")
    )


def shuffle_problems(problems: Sequence[Problem], key: str) -> list[Problem]:
    """Return `problems` in an order that looks random and depends on their ids and `key` alone."""

    def place(problem: Problem) -> bytes:
        return blake2b(f"{key}/{problem.id}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

    return sorted(problems, key=place)
