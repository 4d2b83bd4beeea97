"""Which groups and rollouts teach: dynamic sampling, filtering, waves and weights."""

import math

import pytest

from tfgrpo.errors import UsageError
from tfgrpo.selection import (
    Action,
    AdaptiveK,
    WaveReason,
    adaptive_k,
    excess_length_reduction,
    gfpo,
    group_weights,
    has_contrast,
    keep_informative,
    next_wave,
    sampling_action,
)
from tfgrpo.types import GroupStatus

NAN = math.nan


def test_only_groups_that_disagree_are_kept():
    """Agreement is flat, too few graded rollouts are a failure, and both are told apart."""
    kept = keep_informative([[1, 0], [1, 1], [0, 0, NAN], [1, NAN], [], [1, NAN, 0]])
    assert kept.keep_P == (True, False, False, False, False, True)
    assert kept.status_P == (
        GroupStatus.KEPT,
        GroupStatus.FLAT,
        GroupStatus.FLAT,
        GroupStatus.FAILED,
        GroupStatus.FAILED,
        GroupStatus.KEPT,
    )
    assert kept.n_kept == 2


def test_unsolved_problems_wait_for_a_later_library():
    """All-wrong groups are queued for retry; solved and ungraded ones are not."""
    assert keep_informative([[0, 0], [1, 1], [NAN, NAN], [-1, -1, NAN]]).retry == (0, 3)
    assert keep_informative([[0.2, 0.2]], solved_above=0.2).retry == (0,)


@pytest.mark.parametrize(
    ("kept", "rounds", "action"),
    [
        (4, 1, Action.ENOUGH),
        (3, 1, Action.RESAMPLE),
        (3, 2, Action.PARTIAL),
        (0, 2, Action.EMPTY),
        (4, 2, Action.ENOUGH),
    ],
)
def test_sampling_budget_ends_honestly(kept, rounds, action):
    """Too few groups are sampled again while the budget lasts; then the result is partial or empty, and says so."""
    assert sampling_action(kept, wanted=4, rounds=rounds, max_rounds=2) is action


def test_unbounded_budget_goes_on():
    """Without a bound an empty batch is always sampled again."""
    assert sampling_action(0, rounds=1000) is Action.RESAMPLE


def test_shortest_are_chosen_whatever_their_reward():
    """Length alone decides, ties go to the first, and the spread is the population's."""
    result = gfpo([1, 0, 1, 1], [5, 5, 9, 5], 2)
    assert result.selected == (0, 1)
    assert list(result.advantages) == [1.0, -1.0, 0.0, 0.0]


def test_selection_that_agrees_is_degenerate():
    """Token efficiency with 0/1 rewards keeps the right ones and loses its own signal."""
    result = gfpo([1, 0, 1, 0], [9, 1, 9, 1], 2, metric="reward/length")
    assert result.selected == (0, 2)
    assert result.advantages.degenerate


def test_stratified_choice_keeps_a_contrast():
    """The last choice makes room for the best-ranked rollout with another reward, if there is one."""
    rewards, lengths = [1, 1, 1, 0, 0], [1, 2, 3, 4, 5]
    assert gfpo(rewards, lengths, 3, stratified=True).selected == (0, 1, 3)
    assert gfpo(rewards, lengths, 4, stratified=True).selected == (0, 1, 2, 3)
    assert gfpo([1, 1, 1], [1, 2, 3], 2, stratified=True).selected == (0, 1)
    assert gfpo(rewards, lengths, 1, stratified=True).selected == (0,)


def test_shift_repairs_efficiency_of_negative_rewards():
    """The plain metric prefers the longer failure, the shifted one does not."""
    rewards, lengths = [1, -1, -1], [10, 10, 1000]
    assert gfpo(rewards, lengths, 2, metric="reward/length").selected == (0, 2)
    assert gfpo(rewards, lengths, 2, metric="shifted reward/length").selected == (0, 1)


def test_rollout_that_cannot_be_ranked_is_never_chosen():
    """No reward, no length, or an empty answer under token efficiency: not in the choice, and no fallback."""
    assert gfpo([NAN, 1, 0], [1, NAN, 2], 3).selected == (2,)
    assert gfpo([1, 0], [0, 4], 2, metric="reward/length").selected == (1,)
    nothing = gfpo([1, 0], [NAN, NAN], 2)
    assert nothing.selected == ()
    assert nothing.advantages.degenerate


@pytest.mark.parametrize(
    "call",
    [
        lambda: gfpo([1], [1], -1),
        lambda: gfpo([1], [1, 2], 1),
        lambda: gfpo([1], [1], 1, metric="beauty"),
        lambda: sampling_action(0, wanted=0),
        lambda: sampling_action(0, max_rounds=0),
        lambda: next_wave([], group_size=0),
        lambda: group_weights([1.5]),
        lambda: group_weights([0.5], "beauty"),
        lambda: group_weights([0.5], "grpo", group_size=0),
    ],
)
def test_senseless_arguments_are_refused(call):
    """Sizes, names and rates are checked before anything is chosen."""
    with pytest.raises(UsageError):
        call()


def test_hard_problems_keep_more_rollouts():
    """Quartiles of the history decide, strictly below; nothing graded or too little history counts as very hard."""
    history = [n / 8 for n in range(1, 9)]
    schedule = AdaptiveK(very_hard=10, hard=8, medium=6, easy=4)
    sizes = [adaptive_k(mean, history, schedule) for mean in (0.1, 0.34375, 0.5625, 0.78125, 1.0, NAN)]
    assert sizes == [10, 8, 6, 4, 4, 10]
    assert adaptive_k(1.0, history[:7], schedule) == 10
    assert adaptive_k(1.0, [*history[:7], NAN]) == 8


def test_excess_length_is_relative_to_what_was_added():
    """Half of the added length removed is one half; nothing added has no answer."""
    assert excess_length_reduction(10, 20, 15) == 0.5
    assert math.isnan(excess_length_reduction(10, 10, 5))


def test_group_goes_on_while_uniform_and_stops_at_its_contrast():
    """Waves end at the first contrast or at G, and failures are neither."""
    assert next_wave([], group_size=5).size == 2
    assert next_wave([1, 1], group_size=5).reason is WaveReason.UNIFORM
    assert next_wave([1, NAN], group_size=5).size == 2
    assert next_wave([1, 1, 1, 1], group_size=5).size == 1
    assert next_wave([1, 0], group_size=5).reason is WaveReason.CONTRAST
    assert next_wave([1, 1, NAN, 1, 1], group_size=5).reason is WaveReason.EXHAUSTED


def test_contrast_can_ask_for_more_than_one_pair():
    """Two winners and two others are more than one of each."""
    assert not has_contrast([1, 0, 0], min_each=2)
    assert has_contrast([1, 0, 0.5, 1], min_each=2)
    assert not has_contrast([0.1 + 0.2, 0.3])


def test_weights_are_chosen_on_purpose():
    """Equal weights for informative groups, GRPO's favour extremes against Dr.GRPO's; flat groups weigh nothing."""
    rates = [0.0, 0.125, 0.5, 1.0, NAN]
    assert group_weights(rates) == (0.0, 1.0, 1.0, 0.0, 0.0)
    assert group_weights(rates, "dr_grpo") == (0.0, 0.21875, 0.5, 0.0, 0.0)
    grpo, sample = group_weights(rates, "grpo"), group_weights(rates, "grpo", group_size=4)
    assert grpo[2] == 1.0
    assert grpo[1] / grpo[2] > 0.21875 / 0.5
    assert sample[2] == pytest.approx(math.sqrt(3 / 4))
