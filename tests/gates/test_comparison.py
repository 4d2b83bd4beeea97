"""One sequential comparison."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.errors import UsageError
from tfgrpo.gates import Design, Rewards
from tfgrpo.gates.comparison import compare, schedule
from tfgrpo.gates.eprocess import Outcome
from tfgrpo.gates.touch import Touched

from .tables import Table, library_of, worded_pool

OLD, NEW = library_of("old"), library_of("new")


async def run(reward, *, n=64, how="word", design=None, rewards=None, key="k", accept=20.0):
    """Compare OLD with NEW; returns the comparison and the trial."""
    trial = Table(reward, worded_pool(n))
    touched = Touched(trial.problems, how)
    options = {"key": key, "design": design or Design(), "accept": accept}
    found = await compare(trial, rewards or Rewards(), OLD, NEW, touched, **options)
    return found, trial


def gain(x):
    """NEW earns `x`, OLD nothing."""
    return lambda texts, problem, index: x if "new" in texts else 0.0


async def test_clear_effect_stops_after_the_first_look():
    """Sixteen wins are more than enough, so the second look is never paid."""
    found, trial = await run(gain(1.0))
    assert (found.outcome, found.looks, len(found.pairs), found.new) == (Outcome.BETTER, 1, 16, 32)
    assert len(trial.asked) == 2


async def test_clear_harm_stops_as_worse():
    """The mirror image is called worse."""
    found, _ = await run(lambda texts, problem, index: 0.0 if "new" in texts else 1.0)
    assert (found.outcome, found.looks) == (Outcome.WORSE, 1)
    assert (found.estimate, found.interval[0]) == (-1.0, -1.0)


@pytest.mark.parametrize(
    ("how", "outcome", "pairs"),
    [("word", Outcome.OPEN, 64), ("likelihood", Outcome.OPEN, 64), ("all", Outcome.FUTILE, 80)],
)
async def test_no_effect_costs_no_more_than_the_limit(how, outcome, pairs):
    """Nothing to see costs 64 pairs on touched problems; where no touch is known, futility shows before 128."""
    found, _ = await run(gain(0.0), n=200, how=how)
    assert (found.outcome, len(found.pairs), found.estimate) == (outcome, pairs, 0.0)


async def test_fractional_rewards_count_by_size():
    """An effect of .3 on every problem needs more pairs than one of 1, and is found."""
    found, _ = await run(gain(0.3))
    assert found.outcome is Outcome.BETTER
    assert found.estimate == pytest.approx(0.3)
    assert 16 <= len(found.pairs) <= 32


async def test_pairs_without_a_reward_are_dropped_and_counted():
    """A failed rollout on either side removes the pair, and is never read as zero."""

    def reward(texts, problem, index):
        number = int(problem.id[1:])
        if "new" in texts:
            return math.nan if number % 8 == 0 else 0.5
        return math.nan if number % 16 == 1 else 0.5

    found, _ = await run(reward)
    assert (found.asked, found.missing_candidate, found.missing_current) == (64, 8, 4)
    assert len(found.pairs) == 52
    assert found.estimate == 0.0


async def test_nothing_is_decided_on_the_few_that_survived():
    """When more than half of the pairs have no reward, even a clear rest decides nothing."""
    found, _ = await run(lambda texts, problem, index: math.nan if int(problem.id[1:]) % 3 else float("new" in texts))
    assert found.capitals.e_better > 20
    assert (found.outcome, found.enough) == (Outcome.OPEN, False)


async def test_used_up_pool_is_visited_again_with_new_seeds():
    """A pool of ten gives at most forty pairs: four passes, each with its own seed index on both sides."""
    found, trial = await run(gain(0.0), n=10)
    assert len(found.pairs) == 40
    assert {pair.index for pair in found.pairs} == {0, 1, 2, 3}
    assert len(trial.rollouts) == len(set(trial.rollouts)) == 80
    assert [problem for _, problem, _ in trial.rollouts[:10]] != [pair.problem_id for pair in found.pairs[10:20]]


async def test_evidence_counts_problems_apart_from_pairs():
    """A problem that was visited twice is two pairs and one problem."""
    found, _ = await run(gain(0.1), n=8, design=Design(look=12, nmax=12))
    assert (len(found.pairs), found.problems) == (12, 8)
    assert found.estimate == pytest.approx(0.1)


async def test_baseline_is_paid_once():
    """A second comparison from the same library pays for its candidate only, whatever its order."""
    rewards = Rewards()
    first, _ = await run(gain(0.0), rewards=rewards, n=64, key="a")
    trial = Table(gain(0.0), worded_pool(64))
    other = library_of("other")
    second = await compare(
        trial, rewards, OLD, other, Touched(trial.problems, "word"), key="b", design=Design(), accept=20.0
    )
    assert (first.new, first.cached) == (128, 0)
    assert (second.new, second.cached) == (64, 64)
    assert {texts for texts, _ in trial.asked} == {("other",)}


@given(st.integers(1, 30), st.text(max_size=5), st.integers(1, 4))
def test_schedule_visits_each_problem_once_per_pass(n, key, passes):
    """A schedule is one order of the pool per pass, with the pass as seed index, the same for the same key."""
    pool = worded_pool(n)
    cases = schedule(pool, key, passes)
    assert [index for _, index in cases] == [index for index in range(passes) for _ in pool]
    for index in range(passes):
        assert sorted(problem.id for problem, i in cases if i == index) == sorted(problem.id for problem in pool)
    assert cases == schedule(tuple(reversed(pool)), key, passes)


def test_schedule_differs_by_key_and_pass():
    """Another gate, and another pass, meets the problems in another order."""
    first, second = (schedule(worded_pool(20), key, 2) for key in "ab")
    assert first != second
    assert [problem for problem, _ in first[:20]] != [problem for problem, _ in first[20:]]


@pytest.mark.parametrize("settings", [{"delta": -0.1}, {"delta": 2.0}, {"look": 0}, {"passes": 0}])
def test_impossible_designs_are_refused(settings):
    """A design that cannot run is a usage error."""
    with pytest.raises(UsageError, match="gate"):
        Design(**settings)
