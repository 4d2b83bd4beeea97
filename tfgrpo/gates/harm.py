"""A gate looks where its edit acts; these checks look elsewhere: for each accepted edit, and over all once an epoch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import inf, isnan

from experience_db import Evidence, Library
from tfgrpo.errors import UsageError
from tfgrpo.gates.base import Rewards, Trial
from tfgrpo.gates.boundaries import fair_signs, one_more, units
from tfgrpo.gates.comparison import Comparison, Design, Question, compare, shuffle_problems
from tfgrpo.gates.eprocess import fold
from tfgrpo.gates.sequential import Answer, Plan, mean_guard
from tfgrpo.gates.touch import Touched
from tfgrpo.gates.verdicts import comparison_detail
from tfgrpo.types import Problem

FIRST = 20_000
"""Seed indices from here on belong to the look elsewhere."""
SECOND = 30_000
"""Seed indices from here on belong to the second look."""
AT_FIRST = 0.25
"""Level of the first look, at which harm is met again rather than believed."""
AGAIN = 0.2
"""Level of the second look, which must agree on its own rollouts before harm elsewhere counts."""
LATE = 5.0
"""How late the second look spends its level: it ends early only on harm that both looks together cannot miss."""
PART = 16
"""Problems that are asked at a time, half of all at most."""
VISITS = 2
"""Passes of the second look at most."""
FEWEST = 8
"""Fewer problems than this, that a test has not met, are not asked for harm."""
IN_SIGHT = 0.3
"""Predictive power of harm elsewhere, a share of it early on, below which no further problems are asked."""
IN_SIGHT_OF_ALL = 0.2
"""The same for an epoch as a whole."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What an edit did to problems that its own test had not met."""

    comparison: Comparison
    """The last look, with the rollouts of both where there were two."""
    p: float
    """Chance of so much harm under no effect: of both looks where there were two, else of the one."""
    harmful: bool
    """Whether harm was shown."""

    @property
    def words(self) -> str:
        """What it did there, in words."""
        found = self.comparison
        what = f"{found.estimate:+.3f} on {found.problems} problems that its test had not met"
        return f"{what} (p = {self.p:.2g})"


def _plan_for_harm(problems: int, level: float, part: int, in_sight: float = IN_SIGHT) -> Plan:
    """Return the plan of a look for harm: a part of the problems first, the others only if those leave it in sight."""
    part = max(1, min(part, (problems + 1) // 2))
    return Plan(
        harm=level, horizon=problems, harm_horizon=problems, rho=1.0, idle=part, hopeful=part,
        futility=inf, pursuit=in_sight,
    )  # fmt: skip


async def check_elsewhere(
    own: Comparison,
    question: Question,
    pool: tuple[Problem, ...],
    trial: Trial,
    rewards: Rewards,
    design: Design,
    first: int = FIRST,
    second: int = SECOND,
) -> Elsewhere | None:
    """Let an edit that helped meet up to `design.elsewhere` random problems that its test has not met.

    Edits of one call share the question's current library, key and the seed index `first`, so that they share its
    rollouts. The first look, at level AT_FIRST, only says what is worth a second one, on both sides with the seed index
    `second` of its own: luck of the shared side would make every edit look bad, and a run asks this of each lesson that
    helps. It may take VISITS passes. Harm is shown where it agrees at AGAIN by itself, and both together, a problem's
    difference being the mean of its visits, at the level `design.harm`: so rollouts that repeat err no more often than
    those that do not. None where fewer than FEWEST problems are left.
    """
    met = {question.units.get(pair.problem_id, pair.problem_id) for pair in own.pairs}
    rest = [problem for problem in pool if question.units.get(problem.id, problem.id) not in met]
    chosen = shuffle_problems(rest, f"{question.key}/{first}")[: design.elsewhere]
    if len(chosen) < FEWEST:
        return None
    asked = replace(question, touched=Touched(tuple(chosen), "all"))
    plan = _plan_for_harm(len(chosen), AT_FIRST, PART)
    once = await _look(asked, first, trial, rewards, design, plan)
    if once.answer is not Answer.HARMS:
        return Elsewhere(once, once.state.p_harms, harmful=False)
    pairs = VISITS * len(chosen)
    plan = replace(_plan_for_harm(len(chosen), AGAIN, PART), horizon=pairs, harm_horizon=pairs, rho=LATE)
    twice = await _look(asked, second, trial, rewards, design, plan)
    p, both = _together(once, twice, design.harm)
    spent = replace(twice, new=once.new + twice.new, cached=once.cached + twice.cached)
    return Elsewhere(spent, p, harmful=both and twice.answer is Answer.HARMS)


async def _look(
    question: Question, index: int, trial: Trial, rewards: Rewards, design: Design, plan: Plan
) -> Comparison:
    """Meet the problems, as often as the plan has pairs for, with seed indices of its own on both sides.

    Rollouts that let earlier edits in are lucky, and would make any later one look bad.
    """
    asked = replace(question, earlier=Comparison(plan.start(), question.touched, passes=index))
    passes = plan.horizon // len(question.touched.problems)
    return await compare(trial, rewards, asked, replace(design, look=plan.idle, passes=passes), plan)


def _together(once: Comparison, twice: Comparison, level: float) -> tuple[float, bool]:
    """Return p of two looks taken as one, by the signs of the problems' means, and whether it is within the level.

    Where rewards are fractional the bet on the means must agree, as in any other test of them.
    """
    means = [total / n for total, n in replace(twice, earlier=once.sums).pooled.values()]
    sums = tuple(map(units, means))
    found = one_more(fair_signs(tuple(sorted(Counter(map(abs, sums)).items()))), -sum(sums), 0.0, level)
    fractional = once.state.fractional or twice.state.fractional
    return found.p, found.crossed and (not fractional or fold(means).e_worse >= mean_guard(level))


async def harm_check(
    before: Library, after: Library, trial: Trial, *, rewards: Rewards | None = None, seed: int = 0
) -> Evidence:
    """Compare two versions on the gate's problems, one rollout each, and say whether the later one is worse.

    Half of the problems come first; where the later version is better there, or harm is not in sight, that is all. The
    exact sign test decides at level .05 on either side: `rejected` when the later version is worse, `accepted` when
    it is better, else `undecided`: no harm was shown, which is not a proof that there is none. The same problems
    admitted the edits, so the check is lenient about what those gates looked at. Raises UsageError when the trial has
    no problems.
    """
    n = len(trial.problems)
    if n == 0:
        raise UsageError("the harm check has no held-out problems; give --heldout, or leave the check out")
    question = Question(before, after, Touched(trial.problems, "all"), f"{seed}/harm")
    plan = _plan_for_harm(n, 0.05, n, IN_SIGHT_OF_ALL)
    design = Design(look=plan.idle, passes=1)
    found = await compare(trial, Rewards() if rewards is None else rewards, question, design, plan)
    low, high = found.interval
    verdict = {Answer.HARMS: "rejected", Answer.HELPS: "accepted"}.get(found.answer, "undecided")
    return Evidence(
        "harm-check",
        None if isnan(found.estimate) else found.estimate,
        low,
        high,
        n=len(found.pairs),
        verdict=verdict,
        reason={"rejected": "worse as a whole", "accepted": "better as a whole, on problems that chose it"}.get(
            verdict, "no harm shown"
        ),
        detail=comparison_detail(found) | {"versions": [before.version, after.version]},
    )
