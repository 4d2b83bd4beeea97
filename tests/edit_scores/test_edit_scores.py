"""Surrogates, GSPO, GVPO, DisCO, KL and calibration on rollouts small enough to work out by hand."""

import math

import pytest

from tfgrpo.edit_scores import (
    CLIPS,
    Clip,
    adaptive_beta,
    aggregate,
    clip_from_floor,
    coverage,
    disco,
    disco_batch,
    disco_gain,
    disco_gradient,
    disco_scores,
    distinguishable,
    effective_sample_size,
    forgetting_veto,
    gspo,
    gvpo,
    gvpo_len_norm,
    gvpo_pooled,
    hicra_gain,
    kl,
    kl_hinge,
    kl_tokens,
    log_prob,
    mean_log_ratios,
    noise_floor,
    planning_advantages,
    proportional_beta,
    sum_log_ratios,
    surrogate,
    worth_testing,
)
from tfgrpo.errors import UsageError

NAN = math.nan
LN2 = math.log(2)
CLIP = Clip(0.2, 0.2)


def test_unusable_rollouts_keep_their_place():
    """A null, an infinity, an empty answer or a side without scores leaves a gap, not a zero."""
    new = [[-1.0], [NAN], [-1.0], [], [-1.0, -2.0], []]
    old = [[-2.0], [-1.0], [-math.inf], [], [], [-1.0]]
    assert sum_log_ratios(new, old)[0] == 1.0
    assert all(math.isnan(d) for d in mean_log_ratios(new, old)[1:])


def test_different_texts_are_not_compared():
    """Another number of tokens means another tokenization, which would shift every position."""
    with pytest.raises(UsageError, match="rollout 1 has 2 log-probs"):
        sum_log_ratios([[-1.0], [-1.0, -1.0]], [[-1.0], [-1.0]])
    with pytest.raises(UsageError, match="2 rollouts"):
        sum_log_ratios([[-1.0], [-1.0]], [[-1.0]])


def test_aggregations_divide_by_what_they_say():
    """Five ways to average the same tokens."""
    rows = [[1.0, 1.0, 4.0], [2.0]]
    assert aggregate(rows, "seq-mean-token-mean") == 2.0
    assert aggregate(rows, "token-mean") == 2.0
    assert aggregate(rows, "seq-mean-token-sum") == 4.0
    assert aggregate(rows, "seq-mean-token-sum-norm", scale=16) == 0.5
    assert aggregate(rows, "constant-length", scale=16) == 0.25
    assert math.isnan(aggregate([], "token-mean"))


def test_clip_is_asymmetric_and_counts_where_it_bites():
    """Good rollouts may rise by high, bad ones fall by low; the minimum keeps what hurts."""
    score = surrogate([[LN2, -LN2], [LN2, -LN2]], [[0, 0], [0, 0]], [1.0, -1.0], Clip(0.2, 0.28))
    good, bad = score.per_token
    assert good == pytest.approx((1.28, 0.5))
    assert bad == pytest.approx((-2.0, -0.8))
    assert score.clip_fraction == 0.5
    assert score.unclipped == pytest.approx(0.0, abs=1e-12)


def test_dual_clip_bounds_the_blame():
    """A bad rollout that became very likely costs at most dual times its advantage."""
    score = surrogate([[3.0]], [[0.0]], [-1.0], Clip(0.2, 0.2, dual=3.0))
    assert score.value == -3.0


def test_absurd_log_probs_stay_finite():
    """A server that answers -9999 for a token makes a bad score, not an overflow."""
    score = surrogate([[0.0, 0.0]], [[-9999.0, -9999.0]], [-1.0], CLIP)
    assert math.isfinite(score.value)
    assert math.isfinite(kl([[-9999.0]], [[0.0]]))
    assert all(math.isfinite(g) for g in disco_gradient([[0.0]], [[-9999.0]], [1], beta=1.0, estimator="k3")[0])


def test_nothing_scored_is_invalid_not_zero():
    """Without log-probs there is no score, and no edit is worth testing."""
    score = surrogate([[NAN]], [[-1.0]], [1.0], CLIP)
    assert not score.valid
    assert math.isnan(score.gain)
    assert score.coverage == 0.0
    assert not worth_testing(score)
    assert not gspo([[]], [[]], [1.0], CLIP).valid
    assert math.isnan(coverage([]))


def test_gain_needs_the_floor_and_the_cap():
    """A gain inside the noise, or bought by clipped tokens, is not worth rollouts."""
    score = surrogate([[LN2]], [[0.0]], [1.0], CLIP)
    assert score.gain == pytest.approx(0.2)
    assert worth_testing(score, floor=0.1)
    assert not worth_testing(score, floor=0.3)
    assert not worth_testing(score, cap=0.5)


def test_sequence_ratio_is_per_token_and_sides_are_told_apart():
    """GSPO averages the log-ratio along the rollout and says which rollouts left the region on which side."""
    result = gspo([[LN2, LN2], [-LN2], [0.0], []], [[0, 0], [0], [0], []], [1.0, 1.0, -1.0, -1.0], Clip(0.1, 0.1))
    assert result.ratios_G[:3] == pytest.approx((2.0, 0.5, 1.0))
    assert (result.outside.right_good, result.outside.left_good, result.outside.left_bad) == (1 / 3, 1 / 3, 0.0)
    assert result.fraction_outside == pytest.approx(2 / 3)
    assert result.coverage == 0.75
    assert result.size == pytest.approx(2 / 3 * LN2)


def test_sides_of_the_sequence_clip_have_their_own_widths():
    """A ratio of 2 is outside a width of 0.5 and inside one of 1.5, whatever the other side allows."""
    narrow, wide = (gspo([[LN2]], [[0.0]], [1.0], Clip(0.1, high)) for high in (0.5, 1.5))
    assert (narrow.value, narrow.outside.right_good, narrow.fraction_outside) == (1.5, 1.0, 1.0)
    assert (wide.value, wide.outside.right_good, wide.fraction_outside) == (pytest.approx(2.0), 0.0, 0.0)


def test_published_sequence_clip_lies_inside_the_noise():
    """What one optimizer step may move is less than what measuring twice moves."""
    assert CLIPS["gspo"].high < noise_floor([0.0012, -0.0031, 0.0044])


def test_token_advantages_reach_gspo():
    """GSPO-token averages per-token advantages under one ratio."""
    assert gspo([[0, 0]], [[0, 0]], [[1.0, -3.0]], CLIP).value == -1.0


def test_gvpo_rewards_movement_that_follows_the_reward():
    """Moving with the reward gains, against it loses, and one rollout says nothing."""
    with_it, against = (gvpo([d, -d], [1, 0], beta=0.1) for d in (1.0, -1.0))
    assert with_it.gain == pytest.approx(0.1 - 0.01)
    assert against.gain == pytest.approx(-0.1 - 0.01)
    assert (with_it.corr, against.corr) == pytest.approx((1.0, -1.0))
    assert against.beta_star < 0
    alone = gvpo([1.0, NAN], [1, 0])
    assert not alone.valid
    assert math.isnan(alone.loss)
    assert math.isnan(alone.gain)


def test_gvpo_punishes_relative_movement_of_equal_rollouts():
    """A flat group is degenerate for the correlation but not silent in the loss."""
    flat = gvpo([1.0, -1.0], [1, 1], beta=0.1)
    assert flat.degenerate
    assert (flat.corr, flat.beta_star) == (0.0, 0.0)
    assert flat.gain == pytest.approx(-0.01)
    assert flat.valid


def test_length_normalized_gvpo_is_another_number():
    """The variant divides by the length and leaves empty rollouts out."""
    assert gvpo_len_norm([4.0, -2.0, 9.0], [4, 2, 0], [1, 0, 1]).gain == gvpo([1.0, -1.0], [1, 0]).gain


def test_problems_are_pooled_before_correlating():
    """Two pairs that disagree have no perfect correlation, though each alone has."""
    pooled = gvpo_pooled([[1, -1], [-1, 1], [5.0]], [[1, 0], [1, 0], [1]])
    assert (pooled.corr, pooled.problems) == (0.0, 2)
    assert pooled.gain == pytest.approx(-0.01)
    assert pooled.loss == pytest.approx(0.25 + 0.01)
    assert gvpo_pooled([[1.0]], [[1]]).problems == 0


def test_disco_separates_right_from_wrong():
    """The mean gap, or the gap to the hardest wrong rollout as the temperature falls."""
    scores, right = [-1.0, -2.0, -5.0], [1, 0, 0]
    assert disco(scores, right).value == 2.5
    assert disco(scores, right, tau=0.0).value == 1.0
    assert disco(scores, right, tau=math.inf).value == 2.5
    assert disco(scores, right, tau=0.01).wrong_weights == pytest.approx((1.0, 0.0))


@pytest.mark.parametrize("rewards", [[1, 1], [0, 0], [1, NAN], [1, 0.5]])
def test_disco_without_both_classes_is_zero_and_invalid(rewards):
    """Partial rewards are ignored unless a threshold says which side they are on."""
    result = disco([-1.0, -2.0], rewards)
    assert (result.value, result.valid) == (0.0, False)
    assert disco([-1.0, -2.0], [1, 0.5], threshold=0.8).value == 1.0


def test_disco_batch_names_both_denominators():
    """Groups without both classes count in the official mean and not in the other."""
    batch = disco_batch([[-0.5, -0.9], [-0.4, -0.6]], [[1, 0], [1, 1]])
    assert (batch.value, batch.mean_over_valid, batch.valid) == pytest.approx((0.2, 0.4, 1))
    assert disco_batch([], []).value == 0.0


def test_likelihood_ratio_can_be_capped():
    """One token with d = 6 would otherwise decide the score."""
    new, old = [[6.0, 0.0]], [[0.0, 0.0]]
    assert disco_scores(new, old, "likelihood_ratio")[0] > 200
    assert disco_scores(new, old, "likelihood_ratio", cap=LN2)[0] == pytest.approx(1.5)


def test_disco_gain_is_taken_on_the_same_rollouts():
    """A rollout that one side could not score takes no part in the other side's value either."""
    gain = disco_gain([[-1.0], [-3.0], [NAN]], [[-2.0], [-3.0], [-9.0]], [1, 0, 0], score="log_likelihood")
    assert gain.gain == 1.0
    assert gain.accept


def test_published_hinge_vetoes_any_real_edit():
    """With beta 1000 and delta 1e-4 a movement of 0.05 nat costs more than any gap."""
    assert kl_hinge(0.05, beta=1000, delta=1e-4) == pytest.approx(2.49001)
    assert kl_hinge(0.05, beta=1000, delta=1e-4, factor=0.5) == pytest.approx(1.245005)
    gain = disco_gain([[-1.0], [-3.0]], [[-2.0], [-3.0]], [1, 0], beta=1000, delta=1e-4)
    assert not gain.accept


def test_kl_estimators_keep_their_roles():
    """k1 is signed, k3 is not, and swapping the roles changes the value."""
    old, new = [[0.0]], [[LN2]]
    assert kl(old, new, "k1") == -LN2
    assert kl(old, new, "k2") == LN2**2 / 2
    assert kl(old, new, "k3") == pytest.approx(1 - LN2)
    assert kl(new, old, "k3") == pytest.approx(LN2 - 0.5)
    assert kl_tokens([[NAN]], [[0.0]]) == ((),)
    assert math.isnan(kl([], []))


def test_kl_controllers_move_beta():
    """Halved below, doubled above, kept inside and for an unknown KL; or moved in proportion."""
    assert [adaptive_beta(1.0, x, 0.03) for x in (0.019, 0.03, 0.046, NAN)] == [0.5, 1.0, 2.0, 1.0]
    assert proportional_beta(0.2, 9.0, target=6.0, n_steps=256) == pytest.approx(0.2 * (1 + 0.2 * 0.0256))
    assert proportional_beta(0.2, NAN, target=6.0, n_steps=256) == 0.2


def test_noise_floor_decides_what_can_be_seen():
    """Nothing measured distinguishes nothing, and widths come from the floor."""
    floor = noise_floor([0.01, -0.03, NAN, 0.02], q=1.0)
    assert floor == 0.03
    assert distinguishable(-0.04, floor)
    assert not distinguishable(0.03, floor)
    assert not distinguishable(9.9, noise_floor([]))
    assert clip_from_floor(floor) == Clip(0.09, 0.09)


def test_forgetting_is_vetoed_on_any_solved_problem():
    """One problem whose correct rollouts fall by more than the floor is enough."""
    assert forgetting_veto([[0.1], [-0.02, -0.01]], noise_floor=0.01).veto
    assert not forgetting_veto([[0.1], [-0.02, 0.01], []], noise_floor=0.01).veto


def test_importance_weights_report_their_collapse():
    """Equal weights are all usable, one dominating weight is one rollout, none is invalid."""
    assert effective_sample_size([3.0, 3.0]).usable
    assert effective_sample_size([1000.0, 0.0, 0.0]).ess == pytest.approx(1.0)
    assert not effective_sample_size([1000.0, 0.0, 0.0]).usable
    assert not effective_sample_size([NAN]).valid


def test_temperature_changes_the_log_prob():
    """Half the temperature doubles the gap between logits."""
    assert log_prob([LN2, 0.0], 0) == pytest.approx(math.log(2 / 3))
    assert log_prob([LN2, 0.0], 0, temperature=0.5) == pytest.approx(math.log(4 / 5))


def test_hierarchy_aware_gain_subtracts_its_offset():
    """Planning text that merely stays as likely earns nothing, though the raw score is positive."""
    still = hicra_gain([[0.0], [0.0]], [[0.0], [0.0]], [0.5, -0.5], [[1], [1]])
    assert still.surrogate > 0
    assert still.gain == 0.0
    better = hicra_gain([[LN2], [0.0]], [[0.0], [0.0]], [0.5, -0.5], [[1], [1]])
    assert better.gain == pytest.approx(0.3)


def test_planning_advantages_can_differ_along_a_rollout():
    """Per-token advantages are taken as they are; a missing one is 0."""
    assert planning_advantages([[1.0, -1.0], NAN], [[1, 1], [1]], alpha=0.5) == ((1.5, -0.5), (0.0,))


@pytest.mark.parametrize(
    "call",
    [
        lambda: surrogate([[0.0]], [[0.0]], [], CLIP),
        lambda: surrogate([[0.0]], [[0.0]], [[1.0, 2.0]], CLIP),
        lambda: surrogate([[0.0]], [[0.0]], [1.0], CLIP, beta=0.1),
        lambda: surrogate([[0.0]], [[0.0]], [1.0], CLIP, aggregation="constant-length"),
        lambda: surrogate([[0.0]], [[0.0]], [1.0], CLIP, aggregation="beauty"),
        lambda: gspo([[0.0]], [[0.0]], [1.0, 2.0], CLIP),
        lambda: gvpo([1.0], [1.0, 0.0]),
        lambda: disco([1.0], [1.0, 0.0]),
        lambda: disco([1.0], [1.0], tau=-1.0),
        lambda: disco_scores([[0.0]], [[0.0]], "beauty"),
        lambda: kl([[0.0]], [[0.0]], "k4"),
        lambda: proportional_beta(0.2, 9.0, target=0.0, n_steps=1),
        lambda: noise_floor([0.1], q=1.5),
        lambda: noise_floor([0.1], method="beauty"),
        lambda: clip_from_floor(NAN),
        lambda: forgetting_veto([[0.1]], noise_floor=NAN),
        lambda: log_prob([0.0], 0, temperature=0.0),
        lambda: planning_advantages([1.0], [[1], [0]]),
        lambda: hicra_gain([[0.0, 0.0]], [[0.0, 0.0]], [1.0], [[1]]),
    ],
)
def test_senseless_arguments_are_refused(call):
    """Shapes, names and ranges are checked before anything is scored."""
    with pytest.raises(UsageError):
        call()
