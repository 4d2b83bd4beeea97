"""The exact group-sequential sign test: its level by enumeration, its stops, fractional rewards and further passes."""

import random
from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfgrpo.errors import UsageError
from tfgrpo.gates.alpha import holm
from tfgrpo.gates.boundaries import UNITS, course
from tfgrpo.gates.sequential import Answer, Plan

NEVER = {"futility": 0.0, "idle": 999, "hopeful": 999}


def to_the_end(plan, look):
    """Feed looks of 16 until there is an answer or the horizon."""
    state = plan.start()
    while state.answer is Answer.OPEN and state.pairs < plan.horizon:
        state = state.add(look())
    return state


def shares(plan, draw, runs=100):
    """Share of tests with each answer."""
    answers = Counter(to_the_end(plan, lambda: [draw() for _ in range(16)]).answer for _ in range(runs))
    return {answer: answers[answer] / runs for answer in Answer}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), max_size=4), min_size=1, max_size=3), st.sampled_from([1.0, 2.0, 3.0]))
def test_level_is_exact_whatever_the_looks_bring(sizes, rho):
    """Over all signs of the differences, the share that ever crosses is what the test says it spent, and within alpha.

    Sizes 0, 1 and 2 stand for ties, halves and wholes, so this holds for fractional rewards too.
    """
    looks, steps, history = [], [], []
    for k, drawn in enumerate(sizes, 1):
        units = [size * UNITS // 2 for size in drawn if size]
        looks.append((16 * k, tuple(sorted((u, units.count(u)) for u in set(units)))))
        steps.append(units)
        history.append(tuple(looks))
    alpha, horizon = 0.2, 16 * len(sizes)
    flat = [u for units in steps for u in units]
    crossed = 0
    for signs in product((1, -1), repeat=len(flat)):
        signed, sums = iter(s * u for s, u in zip(signs, flat, strict=True)), (0,)
        for units, seen in zip(steps, history, strict=True):
            sums = (sums[0] + sum(next(signed) for _ in units), *sums)
            if course(seen, alpha, horizon, rho).crossed(sums):
                crossed += 1
                break
    assert crossed / 2 ** len(flat) == pytest.approx(course(history[-1], alpha, horizon, rho).spent, abs=1e-9)
    assert crossed / 2 ** len(flat) <= alpha + 1e-9


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=3))
def test_p_values_are_uniform_or_larger(counts):
    """The stage-wise p of a test is at most x in at most a share x of the courses under no effect."""
    plan = Plan(horizon=16 * len(counts), **NEVER)
    found = []
    for signs in product((1.0, -1.0), repeat=sum(counts)):
        signed, state = iter(signs), plan.start()
        for count in counts:
            state = state.add([next(signed) for _ in range(count)] + [0.0] * (16 - count))
        found.append(state.p_helps)
    for p in found:
        assert sum(q <= p + 1e-12 for q in found) / len(found) <= p + 1e-9


def test_false_verdicts_stay_within_the_level():
    """A coin that turns 30% of the pairs is said to help or to harm in at most 5% each, with stops or without."""
    rng = random.Random(3)
    coin = [1.0] * 15 + [-1.0] * 15 + [0.0] * 70
    for plan in (Plan(), Plan(horizon=64, rho=1.0, **NEVER)):
        found = shares(plan, lambda: rng.choice(coin), 200)
        assert found[Answer.HELPS] <= 0.09
        assert found[Answer.HARMS] <= 0.09


def test_effect_and_harm_are_found():
    """Three wins to one loss help; one to three harm, and futility does not hide it."""
    rng = random.Random(4)
    gain = [1.0] * 45 + [-1.0] * 15 + [0.0] * 40
    assert shares(Plan(), lambda: rng.choice(gain), 40)[Answer.HELPS] >= 0.95
    sided = Plan(harm_horizon=128, pursuit=0.2)
    assert shares(sided, lambda: -rng.choice(gain), 40)[Answer.HARMS] >= 0.95
    assert shares(Plan(), lambda: -rng.choice(gain), 60)[Answer.HARMS] >= 0.7


def test_nothing_changed_is_an_answer():
    """A text that changes nothing gets its verdict when `idle` pairs are over, and says so."""
    state = to_the_end(Plan(idle=16), lambda: [0.0] * 16)
    assert (state.answer, state.pairs) == (Answer.NO_WORTH, 16)
    assert state.reason == "+0.000 over 16 problems, 0 won, 0 lost (no difference in 16 pairs)"
    assert (state.p_helps, state.e_helps) == (1.0, 1.0)


def test_a_test_that_cannot_be_won_ends():
    """Losses that even wins in all pairs left cannot make good end the test before its horizon."""
    state = to_the_end(Plan(horizon=48, futility=0.0, harm=1e-9), lambda: [-1.0] * 13 + [1.0] * 2 + [0.0])
    assert (state.answer, state.pairs) == (Answer.NO_WORTH, 32)
    assert "even 16 wins in the 16 pairs that are left would not do" in state.reason


def test_harm_is_pursued_before_the_test_is_called_hopeless():
    """Where harm is in sight, a hopeless test goes on until it is shown."""
    look = [-1.0] * 3 + [0.0] * 13
    state = to_the_end(Plan(horizon=64, rho=1.0), lambda: look)
    assert state.answer is Answer.HARMS
    assert state.p_harms <= 0.05


def test_two_losses_and_no_win_are_no_harm_in_sight():
    """A proof of harm takes five losses at least, so two in 32 pairs are not pursued to the end."""
    state = to_the_end(Plan(horizon=64, rho=1.0, pursuit=0.6), lambda: [-1.0] + [0.0] * 15)
    assert (state.answer, state.pairs) == (Answer.NO_WORTH, 32)


def test_answer_is_last():
    """After an answer further pairs change nothing."""
    state = Plan(horizon=64, rho=1.0).start().add([1.0] * 16)
    assert state.answer is Answer.HELPS
    assert state.add([-1.0] * 16) == state == state.again([0.0] * 16, 16)


def test_numbers_of_a_state():
    """Effect, counts, E values and an interval that holds at any time come with each state."""
    state = Plan(**NEVER).start().add([1.0, 1.0, 1.0, 1.0, -1.0, 0.0])
    assert (state.won, state.lost, state.tied, state.problems, state.pairs) == (4, 1, 1, 6, 6)
    assert state.effect == 0.5
    low, high = state.interval
    assert -1 <= low < 0.5 < high <= 1
    assert state.e_helps > 1 > state.e_harms


def test_fractional_gains_that_hide_rare_losses_do_not_pass():
    """A text that gains .1 nine times and loses .9 once has no effect; signs alone would let a fifth of it through."""
    rng = random.Random(5)
    skewed = [0.1] * 9 + [-0.9]
    assert shares(Plan(), lambda: rng.choice(skewed))[Answer.HELPS] <= 0.1
    assert shares(Plan(), lambda: rng.choice([0.5, -0.5, 0.0]))[Answer.HELPS] <= 0.1
    assert shares(Plan(), lambda: rng.choice([0.5, 0.25, -0.25, 0.0]), 40)[Answer.HELPS] >= 0.85


def test_passes_over_few_problems_that_repeat_prove_nothing_new():
    """Ten problems of which six win and three lose stay what they are, however often they are visited."""
    state = Plan(horizon=64, **NEVER).start()
    once = [1.0] * 6 + [-1.0] * 3 + [0.0]
    state = state.add(once)
    for _ in range(3):
        state = state.again(once, 10)
    assert state.answer is Answer.OPEN
    assert (state.problems, state.pairs) == (10, 40)


def test_passes_can_prove_what_one_pass_cannot():
    """Twelve problems that win a little each are clear once their means are known."""
    state = Plan(horizon=48, **NEVER).start().add([1.0] * 6 + [0.0] * 6)
    assert state.answer is Answer.OPEN
    state = state.again([0.5] * 12, 12)
    assert state.answer is Answer.HELPS
    with pytest.raises(ValueError, match="same problems"):
        Plan(**NEVER).start().add([0.0]).again([], 1)


def test_false_verdicts_of_passes_stay_within_the_level():
    """Problems with an effect of their own that is 0 in the mean, visited four times, are no proof."""
    rng = random.Random(6)
    helps = 0
    for _ in range(400):
        own = [rng.choice([0.5, -0.5]) for _ in range(12)]
        seen = [[float(rng.random() < (1 + x) / 2) * 2 - 1 for _ in range(4)] for x in own]
        state = Plan(horizon=48, rho=1.0).start().add([row[0] for row in seen])
        for k in (2, 3, 4):
            state = state.again([sum(row[:k]) / k for row in seen], 12)
        helps += state.answer is Answer.HELPS
    assert helps / 400 <= 0.08


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"harm": 1.0}, {"horizon": 0}, {"rho": 0.0}])
def test_impossible_plans_are_refused(wrong):
    """A plan that cannot run is a usage error."""
    with pytest.raises(UsageError):
        Plan(**wrong)


def test_difference_outside_its_range_is_refused():
    """Rewards must be mapped to [0, 1] first."""
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        Plan().start().add([1.5])


def test_holm_holds_the_error_over_all():
    """The smallest p must pass alpha / m; the first that fails ends it."""
    assert holm([0.01, 0.04, 0.03], 0.05) == (True, False, False)
    assert holm([0.01, 0.02, 0.03], 0.05) == (True, True, True)
    assert holm([float("nan"), 0.01], 0.05) == (False, True)
    assert holm([]) == ()
