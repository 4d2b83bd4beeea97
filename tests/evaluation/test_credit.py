"""Effects of single lessons: the estimators on hand-made groups, and the passes on scripted rewards."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gates.tables import Table, library_of, solves
from tfgrpo.errors import UsageError
from tfgrpo.evaluation import credit
from tfgrpo.executors import Local

NAN = math.nan


def groups(effects, problems, seed=0, noise=0.0):
    """Rewards .3 + the sum of shown effects (+ noise) under balanced masks; every lesson touches every problem."""
    chance = random.Random(seed)
    shown = [credit.balanced_masks(len(effects), 8, 0.25, chance) for _ in range(problems)]
    rewards = [
        [
            0.1 * (i % 5)
            + sum(e for e, mask in zip(effects, masks, strict=True) if mask[g])
            + noise * chance.gauss(0, 1)
            for g in range(8)
        ]
        for i, masks in enumerate(shown)
    ]
    return rewards, shown, [[True] * len(effects)] * problems


@given(st.integers(1, 12), st.integers(4, 12), st.integers(0, 99))
def test_masks_are_balanced(lessons, group, seed):
    """Each lesson is missing in exactly the rounded share of the rollouts."""
    for mask in credit.balanced_masks(lessons, group, 0.25, random.Random(seed)):
        assert len(mask) == group
        assert mask.count(False) == round(0.25 * group)


def test_masks_without_a_second_arm_are_refused():
    """A share that rounds to nobody or everybody would measure nothing."""
    with pytest.raises(UsageError, match="one arm empty"):
        credit.balanced_masks(3, 2, 0.25, random.Random(0))


def test_contrast_is_the_difference_of_arms():
    """Shown minus missing, unscored rollouts left out, nan when an arm is empty."""
    assert credit.arm_difference([1.0, 0.0, NAN, 0.5], [True, True, False, False]) == 0.0
    assert math.isnan(credit.arm_difference([1.0, NAN], [True, False]))


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.integers(0, 99))
def test_contrast_equals_horvitz_thompson_for_balanced_masks(rewards, seed):
    """mean_g (m - q) / (q (1 - q)) r_g is the same number when exactly q G rollouts show the lesson."""
    (mask,) = credit.balanced_masks(1, 8, 0.25, random.Random(seed))
    q = 0.75
    weighted = sum((m - q) / (q * (1 - q)) * r for m, r in zip(mask, rewards, strict=True)) / 8
    assert credit.arm_difference(rewards, mask) == pytest.approx(weighted, abs=1e-12)


def test_joint_regression_recovers_additive_effects_exactly():
    """Without noise the effects come back to the last digit, whatever the problems' own level."""
    effects = [0.4, -0.2, 0.0]
    found = credit.joint_regression(*groups(effects, 24))
    assert [c.estimate for c in found] == pytest.approx(effects)
    assert [c.n for c in found] == [24, 24, 24]
    assert found[1].harmful
    assert not found[0].harmful


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 999))
def test_the_two_estimators_agree_within_their_noise(seed):
    """The form without linear algebra lies near the joint one."""
    data = groups([0.3, -0.1], 40, seed, noise=0.1)
    joint, alone = credit.joint_regression(*data), credit.within_problems(*data)
    for a, b in zip(joint, alone, strict=True):
        assert abs(a.estimate - b.estimate) < 0.12


def test_joint_interval_is_the_textbook_one():
    """One lesson, one column: CR1 of the slope and the pseudo contrasts' share, by hand on ten problems."""
    rewards = [[1.0, 0.0] if i < 7 else [0.0, 1.0] for i in range(10)]
    shown = [[(True, False)]] * 10
    (found,) = credit.joint_regression(rewards, shown, [[True]] * 10)
    # x = +-1/2 and y = +-1/2: b = .4, residual pull .3 for seven problems and -.7 for three.
    pulls = 7 * (0.5 * (1 - 0.4)) ** 2 + 3 * (0.5 * (-1 - 0.4)) ** 2
    variance = 10 / 9 * 19 / 9 * pulls / 25 + (1 + 0.4**2) / (8 * 10**2)
    assert found.estimate == pytest.approx(0.4)
    assert found.high - found.estimate == pytest.approx(2.2622 * math.sqrt(variance), rel=1e-4)


def test_a_lesson_that_always_works_is_not_certain():
    """Equal contrasts leave no residual, and still the interval has a width that shrinks with their number."""
    few, many = (credit.joint_regression([[1.0, 0.0]] * n, [[(True, False)]] * n, [[True]] * n)[0] for n in (8, 80))
    assert few.low < 0.9
    assert 0.95 < many.low < 1


def test_a_lesson_counts_only_where_it_acts():
    """Untouched problems add nothing, unscored groups are left out, and few problems give no interval."""
    rewards, shown, touches = groups([0.4, 0.0], 20)
    touches = [[i < 6, True] for i in range(20)]
    rewards[19] = [NAN] * 8
    few, other = credit.joint_regression(rewards, shown, touches)
    assert (few.n, few.strength) == (6, "none")
    assert math.isnan(few.low)
    assert (other.n, other.strength) == (19, "weak")
    assert credit.within_problems(rewards, shown, touches)[0].n == 6


def test_what_nobody_tells_apart_has_no_estimate():
    """No touching problem, no scored rollout, no lesson: nan or nothing, never a crash."""
    rewards, shown, _ = groups([0.4], 9)
    (none,) = credit.joint_regression(rewards, shown, [[False]] * 9)
    assert math.isnan(none.estimate)
    assert none.n == 0
    assert credit.joint_regression([], [], []) == credit.within_problems([], [], []) == ()


def test_agreement_of_few_contrasts_is_no_proof():
    """Equal contrasts still have an interval with width, which shrinks with their number."""
    few, many = credit.credit_from_differences([0.0] * 8), credit.credit_from_differences([0.0] * 80)
    assert few.high > 0.2
    assert 0 < many.high < 0.03
    assert credit.credit_from_differences([NAN]).n == 0


async def test_leave_one_out_finds_the_lesson_that_works_and_spends_where_it_acts():
    """Each lesson is measured on problems with its word; the full library's rollouts are made once per case."""
    table = Table(solves("glorp", "glorp is max"))
    library = library_of("glorp is max", "dax is sum")
    right, idle = await credit.leave_one_out(library, table, k=2)
    assert (right.estimate, right.n, right.lesson_ids) == (1.0, 16, (1,))
    assert right.low > 0.5
    assert idle.estimate == 0.0
    assert right.detail["touch"] == "word"
    assert len(table.rollouts) == 2 * 2 * 16 * 2
    assert {problem for _, problem, _ in table.rollouts} <= {f"p{i}" for i in range(64) if i % 4 < 2}


async def test_leave_one_out_nominates_what_harms():
    """A lesson whose absence helps has an interval below 0."""

    def reward(texts, problem, index):
        return 0.0 if "dax" in problem.question and "dax is gap" in texts else 1.0

    found = await credit.leave_one_out(library_of("glorp is max", "dax is gap"), Table(reward))
    assert credit.deletion_candidates(found) == (2,)
    assert "nominated for deletion" in found[1].reason


async def test_dropout_hides_balanced_parts_of_the_library():
    """Every problem gets 8 rollouts with seed indices 0 to 7, and each lesson is missing in two of them."""
    table = Table(solves("glorp", "glorp is max"))
    found = await credit.dropout(library_of("glorp is max", "dax is sum"), table, Local())
    assert found[0].estimate == pytest.approx(1.0)
    assert found[1].estimate == pytest.approx(0.0, abs=1e-9)
    assert len(table.rollouts) == 64 * 8
    of_one = [(texts, index) for texts, problem, index in table.rollouts if problem == "p0"]
    assert sorted(index for _, index in of_one) == list(range(8))
    assert sum("dax is sum" not in texts for texts, _ in of_one) == 2
    again = await credit.dropout(library_of("glorp is max", "dax is sum"), Table(table.reward), Local())
    assert again == found


async def test_an_empty_library_cannot_be_audited():
    """The message says which library it was."""
    with pytest.raises(UsageError, match="'lib', version 3, has no lessons"):
        await credit.leave_one_out(library_of(), Table(solves("glorp")))
