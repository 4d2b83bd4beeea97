"""From pairs to a finding: which test, which level, which interval, and how many pairs would be needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean

from tfgrpo import stats
from tfgrpo.gates.eprocess import interval as any_time
from tfgrpo.gates.missing_rewards import MissingCounts
from tfgrpo.gates.sequential import Answer, Plan, State
from tfgrpo.proving.pairs import Pair, by_problem
from tfgrpo.proving.proof import NO_FLOOR, Finding, Floor, Verdict

LOOK = 16
"""Pairs between two looks."""
PAIRS = 128
"""Pairs at most, unless more are asked for."""
PASSES = 4
"""Visits per problem at most, where the tasks are few."""
POWER = 0.8
WORTH = 0.05
"""Effect that is worth having, unless another one is asked for."""
SIZES = 12
"""Different sizes of difference, beyond which so many pairs that the exact sums take long are tested in tenths."""
ANY_TIME = "betting confidence sequence, 95% at any stopping time"
FIXED = "bootstrap over problems, 95%, all pairs looked at once"
ANSWERS = {Answer.HELPS: Verdict.HELPS, Answer.HARMS: Verdict.HARMS, Answer.NO_WORTH: Verdict.NO_WORTH}
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Question:
    """One text against another, under names that a measurement knows them by."""

    name: str
    against: str
    kind: str = "text"
    arm: str = ""
    """What is measured, where it is not the text alone: all texts, or the text beside another one."""

    @property
    def given(self) -> str:
        """The arm that has the text."""
        return self.arm or self.name


@dataclass(frozen=True, slots=True)
class Design:
    """How much is asked at most, and at which error."""

    problems: int
    alpha: float = 0.05
    detect: float | None = None
    """Effect that should be seen."""
    pairs: int | None = None
    """Pairs at most; None takes what `detect` needs, else 128."""
    square: float = 0.5
    """Assumed mean square of a pair's difference, before anything was measured."""

    @property
    def wanted(self) -> int:
        """Pairs that are wanted, whatever there is."""
        if self.pairs is not None:
            return self.pairs
        return PAIRS if self.detect is None else max(LOOK, required_pairs(self.detect, self.square, self.alpha))

    @property
    def passes(self) -> int:
        """Visits per problem."""
        return max(1, min(PASSES, math.ceil(self.wanted / self.problems)))

    @property
    def horizon(self) -> int:
        """Pairs at which the question ends: what is wanted, as far as the problems go."""
        return min(self.wanted, self.problems) if self.passes == 1 else self.problems * self.passes

    def plan(self, questions: int = 1) -> Plan:
        """Return the plan of one of several questions that share the error."""
        level, horizon = self.alpha / questions, self.horizon
        return Plan(alpha=level, harm=level, horizon=horizon, harm_horizon=horizon, pursuit=0.2)


def required_pairs(effect: float, square: float, alpha: float = 0.05, power: float = POWER) -> int:
    """Return how many pairs show a true `effect` with this power at one-sided level alpha, by the normal approximation.

    `square` is the mean square of a pair's difference; for 0/1 rewards the share of pairs that differ. It is never
    less than the effect itself asks for.
    """
    spread = max(square, abs(effect)) - effect * effect
    z = _NORMAL.inv_cdf(1 - alpha) + _NORMAL.inv_cdf(power)
    return max(2, math.ceil(z * z * max(spread, 1e-9) / (effect * effect)))


@dataclass(frozen=True, slots=True)
class Course:
    """What a test was fed, look by look, so that it can be run again at another level."""

    plan: Plan
    steps: tuple[tuple[tuple[float, ...], int], ...] = ()
    """Differences of new problems and 0; or the means of all problems and how many pairs a further pass brought."""

    def looked(self, pairs: Sequence[Pair]) -> Course:
        """Return the course after a look at new problems; those without a difference are left out."""
        return replace(self, steps=(*self.steps, (_testable(by_problem(pairs).values()), 0)))

    def again(self, pairs: Sequence[Pair], fresh: int) -> Course:
        """Return the course after a whole further pass: `pairs` are those of all passes, `fresh` of them new."""
        means = tuple(by_problem(pairs).values())
        known = sum(len(values) for values, more in self.steps if not more)
        return replace(self, steps=(*self.steps, (means, fresh))) if len(means) == known else self

    def state(self, level: float | None = None, harm: float | None = None) -> State:
        """Return where the test stands; at another `level`, without stops for lack of hope, which are not binding.

        `harm` is the level of the other side; without it that is `level` too.
        """
        plan = self.plan
        if level is not None:
            plan = replace(plan, alpha=level, harm=harm or level, hopeful=10**9, idle=10**9)
        state = plan.start()
        for values, fresh in self.steps:
            state = state.again(values, fresh) if fresh else state.add(values)
        return state


def _testable(values: Iterable[float]) -> tuple[float, ...]:
    """Return differences as the test takes them; rounding is an odd function of them, so the test stays exact."""
    found = tuple(values)
    many = len(found) > 250 and len({abs(d) for d in found}) > SIZES
    return tuple(round(d, 1) for d in found) if many else found


def apply_holm(courses: Mapping[Question, Course], alpha: float, family: int | None = None) -> dict[Question, State]:
    """Return the final states, the error shared over all questions by Holm's steps.

    Each course is run at alpha / m; once some were said to help, the others' help at alpha over their number, and so
    on; harm by its own count. So the chance that any text which does not help is said to help is at most alpha, and
    likewise for harm: a text that harms is one of those that do not help, and frees nothing for them. `family` counts
    the questions that might have been asked, where which of them are was chosen by what was seen: one that is not
    asked has p = 1.
    """
    settled: dict[Question, State] = {}
    left, asked = dict(courses), family or len(courses)
    while left:
        said = [state.answer for state in settled.values()]
        helps, harms = (alpha / (asked - said.count(answer)) for answer in (Answer.HELPS, Answer.HARMS))
        tried = {question: course.state(helps, harms) for question, course in left.items()}
        found = {q: s for q, s in tried.items() if s.answer in (Answer.HELPS, Answer.HARMS)}
        if not found:
            break
        settled |= found
        left = {q: c for q, c in left.items() if q not in found}
    return {q: settled[q] if q in settled else c.state() for q, c in courses.items()}


@dataclass(frozen=True, slots=True)
class Touch:
    """The problems that share a rare word with a text; all of them where the words single none out."""

    ids: frozenset[str]
    how: str
    """`word` or `all`."""


def finding(
    question: Question,
    state: State,
    pairs: Sequence[Pair],
    *,
    touch: Touch | None = None,
    detect: float | None = None,
    floor: Floor = NO_FLOOR,
    fixed: bool = False,
) -> Finding:
    """Return what a test that has ended says, with everything a reader wants beside it.

    `fixed` is for stored pairs that were all looked at once: the interval is then the sharper one.
    """
    differences = by_problem(pairs)
    values = list(differences.values())
    ci = interval_of(values, fixed=fixed)
    verdict = ANSWERS.get(state.answer) or _undecided(ci, detect)
    lost = _outages(pairs)
    doubted = verdict is Verdict.HELPS and lost.one_sided
    verdict = Verdict.CANNOT_TELL if doubted else verdict
    reason = _reason(verdict, state, values, ci, detect)
    if doubted:
        reason += (
            f"; but {lost.outages_candidate} attempts with the text are missing where the other side has one, "
            f"{lost.outages_current} the other way round: what is left is no fair sample"
        )
    near = [d for problem, d in differences.items() if touch is None or problem in touch.ids]
    scored = [p.difference for p in pairs if not math.isnan(p.difference)]
    square = max(fmean(d * d for d in scored) if scored else 0.5, floor.square or 0.0)
    return Finding(
        question.name,
        question.against,
        question.kind,
        verdict,
        reason,
        fmean(values) if values else None,
        ci,
        FIXED if fixed else ANY_TIME,
        state.p_helps if values else None,
        state.p_harms if values else None,
        _level(state),
        tuple(pairs),
        differences,
        {
            "n": len(near),
            "effect": fmean(near) if near else None,
            "ci": list(interval_of(near, fixed=fixed)),
            "how": touch.how if touch else "all",
        },
        len(pairs) - len(scored),
        required_pairs(detect or WORTH, square, state.plan.alpha),
    )


def interval_of(values: Sequence[float], *, fixed: bool) -> tuple[float | None, float | None]:
    """Return the 95% interval of a mean difference; (None, None) without values."""
    if not values:
        return None, None
    if not fixed:
        return any_time(values)
    found = stats.paired_difference([0.0] * len(values), values)
    return (found.low, found.high) if math.isfinite(found.low) else (-1.0, 1.0)


def _undecided(ci: tuple[float | None, float | None], detect: float | None) -> Verdict:
    """At the end of the pairs: no worth where even the upper end is below what would be worth it."""
    return Verdict.NO_WORTH if ci[1] is not None and ci[1] < (detect or WORTH) else Verdict.CANNOT_TELL


def _outages(pairs: Iterable[Pair]) -> MissingCounts:
    """Return how many pairs each side alone lost to what was not its own fault."""
    gone = [(math.isnan(p.without.counted), math.isnan(p.given.counted)) for p in pairs]
    return MissingCounts(outages_current=gone.count((True, False)), outages_candidate=gone.count((False, True)))


def _level(state: State) -> float:
    return state.plan.harm if state.answer is Answer.HARMS else state.plan.alpha


def _why(reason: str) -> str:
    """Return the part of a test's reason that comes after its figures."""
    return reason.rpartition(" (")[2].rstrip(")") if reason.endswith(")") else reason.rpartition(": ")[2]


def _reason(
    verdict: Verdict, state: State, values: Sequence[float], ci: tuple[float | None, float | None], detect: float | None
) -> str:
    if not values:
        return "not one pair has both sides"
    told = f"{sum(d > 0 for d in values)} won, {sum(d < 0 for d in values)} lost of {len(values)}"
    level = f"at level {_level(state):.3g}"
    match state.answer:
        case Answer.HELPS:
            return f"{told}: chance of that without help {state.p_helps:.2g}, {level}"
        case Answer.HARMS:
            return f"{told}: chance of that without harm {state.p_harms:.2g}, {level}"
        case Answer.NO_WORTH:
            return f"{told}: {_why(state.reason)}"
    if verdict is Verdict.NO_WORTH:
        return f"{told}: an effect of {detect or WORTH:+.2f} is outside of the interval, which ends at {ci[1]:+.3f}"
    return f"{told}: not clear {level} with the pairs there are"
