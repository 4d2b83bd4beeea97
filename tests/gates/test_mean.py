"""The naive gate, which is there to be beaten."""

import math

from tfgrpo.gates import MeanGate

from .tables import Table, add, library_of, solves


async def decisions(reward, *texts, n=10):
    """Decisions on lessons to add."""
    verdicts = await MeanGate(n)(library_of(), [add(text) for text in texts], Table(reward))
    return [verdict.decision for verdict in verdicts]


async def test_larger_mean_wins():
    """Any gain on the chosen problems is enough, and no gain is not."""
    assert await decisions(solves("glorp", "a"), "b", "a", "c", n=64) == ["rejected", "accepted", "rejected"]


async def test_one_lucky_problem_is_enough():
    """That a single win decides is exactly what is wrong with it."""

    def reward(texts, problem, index):
        return 1.0 if "a" in texts and problem.id == "p7" else 0.5

    assert await decisions(reward, "a", n=64) == ["accepted"]


async def test_failed_rollouts_accept_nothing():
    """Without a pair there is no larger mean."""
    assert await decisions(lambda *_: math.nan, "a") == ["rejected"]
