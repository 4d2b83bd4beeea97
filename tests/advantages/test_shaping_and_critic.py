"""Length penalties, masks, conditions; the tabular critic, GAE, whitening and the value loss."""

import math

import pytest

from tfgrpo.advantages import (
    Critic,
    condition,
    critic_advantages,
    critic_value,
    gae,
    grpo,
    mask_truncated,
    observe,
    soft_overlong,
    value_loss,
    whiten,
)
from tfgrpo.errors import UsageError

NAN = math.nan


def test_penalty_falls_over_the_cache_and_stops_at_minus_one():
    """Nothing below the soft zone, linear inside, -1 from the limit on."""
    assert soft_overlong([0, 80, 90, 100, 101, 900], max_length=100, cache=20) == (0, 0, -0.5, -1, -1, -1)


def test_penalty_without_floor_goes_on_falling():
    """The behaviour of verl is there by name."""
    assert soft_overlong([120], max_length=100, cache=20, floor=None) == (-2.0,)


def test_cache_of_zero_is_a_hard_cut():
    """No division by a width of nothing."""
    assert soft_overlong([100, 101], max_length=100, cache=0) == (0.0, -1.0)


def test_unknown_length_makes_the_reward_unknown():
    """A missing length is not a short rollout."""
    penalty = soft_overlong([NAN, 10], max_length=100, cache=20)
    assert math.isnan(penalty[0])
    assert list(grpo([1 + penalty[0], 0 + penalty[1]])) == [0.0, 0.0]


@pytest.mark.parametrize("cache", [-1, 101])
def test_soft_zone_must_fit(cache):
    """A soft zone wider than the limit is a mistake of configuration."""
    with pytest.raises(UsageError, match="cache"):
        soft_overlong([1], max_length=100, cache=cache)


def test_truncated_rollout_is_unknown_not_wrong():
    """A masked rollout takes no part; its reward does not pull the mean."""
    assert list(grpo(mask_truncated([1, 0, 0], [False, False, True]), ddof=0, eps=0.0)) == [1.0, -1.0, 0.0]


def test_condition_pays_only_at_the_threshold():
    """The easy grader counts where the hard one is met, is 0 where not, and unknown where that is unknown."""
    values = condition([0.9, 0.9, 0.8, 0.7], [1.0, 0.0, 0.5, NAN], threshold=0.5)
    assert values[:3] == (0.9, 0.0, 0.8)
    assert math.isnan(values[3])


@pytest.mark.parametrize(
    "call",
    [
        lambda: mask_truncated([1, 0], [True]),
        lambda: condition([1, 0], [1], threshold=0.5),
        lambda: gae([1], [1, 2]),
        lambda: value_loss([1], [1], clip=0.2),
        lambda: value_loss([1], [1, 2]),
    ],
)
def test_rows_that_do_not_match_are_refused(call):
    """Nothing is cut to the shorter of two sequences."""
    with pytest.raises(UsageError):
        call()


def test_critic_speaks_for_a_single_rollout():
    """Where GRPO is silent, the running success rate is a baseline."""
    critic = observe(Critic(), "x", [1, 0, NAN, 1])
    assert critic.history["x"] == (2.0, 3)
    assert critic_value(critic, "x") == 3 / 5
    assert list(critic_advantages(critic, "x", [1])) == [0.4]
    assert list(critic_advantages(critic, "x", [1, NAN])) == [0.4, 0.0]
    assert list(critic_advantages(critic, "new", [1, 1])) == [0.5, 0.5]


def test_critic_does_not_change_under_the_caller():
    """Observing returns another critic, so V can predate the group it judges."""
    before = Critic()
    after = observe(before, "x", [1])
    assert critic_value(before, "x") == 0.5
    assert critic_value(after, "x") == 2 / 3


@pytest.mark.parametrize(("critic", "rewards"), [(Critic(), [NAN]), (Critic(prior_strength=0.0), [1.0])])
def test_critic_without_reward_or_belief_is_degenerate(critic, rewards):
    """Nothing to compare, or nothing to compare with."""
    result = critic_advantages(critic, "x", rewards)
    assert result.degenerate
    assert list(result) == [0.0]


def test_gae_with_lambda_one_is_return_minus_value():
    """The sum telescopes to the discounted return."""
    steps = gae([1, 2, 4], [5, 6, 7], gamma=0.5, lam=1.0, last_value=8.0)
    assert steps.returns == pytest.approx((1 + 1 + 1 + 1, 2 + 2 + 2, 4 + 4))


def test_gae_fades_credit_with_lambda():
    """Without discount and values, credit falls by lambda per step back."""
    assert gae([0, 0, 1], [0, 0, 0], gamma=1.0, lam=0.5).advantages == (0.25, 0.5, 1.0)


def test_step_without_reward_is_passed_over():
    """A missing step joins its neighbours and is credited with nothing."""
    with_gap = gae([0, NAN, 1], [0.2, 0.5, 0.4])
    without = gae([0, 1], [0.2, 0.4])
    assert (with_gap.advantages[0], with_gap.advantages[2]) == without.advantages
    assert (with_gap.advantages[1], with_gap.returns[1]) == (0.0, 0.5)


def test_whitening_puts_eps_into_the_variance():
    """A flat series stays exactly 0; else eps joins the variance under the root."""
    assert list(whiten([1, -1, NAN], ddof=0, eps=3.0)) == [0.5, -0.5, 0.0]
    assert whiten([2, 2, 2]).degenerate


def test_value_loss_takes_the_worse_of_clipped_and_plain():
    """Clipping can only raise the loss."""
    assert value_loss([1.0, NAN], [0.0, 0.0]) == 0.5
    assert value_loss([1.0], [1.0], [0.0], clip=0.5) == 0.125
    assert math.isnan(value_loss([], []))
