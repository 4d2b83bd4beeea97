"""What is asked of a trial, and what is known already."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db import Library
from tfgrpo.errors import UsageError
from tfgrpo.gates import Missing, Observation, Rewards
from tfgrpo.gates.base import fingerprint

from .tables import Table, library_of, worded_pool

POOL = worded_pool(4)
CASES = tuple((problem, 0) for problem in POOL)


async def test_known_rewards_are_not_asked_again():
    """Only the missing cases go to the trial, in one batch, and all rewards come back in order."""
    trial, rewards = Table(lambda texts, problem, index: int(problem.id[1:]) / 10), Rewards()
    first = await rewards.measure(trial, library_of(), CASES[1:3])
    second = await rewards.measure(trial, library_of(), CASES)
    assert (first.rewards, first.new) == ((0.1, 0.2), 2)
    assert (second.rewards, second.new) == ((0.0, 0.1, 0.2, 0.3), 2)
    assert [cases for _, cases in trial.asked] == [(("p1", 0), ("p2", 0)), (("p0", 0), ("p3", 0))]


async def test_a_second_pass_is_a_second_rollout():
    """Another seed index of the same problem is never answered by the first."""
    trial, rewards = Table(lambda texts, problem, index: index / 2), Rewards()
    await rewards.measure(trial, library_of(), CASES)
    again = await rewards.measure(trial, library_of(), tuple((problem, 1) for problem in POOL))
    assert (again.rewards, again.new) == ((0.5,) * 4, 4)


async def test_failed_rollouts_are_asked_again():
    """A failure is handed on as nan and not kept for the next gate."""
    replies = iter([math.nan, 0.5])
    trial, rewards = Table(lambda texts, problem, index: next(replies)), Rewards()
    assert math.isnan((await rewards.measure(trial, library_of(), CASES[:1])).rewards[0])
    assert (await rewards.measure(trial, library_of(), CASES[:1])).rewards == (0.5,)


async def test_outages_are_drawn_again_and_the_texts_own_faults_are_not():
    """What an outage hit is asked three times at most; what its own text spoiled stays spoiled."""
    down, cut = Observation(missing=Missing.OUTAGE), Observation(missing=Missing.OWN_FAULT)
    replies = {"p0": iter([down, down, down]), "p1": iter([cut]), "p2": iter([down, Observation(0.5)])}
    trial = Table(lambda texts, problem, index: next(replies[problem.id]))
    found = await Rewards().measure(trial, library_of(), CASES[:3])
    assert [o.missing for o in found.observations] == [Missing.OUTAGE, Missing.OWN_FAULT, None]
    assert (found.rewards[2], found.new) == (0.5, 3)
    assert [len(cases) for _, cases in trial.asked] == [3, 2, 1]


@pytest.mark.parametrize("reward", [1.5, -0.1, math.inf])
async def test_reward_outside_the_unit_interval_is_a_usage_error(reward):
    """The test's guarantee needs bounded rewards, so the message says what to do."""
    with pytest.raises(UsageError, match=r"'p0'.*\[0, 1\].*rescale"):
        await Rewards().measure(Table(lambda texts, problem, index: reward), library_of(), CASES)


texts = st.lists(st.text(max_size=6), max_size=4)


@given(texts, texts)
def test_fingerprints_differ_exactly_when_lessons_do(some, others):
    """Where one lesson ends and the next begins is part of the fingerprint."""
    assert (fingerprint(library_of(*some)) == fingerprint(library_of(*others))) == (some == others)


def test_fingerprint_knows_the_template_and_not_the_version():
    """Two versions with the same lessons are the same baseline; another template is another prompt."""
    assert fingerprint(Library("a", 1)) == fingerprint(Library("b", 2))
    assert fingerprint(Library("a", 1)) != fingerprint(Library("a", 1, template="{{ lessons }}"))
