"""The whole-library check."""

import math

import pytest

from tfgrpo.errors import UsageError
from tfgrpo.gates import Rewards, harm_check

from .tables import Table, library_of, worded_pool

BEFORE, AFTER = library_of("short"), library_of("long")


async def check(reward, n=64, **options):
    """Check AFTER against BEFORE."""
    trial = Table(reward, worded_pool(n))
    return await harm_check(BEFORE, AFTER, trial, **options), trial


async def test_harm_that_no_lesson_names_is_found():
    """A loss spread over all problems is called out, with its interval, half of the problems being enough."""
    found, trial = await check(lambda texts, problem, index: 0.5 if "long" in texts else 0.9)
    assert (found.kind, found.verdict, found.reason) == ("harm-check", "rejected", "worse as a whole")
    assert found.estimate == pytest.approx(-0.4)
    assert found.high < 0
    assert (found.n, found.lesson_ids, len(trial.rollouts)) == (32, (), 64)


@pytest.mark.parametrize(("new", "verdict"), [(0.5, "undecided"), (1.0, "accepted")])
async def test_absence_of_harm_is_not_called_proof(new, verdict):
    """No difference leaves it open, on however many problems; a clear gain is called better."""
    found, _ = await check(lambda texts, problem, index: new if "long" in texts else 0.5, n=200)
    assert found.verdict == verdict


async def test_check_reuses_known_rewards():
    """What the gates of the run have measured is not paid again."""
    rewards = Rewards()
    first, _ = await check(lambda *_: 0.5, rewards=rewards)
    second, trial = await check(lambda *_: 0.5, rewards=rewards)
    assert (first.estimate, second.estimate) == (0.0, 0.0)
    assert trial.rollouts == []


async def test_failed_rollouts_are_left_out():
    """A pair with a failure on either side does not count."""
    found, _ = await check(lambda texts, problem, index: math.nan if int(problem.id[1:]) % 8 == 3 else 0.5)
    lost = found.detail["missing"]["both"]
    assert (found.n + lost, found.detail["missing"]) == (32, {"current": 0, "candidate": 0, "both": lost, "p": 1.0})
    assert lost > 0


async def test_the_other_half_is_asked_where_harm_is_in_sight():
    """A loss on each eighth problem is no proof after half of them, so all are asked, and then it is."""
    found, _ = await check(lambda texts, problem, index: float("short" in texts or int(problem.id[1:]) % 8 != 0))
    assert (found.n, found.verdict, found.estimate) == (64, "rejected", -0.125)


async def test_empty_pool_says_what_to_do():
    """Without problems there is nothing to check."""
    with pytest.raises(UsageError, match="--heldout"):
        await check(lambda *_: 0.5, n=0)
