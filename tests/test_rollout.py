"""Rollouts and grades become groups; a measurement is whole or it is not made."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from experience_db import Library
from tfgrpo.backends import Scripted
from tfgrpo.environments import SingleTurn
from tfgrpo.errors import BudgetReached, EndpointError, ProviderError
from tfgrpo.executors import Local
from tfgrpo.graders import Exact, Grader, from_function
from tfgrpo.prompting import templates
from tfgrpo.rollout import Actor, measure, run_group
from tfgrpo.types import FailureKind, Problem, Rollout, Sampling, Score

PROBLEM = Problem("p1", "2 + 2?", "4")
LIBRARY = Library("x", 5)
EXACT = Exact()


def actor(script: object, grader: Grader = EXACT, **more: object) -> tuple[Actor, Scripted]:
    """An actor over a script."""
    played = Scripted(script)  # type: ignore[arg-type]
    return Actor(SingleTurn(played, "m", templates.load()), grader, Local(), **more), played  # type: ignore[arg-type]


async def test_a_group_has_one_rollout_per_index_under_one_version():
    """G rollouts in order, from the first index on, each with its own noise."""
    acting, script = actor(lambda r: "4" if r.attempt % 2 else "5", seed=3)
    group = await run_group(acting, PROBLEM, LIBRARY, 4, Sampling(temperature=0.7), first=8)
    assert [r.index for r in group.rollouts_G] == [8, 9, 10, 11]
    assert group.rewards_G == (0.0, 1.0, 0.0, 1.0)
    assert (group.version, group.status) == (5, "kept")
    assert math.fsum(group.advantages_G) == pytest.approx(0.0)
    assert len({r.sampling.seed for r in script.requests}) == 4
    assert {r.role for r in script.requests} == {"rollout"}


async def test_a_budget_that_ends_inside_a_group_keeps_what_was_finished():
    """Finished siblings still count; the others failed for lack of budget."""
    acting, _ = actor(lambda r: "4" if r.attempt < 2 else raising(BudgetReached("spent")))
    group = await run_group(acting, PROBLEM, LIBRARY, 4, Sampling())
    assert group.rewards_G[:2] == (1.0, 1.0)
    assert {r.failure.kind for r in group.rollouts_G[2:] if r.failure} == {FailureKind.BUDGET}


def raising(error: Exception) -> str:
    """Raise inside an expression."""
    raise error


@pytest.mark.parametrize(
    ("returned", "reward"),
    [
        (0.25, 0.25),
        (True, 1.0),
        (False, 0.0),
        (Score(0.5, "half"), 0.5),
        (None, None),
        (float("nan"), None),
        ("x", None),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_own_graders_return_what_they_like(kind, returned, reward):
    """Numbers, bools and scores count; None, nan and anything else leave the rollout unscored."""

    def plain(problem: Problem, rollout: Rollout) -> object:
        return returned

    async def waiting(problem: Problem, rollout: Rollout) -> object:
        return returned

    acting, _ = actor(lambda r: "4", from_function(plain if kind == "sync" else waiting))  # type: ignore[arg-type]
    group = await run_group(acting, PROBLEM, LIBRARY, 2, Sampling())
    assert [None if math.isnan(r) else r for r in group.rewards_G] == [reward, reward]
    assert group.status == ("failed" if reward is None else "flat")


async def test_a_grader_that_raises_costs_its_rollout_alone():
    """The others keep their scores."""

    def picky(problem: Problem, rollout: Rollout) -> float:
        return raising(ValueError("odd")) if rollout.index == 1 else float(rollout.index)  # type: ignore[return-value]

    acting, _ = actor(lambda r: "4", from_function(picky))
    group = await run_group(acting, PROBLEM, LIBRARY, 3, Sampling())
    assert [None if math.isnan(r) else r for r in group.rewards_G] == [0.0, None, 2.0]
    assert group.scores_G[1].failure is not None
    assert group.status == "kept"


async def test_a_group_grader_that_raises_scores_nobody():
    """Without a judgement there is no reward, for nobody in the group, and no 0."""

    async def jury(problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        raise ValueError("no quorum")

    acting, _ = actor(lambda r: "4", jury)
    group = await run_group(acting, PROBLEM, LIBRARY, 3, Sampling())
    assert all(math.isnan(r) for r in group.rewards_G)
    assert {s.failure.kind for s in group.scores_G if s.failure} == {FailureKind.GRADER}
    assert group.status == "failed"


async def test_a_measurement_comes_in_the_order_of_its_cases():
    """One graded rollout per (problem, index); a failure is nan."""
    other = Problem("p2", "3 + 3?", "6")

    def say(request: object) -> str:
        text = request.messages[-1]["content"]  # type: ignore[attr-defined]
        return "4" if "2 + 2" in text else raising(ProviderError("gone"))

    acting, script = actor(say)
    graded = await measure(acting, LIBRARY, [(other, 0), (PROBLEM, 0), (PROBLEM, 7)], Sampling(), "gate")
    assert [None if math.isnan(g.reward) else g.reward for g in graded] == [None, 1.0, 1.0]
    assert [g.rollout.index for g in graded] == [0, 0, 7]
    assert {r.role for r in script.requests} == {"gate"}


@pytest.mark.parametrize("error", [BudgetReached("spent"), EndpointError("dead")])
async def test_half_a_measurement_is_none(error):
    """A budget or a dead endpoint ends it: the mean of what happened to finish would be a wrong one."""
    acting, _ = actor(lambda r: "4" if r.attempt == 0 else raising(error))
    with pytest.raises(type(error)):
        await measure(acting, LIBRARY, [(PROBLEM, 0), (PROBLEM, 1)], Sampling(), "gate")


async def test_a_judge_without_budget_ends_the_measurement():
    """A grader's model calls count as well; what it could not judge is not half a measurement."""

    async def judge(problem: Problem, rollout: Rollout) -> float:
        raise BudgetReached("spent")

    acting, _ = actor(lambda r: "4", from_function(judge))
    with pytest.raises(BudgetReached):
        await measure(acting, LIBRARY, [(PROBLEM, 0)], Sampling(), "gate")
    group = await run_group(acting, PROBLEM, LIBRARY, 2, Sampling())
    assert {s.failure.kind for s in group.scores_G if s.failure} == {FailureKind.BUDGET}
