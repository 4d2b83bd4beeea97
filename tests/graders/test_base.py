"""User functions as graders, and the one way graders are called."""

import asyncio
import math

import pytest

from tfgrpo.graders import as_score, from_function, grade
from tfgrpo.types import Failure, FailureKind, Problem, Rollout, Score

PROBLEM = Problem("p", "2+2?", "4")


def rollouts(*answers):
    """One rollout per answer; None makes a failed one."""
    lost = Failure(FailureKind.TIMEOUT, "60 s")
    return [Rollout("p", i, answer=a or "", failure=lost if a is None else None) for i, a in enumerate(answers)]


async def test_sync_and_async_functions_are_graders():
    """Both kinds of function give one score per rollout, in order."""

    def sync(problem, rollout):
        return float(rollout.answer == problem.answer)

    async def later(problem, rollout):
        await asyncio.sleep(0)
        return sync(problem, rollout)

    for function in (sync, later):
        scores = await from_function(function)(PROBLEM, rollouts("4", "5"))
        assert [score.value for score in scores] == [1.0, 0.0]


async def test_async_callable_objects_are_graders():
    """An object with an async `__call__` is awaited, not compared as a coroutine."""

    class Lenient:
        async def __call__(self, problem, rollout):
            return Score(0.5, "half")

    (score,) = await from_function(Lenient())(PROBLEM, rollouts("x"))
    assert (score.value, score.why) == (0.5, "half")


async def test_sync_functions_do_not_block_the_loop():
    """While a slow sync grader runs, other coroutines go on."""
    loop = asyncio.get_running_loop()
    released = asyncio.Event()

    def waits_for_the_loop(problem, rollout):
        asyncio.run_coroutine_threadsafe(release(), loop).result(timeout=30)
        return 1

    async def release():
        released.set()

    (score,) = await from_function(waits_for_the_loop)(PROBLEM, rollouts("x"))
    assert score.value == 1.0
    assert released.is_set()


async def test_an_exception_costs_one_score_and_is_never_zero():
    """A grader that raises on one rollout leaves that one unscored and scores the others."""

    def fussy(problem, rollout):
        return 1 / float(rollout.answer)

    zero, one = await from_function(fussy)(PROBLEM, rollouts("0", "1"))
    assert zero.value is None
    assert zero.failure.kind is FailureKind.GRADER
    assert "fussy" in zero.failure.message
    assert "ZeroDivisionError" in zero.failure.message
    assert one.value == 1.0


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        (True, 1.0),
        (False, 0.0),
        (0.25, 0.25),
        (2, 2.0),
        (None, None),
        (math.nan, None),
        (math.inf, None),
        ("yes", None),
    ],
)
def test_what_a_grader_returns_is_read_strictly(returned, value):
    """Numbers and bools are values; nan, None and words are unscored."""
    assert as_score(returned, "g").value == value


def test_an_infinite_score_object_is_unscored():
    """A Score that holds nan keeps its words and loses its value."""
    score = as_score(Score(math.nan, why="because"), "g")
    assert score.value is None
    assert score.why == "because"
    assert score.failure is not None


async def test_failed_rollouts_are_never_graded():
    """The grader sees the live rollouts only; the failed keep their own failure, in place."""
    seen = []

    def spy(problem, rollout):
        seen.append(rollout.index)
        return 1

    scores = await grade(from_function(spy), PROBLEM, rollouts("4", None, "5"))
    assert seen == [0, 2]
    assert [score.value for score in scores] == [1.0, None, 1.0]
    assert scores[1].failure.kind is FailureKind.TIMEOUT


async def test_a_group_of_failures_calls_no_grader():
    """With nothing to grade, the grader is not called at all."""

    async def never(problem, group):
        raise AssertionError("called")

    scores = await grade(never, PROBLEM, rollouts(None, None))
    assert [score.failure.kind for score in scores] == [FailureKind.TIMEOUT] * 2


async def test_a_grader_that_loses_a_score_is_not_trusted():
    """Two scores for three rollouts match nobody, so all three stay unscored."""

    async def short(problem, group):
        return (Score(1.0),) * 2

    scores = await grade(short, PROBLEM, rollouts("a", "b", "c"), name="short")
    assert [score.value for score in scores] == [None] * 3
    assert "2 scores for 3 rollouts" in scores[0].failure.message


async def test_a_group_grader_that_raises_leaves_the_group_unscored():
    """What escapes a whole-group grader becomes a failure of each live rollout."""

    async def broken(problem, group):
        raise OSError("disk")

    scores = await grade(broken, PROBLEM, rollouts("a", None))
    assert scores[0].failure.kind is FailureKind.GRADER
    assert scores[1].failure.kind is FailureKind.TIMEOUT
