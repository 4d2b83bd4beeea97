"""Laws that the numbers obey whatever the group: shifts, scales, permutations, failures, identity edits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfgrpo import advantages as adv
from tfgrpo import edit_scores as edit
from tfgrpo import selection as sel
from tfgrpo.advantages.moments import is_flat

LAW = settings(max_examples=50, deadline=None)

REWARD = st.integers(-20, 20).map(lambda n: n / 4)
REWARDS = st.lists(REWARD, min_size=1, max_size=9)
WITH_FAILURES = st.lists(REWARD | st.just(math.nan), min_size=0, max_size=9)
METHODS = [adv.grpo, adv.dr_grpo, adv.rloo]
LOG_PROB = st.integers(-80, 0).map(lambda n: n / 16)
CLIP = edit.Clip(0.2, 0.28)


@st.composite
def scored_groups(draw: st.DrawFn) -> tuple[list[list[float]], list[list[float]], list[float]]:
    """Log-probs under the new and the old library, and rewards, of one group."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=2, max_size=6))
    both = [[draw(st.lists(LOG_PROB, min_size=n, max_size=n)) for n in lengths] for _ in range(2)]
    return both[0], both[1], [float(draw(st.integers(0, 1))) for _ in lengths]


def close(left: object, right: object) -> bool:
    """Equal up to rounding."""
    return left == pytest.approx(right, rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("method", METHODS)
@LAW
@given(rewards=WITH_FAILURES)
def test_advantages_sum_to_zero(method, rewards):
    """What some rollouts gain over the mean, the others lose."""
    assert close(math.fsum(method(rewards)), 0.0)


@pytest.mark.parametrize("method", METHODS)
@LAW
@given(rewards=WITH_FAILURES, shift=st.integers(-50, 50))
def test_shifting_all_rewards_changes_nothing(method, rewards, shift):
    """Only differences within the group count."""
    moved = method([r + shift for r in rewards])
    assert close(list(moved), list(method(rewards)))
    assert moved.degenerate == method(rewards).degenerate


@LAW
@given(rewards=WITH_FAILURES, scale=st.sampled_from([1e-200, 1e-3, 0.3, 7.0, 1e200]))
def test_scale_cancels_in_grpo_and_passes_in_dr_grpo(rewards, scale):
    """Without eps GRPO ignores the unit of the reward; Dr.GRPO keeps it."""
    scaled = [r * scale for r in rewards]
    assert close(list(adv.grpo(scaled, eps=0.0)), list(adv.grpo(rewards, eps=0.0)))
    assert close([a / scale for a in adv.dr_grpo(scaled)], list(adv.dr_grpo(rewards)))


@pytest.mark.parametrize("method", METHODS)
@LAW
@given(rewards=WITH_FAILURES, data=st.data())
def test_order_of_rollouts_does_not_matter(method, rewards, data):
    """Permuting a group permutes its advantages, to the last bit."""
    order = data.draw(st.permutations(range(len(rewards))))
    before = method(rewards)
    assert list(method([rewards[i] for i in order])) == [before[i] for i in order]


@pytest.mark.parametrize("method", METHODS)
@LAW
@given(rewards=WITH_FAILURES, place=st.integers(0, 9))
def test_failed_rollout_changes_nobodys_advantage(method, rewards, place):
    """A rollout that failed gets 0 and leaves the others exactly as they were."""
    place = min(place, len(rewards))
    after = method([*rewards[:place], math.nan, *rewards[place:]])
    assert after[place] == 0.0
    assert [*after[:place], *after[place + 1 :]] == list(method(rewards))


@pytest.mark.parametrize("method", METHODS)
@LAW
@given(value=st.floats(-1e6, 1e6), count=st.integers(0, 6), failures=st.integers(0, 3))
def test_flat_group_is_exactly_zero_and_says_so(method, value, count, failures):
    """No eps turns agreement, a single rollout or nothing at all into a small signal."""
    result = method([value] * count + [math.nan] * failures)
    assert result.degenerate
    assert list(result) == [0.0] * (count + failures)


@LAW
@given(rewards=REWARDS)
def test_signal_exists_exactly_when_rewards_differ(rewards):
    """Degenerate and non-zero exclude each other."""
    result = adv.grpo(rewards)
    assert result.degenerate == is_flat(rewards) == (len(set(rewards)) < 2)
    assert result.degenerate == all(a == 0.0 for a in result)


@LAW
@given(rewards=REWARDS)
def test_rloo_is_the_distance_to_the_mean_of_the_others(rewards):
    """The closed form agrees with leaving each rollout out."""
    if len(rewards) < 2:
        assert list(adv.rloo(rewards)) == [0.0]
        return
    left_out = [r - (math.fsum(rewards) - r) / (len(rewards) - 1) for r in rewards]
    assert close(list(adv.rloo(rewards)), left_out)


@LAW
@given(rows=st.lists(st.tuples(REWARD | st.just(math.nan), REWARD), min_size=1, max_size=7), place=st.integers(0, 7))
def test_gdpo_ignores_failed_rollouts_also_across_the_batch(rows, place):
    """A rollout that no grader scored changes neither its group nor the scale over the batch."""
    place = min(place, len(rows))
    other = adv.gdpo([(1.0, 0.0), (0.0, 0.0)])
    with_failure = adv.gdpo([*rows[:place], (math.nan, math.nan), *rows[place:]])
    before, after = adv.scale_batch([adv.gdpo(rows), other]), adv.scale_batch([with_failure, other])
    kept = [*after[0][:place], *after[0][place + 1 :]]
    assert close(kept, list(before[0]))
    assert close(list(after[1]), list(before[1]))


@LAW
@given(rewards=REWARDS)
def test_gdpo_of_one_grader_is_grpo(rewards):
    """With a single grader of weight 1 the two methods are one."""
    assert close(list(adv.gdpo([[r] for r in rewards])), list(adv.grpo(rewards)))


@LAW
@given(rewards=REWARDS)
def test_opposed_graders_cancel_to_exactly_nothing(rewards):
    """Two graders that always disagree leave no signal, not a rounding error."""
    result = adv.gdpo([[r, -r] for r in rewards])
    assert result.degenerate
    assert not any(result)


@LAW
@given(rewards=WITH_FAILURES, k=st.integers(0, 10), data=st.data())
def test_gfpo_teaches_from_at_most_k_graded_rollouts(rewards, k, data):
    """Selection is bounded, graded, and silent about everybody else."""
    lengths = data.draw(st.lists(st.integers(1, 50), min_size=len(rewards), max_size=len(rewards)))
    result = sel.gfpo(rewards, lengths, k)
    graded = [i for i, r in enumerate(rewards) if not math.isnan(r)]
    assert len(result.selected) == min(k, len(graded))
    assert set(result.selected) <= set(graded)
    assert all(a == 0.0 for i, a in enumerate(result.advantages) if i not in result.selected)
    limit = max((lengths[i] for i in result.selected), default=0)
    assert all(lengths[i] >= limit for i in graded if i not in result.selected) or k == 0


@LAW
@given(rewards=st.lists(st.sampled_from([0.0, 1.0, math.nan]), max_size=8), size=st.integers(1, 8))
def test_waves_stop_exactly_at_a_contrast_or_at_the_end(rewards, size):
    """A group goes on while it is uniform and never grows past its size."""
    wave = sel.next_wave(rewards, group_size=size, wave=3)
    contrast = {0.0, 1.0} <= set(rewards)
    assert (wave.reason is sel.WaveReason.CONTRAST) == contrast
    assert wave.size == (0 if contrast else max(0, min(3, size - len(rewards))))


@LAW
@given(group=scored_groups())
def test_identity_edit_gains_nothing(group):
    """An edit that leaves all log-probs alone scores exactly its identity value under every method."""
    _, old, rewards = group
    advantages = adv.dr_grpo(rewards)
    for aggregation in ("seq-mean-token-mean", "token-mean", "seq-mean-token-sum"):
        score = edit.surrogate(old, old, advantages, CLIP, aggregation=aggregation)
        assert score.gain == 0.0
        assert close(score.value, edit.identity_value(advantages, [len(x) for x in old], aggregation=aggregation))
    assert edit.gspo(old, old, advantages, CLIP).gain == 0.0
    assert edit.gvpo(edit.sum_log_ratios(old, old), rewards).gain == 0.0
    assert edit.disco_gain(old, old, rewards, tau=1.0).gain == 0.0
    assert edit.hicra_gain(old, old, advantages, [[1] * len(x) for x in old]).gain == 0.0
    assert edit.kl(old, old) == 0.0
    assert not edit.worth_testing(edit.surrogate(old, old, advantages, CLIP))


@LAW
@given(group=scored_groups())
def test_clipping_never_raises_a_score(group):
    """The clipped surrogate is pessimistic token by token; the dual clip bounds how pessimistic."""
    new, old, rewards = group
    advantages = adv.dr_grpo(rewards)
    score = edit.surrogate(new, old, advantages, CLIP)
    assert score.value <= score.unclipped + 1e-12
    dual = edit.surrogate(new, old, advantages, edit.Clip(0.2, 0.28, dual=3.0))
    assert dual.value >= score.value - 1e-12
    assert all(x >= 3.0 * min(a, 0.0) - 1e-12 for row, a in zip(dual.per_token, advantages, strict=True) for x in row)
    assert 0.0 <= score.clip_fraction <= 1.0


@LAW
@given(group=scored_groups(), shift=st.integers(-16, 16))
def test_shift_shared_by_all_rollouts_moves_no_centred_score(group, shift):
    """A style lesson that makes every rollout likelier by the same amount earns nothing from GVPO and DisCO."""
    new, old, rewards = group
    d = edit.sum_log_ratios(new, old)
    moved = [x + shift for x in d]
    assert close(edit.gvpo(moved, rewards).gain, edit.gvpo(d, rewards).gain)
    per_token = [[x + shift / 16 for x in row] for row in new]
    for tau in (None, 0.5):
        before, after = (edit.disco_gain(side, old, rewards, tau=tau).gain for side in (new, per_token))
        assert close(after, before)


@LAW
@given(group=scored_groups(), place=st.integers(0, 6), side=st.integers(0, 1))
def test_rollout_with_a_missing_log_prob_leaves_both_sides(group, place, side):
    """One null on one side is as if the rollout had never been stored, in every edit score."""
    new, old, rewards = group
    place = min(place, len(new))
    more_new, more_old, more = ([*x[:place], y, *x[place:]] for x, y in ((new, [-1.0]), (old, [-2.0]), (rewards, 1.0)))
    (more_new, more_old)[side][place] = [math.nan]
    known, full = [a - 0.5 for a in rewards], [a - 0.5 for a in more]
    assert close(edit.surrogate(more_new, more_old, full, CLIP).gain, edit.surrogate(new, old, known, CLIP).gain)
    assert close(edit.gspo(more_new, more_old, full, CLIP).gain, edit.gspo(new, old, known, CLIP).gain)
    assert close(edit.disco_gain(more_new, more_old, more).gain, edit.disco_gain(new, old, rewards).gain)
    assert close(edit.kl(more_old, more_new), edit.kl(old, new))
    before = edit.gvpo(edit.sum_log_ratios(new, old), rewards)
    assert close(edit.gvpo(edit.sum_log_ratios(more_new, more_old), more).gain, before.gain)


@LAW
@given(group=scored_groups(), beta=st.floats(0.01, 2.0))
def test_gvpo_gain_is_what_the_loss_of_the_identity_edit_exceeds(group, beta):
    """The decomposition holds, weights sum to zero, and the best beta has the least loss."""
    new, old, rewards = group
    d = edit.sum_log_ratios(new, old)
    score = edit.gvpo(d, rewards, beta=beta)
    assert close(score.gain, edit.gvpo([0.0] * len(d), rewards, beta=beta).loss - score.loss)
    assert close(score.loss, score.half_var_implicit - score.cov + score.half_var_reward)
    assert close(math.fsum(score.weights_G), 0.0)
    assert -1.0 - 1e-12 <= score.corr <= 1.0 + 1e-12
    assert edit.gvpo(d, rewards, beta=score.beta_star).loss <= score.loss + 1e-9


@LAW
@given(group=scored_groups(), tau=st.sampled_from([0.0, 0.01, 0.5, 10.0]))
def test_disco_lies_between_the_hardest_wrong_rollout_and_their_mean(group, tau):
    """Temperature moves the comparison from the mean of the wrong rollouts to the best of them."""
    new, _, rewards = group
    scores = [math.fsum(row) / len(row) for row in new]
    low, middle, high = (edit.disco(scores, rewards, tau=t).value for t in (0.0, tau, None))
    assert low - 1e-9 <= middle <= high + 1e-9
    weights = edit.disco(scores, rewards, tau=tau).wrong_weights
    assert close(math.fsum(weights), 1.0) or not weights


@LAW
@given(
    group=scored_groups(),
    score=st.sampled_from(["log_likelihood", "likelihood_ratio"]),
    estimator=st.sampled_from(["k1", "k2", "k3"]),
    data=st.data(),
)
def test_disco_gradient_is_the_slope_of_the_penalized_objective(group, score, estimator, data):
    """Moving one token a little moves loss and penalty by the gradient that is reported for it."""
    new, old, rewards = group
    i = data.draw(st.integers(0, len(new) - 1))
    h = 1e-6
    named = {"beta": 0.5, "delta": -20.0}
    gradient = edit.disco_gradient(new, old, rewards, score=score, tau=1.0, estimator=estimator, **named)[i][0]

    def loss(step: float) -> float:
        moved = [[row[0] + step, *row[1:]] if j == i else row for j, row in enumerate(new)]
        gap = edit.disco(edit.disco_scores(moved, old, score), rewards, tau=1.0).value
        return edit.kl_hinge(edit.kl(old, moved, estimator), **named) - gap

    assert (loss(h) - loss(-h)) / (2 * h) == pytest.approx(gradient, rel=1e-3, abs=1e-4)


@LAW
@given(d=st.lists(st.floats(-2000, 2000), min_size=1, max_size=9), shift=st.floats(-500, 500))
def test_effective_sample_size_lies_between_one_and_all(d, shift):
    """The bound holds at any size of log-ratio, and a shared shift changes nothing."""
    weights = edit.effective_sample_size(d)
    assert 1.0 - 1e-9 <= weights.ess <= len(d) + 1e-9
    assert edit.effective_sample_size([x + shift for x in d]).ess == pytest.approx(weights.ess, rel=1e-6)


@LAW
@given(group=scored_groups())
def test_k3_is_never_negative_and_k1_is_the_mean_movement(group):
    """The estimator for gates cannot disable a penalty; the other one can."""
    new, old, _ = group
    assert edit.kl(old, new, "k3") >= 0.0
    tokens = [b - a for x, y in zip(new, old, strict=True) for a, b in zip(x, y, strict=True)]
    assert close(edit.kl(old, new, "k1"), math.fsum(tokens) / len(tokens))


@LAW
@given(rewards=REWARDS, alpha=st.floats(0.0, 1.0))
def test_planning_is_amplified_in_success_and_dampened_in_blame(rewards, alpha):
    """A^H never falls below A and never changes its sign."""
    plain = adv.dr_grpo(rewards)
    raised = [row[0] for row in edit.planning_advantages(plain, [[1]] * len(rewards), alpha=alpha)]
    assert all(b >= a and a * b >= 0.0 for a, b in zip(plain, raised, strict=True))
    recentred = edit.planning_advantages(plain, [[1, 0]] * len(rewards), alpha=alpha, recentre=True)
    assert close(edit.mean_advantage(recentred), 0.0)


@LAW
@given(counts=st.lists(st.integers(0, 9), max_size=8), extra=st.integers(1, 5))
def test_semantic_entropy_is_bounded_by_the_number_of_strategies(counts, extra):
    """Entropy lies in [0, log K], does not depend on order, and is invalid without any strategy."""
    result = edit.semantic_entropy(counts)
    assert result.valid == any(counts)
    assert 0.0 <= result.value <= math.log(max(len(counts), 1)) + 1e-9
    assert close(edit.semantic_entropy(counts[::-1]).value, result.value)
    assert close(edit.semantic_entropy([c * extra for c in counts]).value, result.value)
