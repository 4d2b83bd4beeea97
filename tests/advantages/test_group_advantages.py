"""GRPO, Dr.GRPO and GDPO on groups small enough to work out by hand."""

import math

import pytest

from tfgrpo.advantages import Advantages, dr_grpo, gdpo, grpo, process_supervision, rloo, scale_batch
from tfgrpo.advantages.grpo import NORMALIZATIONS
from tfgrpo.errors import UsageError

NAN = math.nan


def test_result_reads_like_a_tuple():
    """Advantages can be listed, indexed, sliced, measured and unpacked."""
    result = grpo([1, 0], eps=0.0)
    win, loss = result
    assert (win, loss) == pytest.approx((0.5**0.5, -(0.5**0.5)))
    assert (len(result), result[-1], result[:1]) == (2, loss, (win,))
    assert result == Advantages((win, loss), degenerate=False)


def test_one_success_in_eight_stands_out():
    """The winner of a hard group gets +2.47, each loser -0.35."""
    result = grpo([1, 0, 0, 0, 0, 0, 0, 0])
    assert result[0] == pytest.approx(7 / 8 / (math.sqrt(1 / 8) + 1e-6))
    assert result[1] == pytest.approx(-1 / 8 / (math.sqrt(1 / 8) + 1e-6))


def test_eps_is_added_to_the_deviation_not_the_variance():
    """A large eps shrinks by exactly deviation over deviation plus eps."""
    assert list(grpo([2, 0], ddof=0, eps=1.0)) == [0.5, -0.5]


@pytest.mark.parametrize("eps", [0.0, 1e-6, 1.0])
@pytest.mark.parametrize("rewards", [[], [0.8], [0.1] * 7, [NAN, NAN], [1.0, NAN], [0.1 + 0.2, 0.3], [0, 0.0]])
def test_group_without_contrast_is_exactly_zero(rewards, eps):
    """Whatever eps is, agreement gives zeros and a flag."""
    for result in (grpo(rewards, eps=eps), dr_grpo(rewards), rloo(rewards)):
        assert result.degenerate
        assert list(result) == [0.0] * len(rewards)


def test_small_but_real_difference_is_a_signal():
    """Flatness is relative to the rewards, not to 1."""
    assert list(grpo([2e-9, 0.0], eps=0.0, ddof=0)) == [1.0, -1.0]


def test_raw_singleton_lets_the_reward_through_only_when_asked():
    """The quirk of verl is reproduced by name, and never for two graded rollouts."""
    assert list(grpo([NAN, 0.8], singleton="raw", eps=0.0)) == [0.0, 0.8]
    assert list(grpo([0.8, 0.8], singleton="raw")) == [0.0, 0.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: grpo([1, 0], ddof=2),
        lambda: grpo([1, 0], eps=-1e-6),
        lambda: grpo([1, math.inf]),
        lambda: dr_grpo([-math.inf]),
        lambda: gdpo([[1, 0], [1]]),
        lambda: gdpo([[1, 0], [0, 1]], [1.0]),
        lambda: process_supervision([[1, 2]], [[3]]),
        lambda: process_supervision([[1, 2]], [[3, 3]]),
    ],
)
def test_senseless_arguments_are_refused(call):
    """What is neither a number nor a missing one, or does not fit together, is an error of usage."""
    with pytest.raises(UsageError):
        call()


def test_presets_of_other_libraries_differ():
    """The same group has other numbers under TRL's eps and GFPO's population deviation."""
    values = {name: grpo([1, 0], ddof=p.ddof, eps=p.eps)[0] for name, p in NORMALIZATIONS.items()}
    assert values["verl"] == values["tfgrpo"]
    assert values["trl"] < values["verl"] < values["gfpo-paper"] == 1.0


def test_process_supervision_sums_the_steps_still_to_come():
    """A token is credited with its own step and all later ones; tokens after the last step get nothing."""
    result = process_supervision([[1, 0], [0, 1]], [[1, 2], [2, 3]], lengths_G=[2, 4], ddof=0, eps=0.0)
    assert result.values_G_T == ((0.0, -1.0), (0.0, 0.0, 1.0, 0.0))
    assert not result.degenerate


def test_unscored_step_adds_nothing():
    """A missing step reward is left out of the statistics and of the sums."""
    result = process_supervision([[1, NAN], [0]], [[1, 2], [1]], ddof=0, eps=0.0)
    assert result.values_G_T == ((1.0, 0.0), (-1.0,))


def test_each_grader_is_normalized_on_its_own():
    """A grader on a scale of hundreds does not drown one on a scale of one."""
    result = gdpo([[100, 0], [0, 1]], ddof=0, eps=0.0)
    assert result.degenerate
    assert gdpo([[100, 0], [0, 1]], [1.0, 0.5], ddof=0, eps=0.0).values == (0.5, -0.5)


def test_grader_parts_are_shown_with_their_gaps():
    """The summarizer sees what each grader said, and nan where one said nothing."""
    parts = gdpo([[1, NAN], [0, 3], [NAN, 1]], ddof=0, eps=0.0).per_grader_G_K
    assert parts[1:] == ((-1.0, 1.0), (parts[2][0], -1.0))
    assert math.isnan(parts[0][1])
    assert math.isnan(parts[2][0])


def test_group_without_rollouts_is_silent():
    """Nothing in, nothing out, flagged."""
    assert list(gdpo([])) == []
    assert gdpo([], [1.0]).degenerate


@pytest.mark.parametrize("residue", [1e-12, 1e-9, 1e-6])
def test_batch_scale_never_blows_up_a_residue(residue):
    """Two graders that cancel but for a residue: what is left stays small beside a contrast, however small eps is."""
    cancelling = gdpo([(1.0, 0.0), (0.0, 1.0), (0.5 + residue, 0.5)], eps=0.0)
    (alone,) = scale_batch([cancelling], eps=0.0)
    assert max(map(abs, alone), default=0.0) < 0.01
    whole, _ = scale_batch([gdpo([(1.0, 1.0), (0.0, 0.0)]), cancelling], eps=0.0)
    assert max(whole) > 0.5


def test_batch_scale_leaves_flat_groups_at_zero():
    """A flat group gains nothing from the spread of others, unless the leak is asked for by name."""
    groups = [gdpo([[1], [0]], ddof=0, eps=0.0), gdpo([[5], [5]])]
    assert [list(g) for g in scale_batch(groups, ddof=0, eps=0.0)] == [
        pytest.approx([2**0.5, -(2**0.5)]),
        [0.0, 0.0],
    ]
    leaky = scale_batch(groups, lengths_P_G=[[1, 3], [1, 1]], reset_degenerate=False)
    assert leaky[1][0] == leaky[1][1] > 0.0


def test_weights_that_cancel_up_to_rounding_leave_nothing():
    """0.1 + 0.7 against 0.8 is no signal, and no batch scale can blow it up."""
    result = gdpo([[1, 1, 0], [0, 0, 1]], [0.1, 0.7, 0.8])
    assert result.degenerate
    assert result.values == (0.0, 0.0)


def test_batch_eps_can_join_the_variance():
    """The two places for eps give different numbers."""
    groups = [gdpo([[1], [0]], ddof=0, eps=0.0)]
    assert list(scale_batch(groups, ddof=0, eps=3.0)[0]) == [0.25, -0.25]
    assert list(scale_batch(groups, ddof=0, eps=3.0, eps_in_variance=True)[0]) == [0.5, -0.5]


def test_batch_of_flat_groups_is_degenerate():
    """Without any spread in the batch nothing is divided."""
    assert all(g.degenerate and not any(g) for g in scale_batch([gdpo([[1], [1]]), gdpo([[NAN]])]))
    assert scale_batch([]) == ()
