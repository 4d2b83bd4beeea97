"""One sequential comparison."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.errors import UsageError
from tfgrpo.gates import Design, Missing, Observation, Rewards
from tfgrpo.gates.comparison import Question, compare, schedule, spread
from tfgrpo.gates.sequential import Answer
from tfgrpo.gates.touch import Touched
from tfgrpo.types import Problem

from .tables import Table, library_of, worded_pool

OLD, NEW = library_of("old"), library_of("new")


async def run(reward, *, n=64, how="word", design=None, rewards=None, key="k", **question):
    """Compare OLD with NEW; returns the comparison and the trial."""
    trial = question.pop("trial", None) or Table(reward, worded_pool(n))
    asked = Question(OLD, question.pop("new", NEW), Touched(trial.problems, how), key, **question)
    return await compare(trial, rewards or Rewards(), asked, design or Design()), trial


def gain(x):
    """NEW earns `x`, OLD nothing."""
    return lambda texts, problem, index: x if "new" in texts else 0.0


async def test_clear_effect_stops_after_the_first_look():
    """Sixteen wins are more than enough, so the second look is never paid."""
    found, trial = await run(gain(1.0))
    assert (found.answer, found.looks, len(found.pairs), found.new) == (Answer.HELPS, 1, 16, 32)
    assert len(trial.asked) == 2


async def test_clear_harm_stops_as_harm():
    """The mirror image is called harm."""
    found, _ = await run(lambda texts, problem, index: 0.0 if "new" in texts else 1.0)
    assert (found.answer, found.looks) == (Answer.HARMS, 1)
    assert (found.estimate, found.interval[0]) == (-1.0, -1.0)


@pytest.mark.parametrize(("how", "pairs"), [("word", 16), ("likelihood", 16), ("all", 48)])
async def test_an_inert_edit_gets_its_verdict_at_once(how, pairs):
    """Sixteen pairs without a difference on touched problems end the test; forty-eight where no touch is known."""
    found, _ = await run(gain(0.0), n=200, how=how)
    assert (found.answer, len(found.pairs), found.estimate) == (Answer.NO_WORTH, pairs, 0.0)


@pytest.mark.parametrize("problems", [12, 16])
async def test_one_loss_and_no_win_end_at_the_first_look(problems):
    """Where touched problems are known, a first pass with one loss leaves neither gain nor harm in sight."""
    found, _ = await run(sides(lambda i: float(i == 0), lambda i: 0.0), n=problems)
    assert (found.answer, len(found.pairs)) == (Answer.NO_WORTH, problems)


async def test_six_wins_of_sixteen_are_enough_at_once():
    """Where the problems are known alpha is spent early, so that a clear effect pays one look."""
    found, _ = await run(sides(lambda i: 0.0, lambda i: float(i < 6)), n=16)
    assert (found.answer, len(found.pairs)) == (Answer.HELPS, 16)


@pytest.mark.parametrize(("won", "answer"), [(2, Answer.NO_WORTH), (3, Answer.NO_WORTH), (4, Answer.OPEN)])
async def test_a_test_that_ends_without_a_gain_says_so(won, answer):
    """At the end of all pairs only an edit that seems to help stays open; three lost and three won are no gain."""
    reward = sides(lambda i: float(i < 3), lambda i: float(3 <= i < 3 + won))
    found, _ = await run(reward, design=Design(look=64))
    assert (found.answer, found.asked) == (answer, 64)
    assert ("all 64 pairs, and no gain in them" in found.state.reason) == (answer is Answer.NO_WORTH)


async def test_fractional_rewards_count_by_size():
    """An effect of .3 on every problem needs more pairs than one of 1, and is found."""
    found, _ = await run(gain(0.3))
    assert found.answer is Answer.HELPS
    assert found.estimate == pytest.approx(0.3)
    assert 16 <= len(found.pairs) <= 32


def sides(old, new):
    """A reward from what happens on either side, by problem number."""
    return lambda texts, problem, index: (new if "new" in texts else old)(int(problem.id[1:]))


CUT, DOWN = Observation(missing=Missing.OWN_FAULT), Observation(missing=Missing.OUTAGE)


async def test_a_text_that_is_cut_counts_as_wrong():
    """A candidate that loses its wrong answers to the token limit gains nothing by that."""
    found, _ = await run(sides(lambda i: float(i % 2), lambda i: 1.0 if i % 2 else CUT), design=Design(nmax=32))
    assert found.estimate == 0.0
    assert found.answer is Answer.NO_WORTH
    found, _ = await run(sides(lambda i: 1.0, lambda i: CUT if i % 2 else 1.0))
    assert found.answer is Answer.HARMS
    assert "it fails more often with the edit" in found.lost.named


async def test_an_outage_is_no_pair():
    """What an endpoint lost removes the pair, is counted, and is never read as zero."""
    found, _ = await run(sides(lambda i: DOWN if i % 16 == 1 else 0.5, lambda i: DOWN if i % 8 == 0 else 0.5))
    assert (found.asked, found.lost.candidate, found.lost.current) == (16, found.lost.candidate, found.lost.current)
    assert len(found.pairs) == found.asked - found.lost.candidate - found.lost.current - found.lost.both
    assert found.estimate == 0.0


async def test_nothing_is_decided_on_the_few_that_survived():
    """When more than half of the pairs are missing, even a clear rest decides nothing."""
    found, _ = await run(sides(lambda i: DOWN if i % 3 else 0.0, lambda i: 1.0))
    assert found.state.answer is Answer.HELPS
    assert (found.answer, found.enough) == (Answer.OPEN, False)


async def test_outages_on_the_candidates_side_alone_decide_nothing():
    """Where the endpoint fails the candidate alone, the rest is no sample of its rollouts."""
    found, _ = await run(sides(lambda i: 0.0, lambda i: DOWN if i % 3 == 0 else 1.0))
    assert found.state.answer is Answer.HELPS
    assert (found.answer, found.enough, found.lost.one_sided) == (Answer.OPEN, True, True)


async def test_used_up_pool_is_visited_again_with_new_seeds():
    """A pool of ten gives at most forty pairs: four passes, each with its own seed index on both sides."""
    found, trial = await run(sides(lambda i: 0.0, lambda i: float(i % 5 == 0)), n=10)
    assert len(found.pairs) == 40
    assert {pair.index for pair in found.pairs} == {0, 1, 2, 3}
    assert len(trial.rollouts) == len(set(trial.rollouts)) == 80
    assert found.problems == 10


async def test_passes_that_agree_prove_no_more_than_one():
    """Eight problems of which five win and none loses stay eight bets: 1 in 32, whatever the number of passes."""
    found, _ = await run(sides(lambda i: 0.0, lambda i: float(i % 8 < 5)), n=8)
    assert found.problems == 8
    assert found.state.p_helps >= 0.03


async def test_problems_that_say_the_same_are_one():
    """Two wordings of a problem are visited in turn and are one bet."""
    units = {f"p{i}": f"p{i // 2 * 2}" for i in range(32)}
    found, _ = await run(gain(0.0), n=32, units=units)
    assert found.problems == 16
    assert {pair.problem_id for pair in found.pairs} <= {f"p{i}" for i in range(32)}
    assert len({units[pair.problem_id] for pair in found.pairs[:16]}) == 16


def test_a_stratified_sample_has_its_share_of_each_answer_in_every_look():
    """Where answers are labels, each stretch of sixteen has each of them in its share."""
    pool = [Problem(str(i), f"Case {i}", "billing" if i < 48 else "shipping") for i in range(64)]
    order = spread(pool)
    for start in range(0, 64, 16):
        assert Counter(problem.answer for problem in order[start : start + 16]) == {"billing": 12, "shipping": 4}
    assert sorted(map(repr, order)) == sorted(map(repr, pool))


async def test_an_open_test_is_carried_on():
    """A second test of the same edit draws new seeds and adds its evidence to what the first had."""
    half = sides(lambda i: 0.0, lambda i: float(i % 3 == 0))
    first, _ = await run(half, n=9, design=Design(passes=1))
    assert first.answer is Answer.OPEN
    trial = Table(gain(1.0), worded_pool(9))
    second, _ = await run(None, trial=trial, earlier=first, design=Design(passes=1))
    assert {index for _, _, index in trial.rollouts} == {1}
    assert second.passes == 2
    assert second.pooled["p3"] == (2.0, 2)
    assert second.e_helps < second.state.e_helps


async def test_baseline_is_paid_once():
    """A second comparison from the same library pays for its candidate only, whatever its order."""
    rewards, other = Rewards(), library_of("other")
    first, _ = await run(gain(0.0), rewards=rewards, key="a")
    second, trial = await run(gain(0.0), rewards=rewards, key="a", new=other)
    assert (first.new, first.cached) == (32, 0)
    assert (second.new, second.cached) == (16, 16)
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


@pytest.mark.parametrize("settings", [{"delta": -0.1}, {"delta": 2.0}, {"look": 0}, {"passes": 0}, {"elsewhere": -1}])
def test_impossible_designs_are_refused(settings):
    """A design that cannot run is a usage error."""
    with pytest.raises(UsageError, match="gate"):
        Design(**settings)
