"""One reward for groups, gate and figures, and the range that maps it to [0, 1]."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo import config
from tfgrpo.errors import UsageError
from tfgrpo.graders.base import as_score
from tfgrpo.methods.method import initial_memory, shaped_rewards
from tfgrpo.methods.reward import Range, Reward, observed_range, part_ranges
from tfgrpo.rollout import make_group
from tfgrpo.types import Problem, Rollout, Score, Usage


def rollout(tokens=10, finish="stop"):
    """A rollout of so many tokens."""
    return Rollout("p", 0, answer="a", finish_reason=finish, usage=Usage(completion_tokens=tokens))


def scores(*values):
    """Scores as a grader gives them."""
    return [as_score(v, "g") for v in values]


def test_the_default_is_the_score():
    """Nothing is added where no method asks for it."""
    assert Reward(config.load())(rollout(), Score(0.3)) == 0.3
    assert math.isnan(Reward(config.load())(rollout(), Score(None)))


def test_gdpo_pays_the_other_parts_only_where_the_condition_is_met():
    """The weighted mean of the parts, those below the condition at 0 (GDPO, Eq. 8)."""
    s = config.load("gdpo", overrides=["advantage.condition_on=right", "advantage.weights={right=3.0, brief=1.0}"])
    wrong, right = scores({"right": 0.0, "brief": 0.9}, {"right": 1.0, "brief": 0.5})
    assert Reward(s)(rollout(), wrong) == 0.0
    assert Reward(s)(rollout(), right) == pytest.approx((3 + 0.5) / 4)


def test_groups_use_the_same_reward():
    """What the gate measures is what a group shows."""
    s = config.load("dapo", overrides=["rollout.max_tokens=100"])
    rollouts, given = (rollout(10), rollout(100)), tuple(scores(1.0, 1.0))
    group = make_group(Problem("p", "?"), rollouts, given, 0, s, initial_memory(s))
    assert group.rewards_G == shaped_rewards(rollouts, given, s) == tuple(map(Reward(s), rollouts, given))
    assert group.rewards_G == (1.0, 0.0)


def test_tokens_cost_their_share_of_the_limit():
    """A reply of the limit's length costs all of it, and the range makes room for that."""
    s = config.load(overrides=["reward.token_cost=0.2", "rollout.max_tokens=100"])
    assert Reward(s)(rollout(50), Score(1.0)) == pytest.approx(0.9)
    found = Reward(s).range(scores(0.0, 1.0))
    assert (found.low, found.high) == (-0.2, 1.0)


@pytest.mark.parametrize(
    ("method", "given", "ends"),
    [
        ("default", (0.0, 1.0), (0.0, 1.0)),
        ("default", (-1.0, 1.0, -1.0), (-1.0, 1.0)),
        ("dapo", (-1.0, 1.0), (-2.0, 1.0)),
        ("dapo", (0.0, 1.0), (-1.0, 1.0)),
        ("gdpo", ({"right": -3.0, "form": 1.0}, {"right": 3.0, "form": 1.0}), (-1.0, 2.0)),
    ],
)
def test_published_ranges_are_known_before_the_gate(method, given, ends):
    """DAPO's rewards of -1 and 1, its punishment of length, GDPO's of -3 to 3: each is mapped to [0, 1]."""
    s = config.load(method, overrides=["rollout.max_tokens=100"] if method == "dapo" else [])
    found = Reward(s).range(scores(*given))
    assert (found.low, found.high) == ends
    assert (found.unit(ends[0]), found.unit(ends[1])) == (0.0, 1.0)


def test_a_range_that_cannot_be_known_names_the_setting():
    """Many values outside of [0, 1] show no scale; the ends can be declared."""
    unbounded = scores(*(i * 1.7 for i in range(20)))
    with pytest.raises(UsageError, match=r"reward\.low"):
        Reward(config.load()).range(unbounded)
    declared = Reward(config.load(overrides=["reward.low=0", "reward.high=40"])).range(unbounded)
    assert (declared.low, declared.high, declared.how) == (0.0, 40.0, "declared")
    with pytest.raises(UsageError, match=r"reward\.low"):
        observed_range([-1.0, -1.0], "values", "-s reward.low=...")
    with pytest.raises(UsageError, match="together"):
        config.load(overrides=["reward.low=1"])


def test_each_part_has_its_own_range():
    """What is within [0, 1] stays; another scale ends where it was seen to end."""
    found = part_ranges(scores({"right": -3.0, "form": 0.5}, {"right": 3.0, "form": 0.0}))
    assert (found["right"].low, found["right"].high) == (-3.0, 3.0)
    assert found["form"].is_unit


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(-20, 20))
def test_the_unit_is_a_unit(a, b, value):
    """Whatever comes, a mapped reward lies in [0, 1] and keeps the order."""
    low, high = sorted((a, b))
    scale = Range(low, high)
    assert 0.0 <= scale.unit(value) <= 1.0
    assert scale.unit(value) <= scale.unit(value + 1.0)
