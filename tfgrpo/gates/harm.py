"""A gate looks where its edit acts; these checks look elsewhere: for each accepted edit, and over all once an epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan

from experience_db import Evidence, Library
from tfgrpo.errors import UsageError
from tfgrpo.gates.base import Rewards, Trial
from tfgrpo.gates.comparison import Comparison, Design, Question, compare, shuffle_problems
from tfgrpo.gates.sequential import Answer, Plan
from tfgrpo.gates.touch import Touched
from tfgrpo.gates.verdicts import comparison_detail, decision
from tfgrpo.types import Problem

FIRST = 20_000
"""Seed indices from here on belong to the look elsewhere."""
FEWEST = 8
"""Fewer problems than this, that a test has not met, are not asked for harm."""
NEVER = {"futility": 0.0, "idle": 1_000_000, "hopeful": 1_000_000}
"""Stops of a plan that shall run to its end."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What an edit did to problems that its own test had not met."""

    comparison: Comparison

    @property
    def harmful(self) -> bool:
        """Whether harm was shown."""
        return self.comparison.answer is Answer.HARMS

    @property
    def words(self) -> str:
        """What it did there, in words."""
        found = self.comparison
        what = f"{found.estimate:+.3f} on {found.problems} problems that its test had not met"
        return f"{what} (p = {found.state.p_harms:.2g})"


async def check_elsewhere(
    own: Comparison,
    question: Question,
    pool: tuple[Problem, ...],
    trial: Trial,
    rewards: Rewards,
    design: Design,
    first: int = FIRST,
) -> Elsewhere | None:
    """Let an edit that helped meet up to `design.elsewhere` random problems that its test has not met.

    Half of them first; the others only if those leave harm in sight. None where fewer than FEWEST problems are left. A
    run asks this of each lesson that helps, so at half the level: else a run of ten would lose one in two runs.
    """
    met = {question.units.get(pair.problem_id, pair.problem_id) for pair in own.pairs}
    rest = [problem for problem in pool if question.units.get(problem.id, problem.id) not in met]
    chosen = shuffle_problems(rest, f"{question.key}/elsewhere")[: design.elsewhere]
    if len(chosen) < FEWEST:
        return None
    half = max(1, (len(chosen) + 1) // 2)
    plan = Plan(
        harm=design.harm / 2, horizon=len(chosen), harm_horizon=len(chosen), rho=1.0, idle=half, hopeful=half,
        futility=1.0, pursuit=0.1,
    )  # fmt: skip
    touched = Touched(tuple(chosen), "all")
    # Rollouts of its own on both sides: those that let earlier edits in are lucky, and make any later one look bad.
    asked = replace(question, touched=touched, earlier=Comparison(plan.start(), touched, passes=first))
    found = await compare(trial, rewards, asked, replace(design, look=half, passes=1), plan)
    return Elsewhere(found)


async def harm_check(
    before: Library, after: Library, trial: Trial, *, rewards: Rewards | None = None, seed: int = 0
) -> Evidence:
    """Compare two versions on every gate problem, one rollout each, and say whether the later one is worse.

    The exact sign test decides at level .05 on either side: `rejected` when the later version is worse, `accepted` when
    it is better, else `undecided`: no harm was shown, which is not a proof that there is none. The same problems
    admitted the edits, so the check is lenient about what those gates looked at. Raises UsageError when the trial has
    no problems.
    """
    n = len(trial.problems)
    if n == 0:
        raise UsageError("the harm check has no held-out problems; give --heldout, or leave the check out")
    question = Question(before, after, Touched(trial.problems, "all"), f"{seed}/harm")
    plan = Plan(horizon=n, harm_horizon=n, **NEVER)  # type: ignore[arg-type]
    found = await compare(trial, Rewards() if rewards is None else rewards, question, Design(look=n, passes=1), plan)
    low, high = found.interval
    verdict = decision(found)
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
