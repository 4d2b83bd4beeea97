"""Does this text help? An exact group-sequential sign test on paired rewards: feed it look by look, read the answer.

    state = Plan(horizon=128).start()
    while state.answer is Answer.OPEN and more pairs can be had:
        state = state.add(differences)        # one look: after minus before, one number in [-1, 1] per new problem
    state.answer, state.reason                # helps / harms / no worth / open, and why
    state.p_helps, state.e_helps, state.effect, state.interval, state.pairs, state.won, state.lost

`add` takes any number of pairs; how many must not depend on what was seen. `again` takes a further pass over the
problems that are there already: the problem stays the unit, its difference becomes the mean of its passes. For several
texts at once, give each `alpha` divided by their number, or put their `p_helps` to `tfgrpo.gates.alpha.holm`.

**Binary rewards.** Where before and after differ, a text that does not help wins at most half of the time. Given how
many pairs were discordant at each look, wins are then sums of fair coins, whatever the ties do. A look after t pairs
may spend what alpha (t/horizon)^rho leaves (Lan and DeMets, "Discrete sequential boundaries for clinical trials",
Biometrika 70 (1983) 659-663); its boundary is the smallest sum of signs whose chance, among all courses that have not
crossed before, is within that (Armitage, McPherson and Rowe, JRSS A 132 (1969) 235-244, here with exact sums). Few
discordant pairs make coarse steps; so courses that end on the same sum are ordered by their sums at earlier looks, and
what is left of alpha goes to the first of them. So P(helps) <= alpha for every text that does not help, and P(harms)
<= harm for every text that does no harm.

**Fractional rewards.** The same recursion over the signs of the differences in 60ths (other fractions are rounded to
them: an odd function of the differences, so the test stays exact). It is exact if the text does nothing. A text that
gains a little often and loses much rarely is not caught by signs, so the any-time test of the mean must agree: its E
must reach 8 too at level .05, and 20 at levels below .02.

**Further passes.** After a whole pass the test asks how many sign patterns of the problems' totals reach the one seen,
and pays for the question out of the same alpha, as if the passes were unrelated: conservative, exact per problem.

**Stops.** `harms` at its own level and horizon, looked at before anything may be called hopeless. `no worth` when
nothing changed in the first `idle` pairs, when even a win in all that is left would not do, or when the predictive
power (Spiegelhalter, Freedman and Blackburn, Controlled Clinical Trials 7 (1986) 8-17) is below `futility` and harm is
not in sight either. These are not binding: going on after them costs no error. Where harm is a
verdict to be had for its own sake, take `harm_horizon` as long as `horizon` and a `pursuit` of .2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import reduce
from math import comb, sqrt
from statistics import NormalDist, fmean
from typing import Literal

from tfgrpo.errors import UsageError
from tfgrpo.gates.boundaries import Look, alpha_spending, course, fair_signs, one_more, units
from tfgrpo.gates.eprocess import Capitals, fold, interval, update

MEAN_GUARD = (0.4, 20.0)
"""Where rewards are fractional, the E value of the mean must reach the first divided by alpha, or the second."""
_NORMAL = NormalDist()


class Answer(StrEnum):
    """What the pairs say so far."""

    HELPS = "helps"
    HARMS = "harms"
    NO_WORTH = "no worth"
    """No effect worth having was found, and none is likely to be."""
    OPEN = "open"
    """Nothing is clear yet."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What may be spent, in error and in pairs."""

    alpha: float = 0.05
    """Chance at most that a text which does not help is said to help."""
    harm: float = 0.05
    """Chance at most that a text which does not harm is said to harm."""
    horizon: int = 128
    """Pairs at which the question ends; all of alpha is spent there."""
    harm_horizon: int = 64
    """Pairs at which all of `harm` is spent, and from which on harm is no reason to go on."""
    rho: float = 2.5
    """How late alpha is spent: 1 evenly, 2 or 3 late, which keeps more power for small effects."""
    futility: float = 0.3
    """Predictive power of `helps` below which the test ends at the horizon; earlier, pairs/horizon of it."""
    pursuit: float = 0.5
    """Predictive power of `harms` from which on it goes on at `harm_horizon`; earlier, a share as above."""
    idle: int = 48
    """Pairs without a difference that end the test; where 7% of the pairs differ, 32 would cost 6% of the power."""
    hopeful: int = 32
    """Pairs before which nothing is called hopeless."""
    by: Literal["sign", "mean"] = "sign"
    """What must show that a text helps: the sign test, or the any-time test of the mean with E >= 1/alpha."""

    def __post_init__(self) -> None:
        if not (0.0 < self.alpha < 1.0 and 0.0 < self.harm < 1.0):
            raise UsageError(f"the levels of a test lie between 0 and 1, got alpha {self.alpha} and harm {self.harm}")
        if min(self.horizon, self.harm_horizon, self.idle) < 1 or self.rho <= 0:
            raise UsageError("a test needs a horizon, harm_horizon and idle of at least 1 pair, and a rho above 0")

    def start(self) -> State:
        """Return the state without a pair."""
        return State(self)


@dataclass(frozen=True, slots=True)
class State:
    """A test under way: the differences per problem, and what was looked at. Grows by `add` and `again`."""

    plan: Plan
    differences: tuple[float, ...] = ()
    """Per problem the mean over its passes of after minus before, in [-1, 1]."""
    looks: tuple[Look, ...] = ()
    """Looks of the first pass."""
    sums: tuple[int, ...] = (0,)
    """Sum of the differences at each look of the first pass, in units, newest first and 0 last."""
    visits: int = 0
    """Pairs of all passes."""
    again_from: int = 0
    """Pairs of the first pass, once there is a second one."""
    spent: float = 0.0
    """Alpha spent so far."""
    spent_harm: float = 0.0
    p_helps: float = 1.0
    """Chance of a course at least as good under no effect, earlier stops counted as better (stage-wise ordering)."""
    p_harms: float = 1.0
    answer: Answer = Answer.OPEN
    why: str = ""
    """What the answer rests on; empty while there is none."""
    capitals: Capitals = field(default_factory=Capitals)
    """The any-time test of the mean, per problem."""

    def add(self, differences: Sequence[float], pairs: int | None = None) -> State:
        """Return the state after a look at new problems, one difference in [-1, 1] each; raises ValueError beyond.

        `pairs` counts those asked for, where some brought no difference. After an answer nothing changes any more.
        """
        asked = len(differences) if pairs is None else pairs
        if self.answer is not Answer.OPEN or not asked:
            return self
        if self.again_from:
            raise ValueError("new problems cannot join after a second pass; give all of them in the first one")
        sizes = Counter(abs(units(d)) for d in differences)
        look = (self.visits + asked, tuple(sorted((s, n) for s, n in sizes.items() if s)))
        grown = replace(
            self,
            differences=(*self.differences, *map(float, differences)),
            looks=(*self.looks, look),
            sums=(self.sums[0] + sum(map(units, differences)), *self.sums),
            visits=look[0],
        )
        plan, sums, mirrored = self.plan, grown.sums, tuple(-s for s in grown.sums)
        up = course(grown.looks, plan.alpha, plan.horizon, plan.rho)
        down = course(grown.looks, plan.harm, plan.harm_horizon, plan.rho)
        return _answered(
            replace(
                grown,
                capitals=reduce(update, differences, self.capitals),
                spent=up.spent,
                spent_harm=down.spent,
                p_helps=up.p(sums),
                p_harms=down.p(mirrored),
            ),
            helps=up.crossed(sums),
            harms=down.crossed(mirrored),
        )

    def again(self, means: Sequence[float], pairs: int) -> State:
        """Return the state after a further pass of `pairs` pairs: the mean difference per problem over all passes.

        `means` are in the order of `differences`; problems that brought none before may follow. Raises ValueError for
        fewer of them.
        """
        if self.answer is not Answer.OPEN:
            return self
        if len(means) < len(self.differences):
            raise ValueError(f"a further pass has the same problems: {len(self.differences)}, not {len(means)}")
        plan, visits = self.plan, self.visits + pairs
        whole = tuple(units(d) for d in means)
        total = sum(whole)
        chances = fair_signs(tuple(sorted(Counter(map(abs, whole)).items())))
        up = one_more(chances, total, self.spent, alpha_spending(visits, plan.alpha, plan.horizon, plan.rho))
        down = one_more(
            chances, -total, self.spent_harm, alpha_spending(visits, plan.harm, plan.harm_horizon, plan.rho)
        )
        return _answered(
            replace(
                self,
                differences=tuple(map(float, means)),
                again_from=self.again_from or self.visits,
                visits=visits,
                capitals=fold(means),
                spent=up.spent,
                spent_harm=down.spent,
                p_helps=min(self.p_helps, up.p),
                p_harms=min(self.p_harms, down.p),
            ),
            helps=up.crossed,
            harms=down.crossed,
        )

    @property
    def reason(self) -> str:
        """The state in one sentence: effect, what was won and lost, and what the answer rests on."""
        why = self.why or f"not clear yet, p = {self.p_helps:.2g}"
        return f"{self.effect:+.3f} over {self.problems} problems, {self.won} won, {self.lost} lost ({why})"

    @property
    def pairs(self) -> int:
        """Pairs used, all passes together."""
        return self.visits

    @property
    def problems(self) -> int:
        """Different problems behind them."""
        return len(self.differences)

    @property
    def won(self) -> int:
        """Problems that went better."""
        return sum(d > 0 for d in self.differences)

    @property
    def lost(self) -> int:
        """Problems that went worse."""
        return sum(d < 0 for d in self.differences)

    @property
    def tied(self) -> int:
        """Problems without a difference."""
        return self.problems - self.won - self.lost

    @property
    def effect(self) -> float:
        """Mean difference over problems; 0 without one. A test that stopped early exaggerates it a little."""
        return fmean(self.differences) if self.differences else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95% betting confidence sequence for the effect, valid at any stopping time; wider than the test is sharp."""
        return interval(self.differences)

    @property
    def e_helps(self) -> float:
        """E value against "does not help", to be carried on or combined over tests."""
        return self.capitals.e_better

    @property
    def e_harms(self) -> float:
        """E value against "does not harm"."""
        return self.capitals.e_worse

    @property
    def fractional(self) -> bool:
        """Whether some difference is neither -1, 0 nor 1."""
        return any(d not in (-1.0, 0.0, 1.0) for d in self.differences)


def _answered(state: State, *, helps: bool, harms: bool) -> State:
    """Return the state with its answer."""
    plan = state.plan
    if plan.by == "mean":
        helps = state.e_helps >= 1 / plan.alpha
    elif state.fractional:
        helps = helps and state.e_helps >= mean_guard(plan.alpha)
    if helps:
        return replace(state, answer=Answer.HELPS, why=_evidence(state))
    if harms and (not state.fractional or state.e_harms >= mean_guard(plan.harm)):
        return replace(state, answer=Answer.HARMS, why=f"p = {state.p_harms:.2g}")
    if hopeless := _hopeless(state):
        return replace(state, answer=Answer.NO_WORTH, why=hopeless)
    return state


def mean_guard(alpha: float) -> float:
    """Return the E value that the mean must reach where rewards are fractional, for a test at level `alpha`."""
    return min(MEAN_GUARD[0] / alpha, MEAN_GUARD[1])


def _evidence(state: State) -> str:
    return f"E = {state.e_helps:.3g}" if state.plan.by == "mean" else f"p = {state.p_helps:.2g}"


def _hopeless(state: State) -> str:
    """Return why the test need not go on; empty when it should."""
    plan, left = state.plan, state.plan.horizon - state.visits
    changed = state.won + state.lost
    if not changed:
        return f"no difference in {state.visits} pairs" if state.visits >= plan.idle else ""
    if left <= 0 or state.visits < plan.hopeful:
        return ""
    if not state.again_from and not state.fractional and _lost(changed, state.won, left, plan.alpha):
        return f"even {left} wins in the {left} pairs that are left would not do"
    hope = predictive(state, plan.horizon, plan.alpha, 1)
    if hope >= plan.futility * state.visits / plan.horizon:
        return ""
    if left_for_harm := max(0, plan.harm_horizon - state.visits):
        # Signs move in steps; without half a step off, three losses and no win would seem close to a proof of harm.
        half_step = min(abs(d) for d in state.differences if d)
        harm = predictive(state, plan.harm_horizon, plan.harm, -1, half_step)
        if harm >= plan.pursuit * (1 - left_for_harm / plan.harm_horizon):
            return ""
    return f"a chance of {hope:.2g} is left to show that it helps"


def _lost(changed: int, won: int, left: int, alpha: float) -> bool:
    n, k = changed + left, won + left
    return bool(sum(comb(n, j) for j in range(k, n + 1)) / 2**n > alpha)


def predictive(state: State, horizon: int, level: float, sign: int, short: float = 0.0) -> float:
    """Return the chance that a test ends beyond its boundary at the horizon, the effect being as unknown as it is.

    `short` is taken off the sum first.
    """
    squares = sum(d * d for d in state.differences)
    share = min(state.visits / horizon, 0.999)
    z = (sign * sum(state.differences) - short) / sqrt(squares) if squares else 0.0
    return _NORMAL.cdf((z - _NORMAL.inv_cdf(1 - level) * sqrt(share)) / sqrt(1 - share))
