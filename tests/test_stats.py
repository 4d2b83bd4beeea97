"""Estimators against known values, intervals against simulation, words against numbers."""

import math
import random
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tfgrpo.errors import UsageError
from tfgrpo.stats import (
    bootstrap_mean,
    describe,
    mean_at_k,
    mean_interval,
    paired_difference,
    pass_at_k,
    pass_hat_k,
    power_note,
    t_cdf,
    t_quantile,
    visible_difference,
    wilson,
)

NAN = math.nan
counts = st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))


def test_mean_at_k_weighs_problems_equally():
    """Each problem counts once, however many of its rollouts were scored; unscored ones are left out."""
    assert mean_at_k([[1, 0], [1, NAN], [NAN, NAN]]) == 0.75
    assert math.isnan(mean_at_k([[NAN]]))
    assert math.isnan(mean_at_k([]))


@pytest.mark.parametrize(
    ("n", "c", "k", "at", "hat"),
    [(2, 1, 1, 0.5, 0.5), (5, 2, 2, 0.7, 0.1), (10, 3, 5, 11 / 12, 0.0), (4, 4, 3, 1.0, 1.0), (4, 0, 4, 0.0, 0.0)],
)
def test_pass_estimators_have_known_values(n, c, k, at, hat):
    """Both estimators agree with counting by hand."""
    assert pass_at_k(n, c, k) == pytest.approx(at)
    assert pass_hat_k(n, c, k) == pytest.approx(hat)


@given(counts)
def test_pass_estimators_mirror_each_other(ncK):
    """That all k are right is that not at least one of k is wrong; at k=1 both are the plain share."""
    n, c, k = ncK
    assert pass_hat_k(n, c, k) == pytest.approx(1 - pass_at_k(n, n - c, k))
    assert pass_at_k(n, c, 1) == pytest.approx(c / n) == pytest.approx(pass_hat_k(n, c, 1))
    assert pass_hat_k(n, c, k) <= pass_at_k(n, c, k) + 1e-12


@pytest.mark.parametrize(("n", "c", "k"), [(3, 1, 4), (3, 4, 1), (3, -1, 1), (3, 1, 0), (0, 0, 1)])
def test_impossible_counts_are_refused(n, c, k):
    """More right answers than rollouts, or a k beyond n, is a mistake and not 0 or 1."""
    for estimator in (pass_at_k, pass_hat_k):
        with pytest.raises(UsageError, match=f"n={n}, c={c}, k={k}"):
            estimator(n, c, k)


@pytest.mark.parametrize(
    ("q", "df", "t"),
    [
        (0.975, 1, 12.7062),
        (0.975, 2, 4.3027),
        (0.975, 3, 3.1824),
        (0.975, 29, 2.0452),
        (0.8, 10, 0.8791),
        (0.5, 7, 0.0),
    ],
)
def test_t_quantiles_are_those_of_the_tables(q, df, t):
    """Quantiles agree with printed tables, on both sides."""
    assert t_quantile(q, df) == pytest.approx(t, abs=1e-4)
    assert t_quantile(1 - q, df) == pytest.approx(-t, abs=1e-4)
    assert t_cdf(t_quantile(q, df), df) == pytest.approx(q)


def test_wilson_has_known_values_and_sensible_ends():
    """8 of 10 agrees with the literature; 0 and n stay inside [0, 1] with a width."""
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    with pytest.raises(UsageError, match="3 of 2"):
        wilson(3, 2)


def test_mean_interval_is_students():
    """The interval of 1..5 is 3 plus and minus t times the standard error."""
    assert mean_interval([1, 2, 3, 4, 5, NAN]) == pytest.approx((3 - 1.9634, 3 + 1.9634), abs=1e-3)
    assert all(map(math.isnan, mean_interval([1.0])))
    assert all(map(math.isnan, mean_interval([0.1 + 0.2, 0.3, 0.3])))


def test_bootstrap_is_seeded_and_leaves_nan_out():
    """The same seed gives the same interval, and unscored problems do not change it."""
    values = [random.Random(1).random() for _ in range(20)] + [0.5, 0.1]
    assert bootstrap_mean(values, seed=3) == bootstrap_mean([NAN, *values], seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)
    assert bootstrap_mean([1.0] * 30) == wilson(30, 30)
    assert all(map(math.isnan, bootstrap_mean([1.0])))


def test_equal_values_say_nothing_about_their_spread():
    """Values that are all the same, but neither all wrong nor all right, have no interval, not one of width 0."""
    assert all(map(math.isnan, bootstrap_mean([1 / 3, 0.1 + 0.2 + 1 / 3 - 0.3, 1 / 3])))
    assert bootstrap_mean([0.0] * 5) == wilson(0, 5)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=15))
def test_intervals_hold_the_mean(values):
    """The interval of a mean lies around it and inside the range of what was seen, unless all is 0 or all is 1."""
    low, high = bootstrap_mean(values, resamples=200)
    mean = math.fsum(values) / len(values)
    assume(set(values) not in ({0.0}, {1.0}))
    assume(max(values) - min(values) > 1e-9)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    wide_low, wide_high = bootstrap_mean(values, resamples=200, level=0.999)
    assert wide_low <= low + 1e-12
    assert wide_high >= high - 1e-12
    assert wide_low - 1e-9 <= mean <= wide_high + 1e-9


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Of 300 simulated evaluations of 20 problems, the 95% interval holds the true mean in 91% to 98.5%."""
    rng = random.Random(0)
    covered = {bootstrap_mean: 0, mean_interval: 0}
    for trial in range(300):
        values = [sum(rng.random() < 0.6 for _ in range(4)) / 4 for _ in range(20)]
        for interval in covered:
            low, high = bootstrap_mean(values, trial, resamples=400) if interval is bootstrap_mean else interval(values)
            covered[interval] += low <= 0.6 <= high
    assert all(0.91 <= hits / 300 <= 0.985 for hits in covered.values()), covered


def test_null_differences_are_found_as_often_as_they_should():
    """Without any effect, p below 0.05 comes up in at most about 5% of 300 comparisons."""
    rng = random.Random(0)
    found = 0
    for trial in range(300):
        before, after = ([float(rng.random() < 0.5) for _ in range(25)] for _ in range(2))
        found += paired_difference(before, after, seed=trial, resamples=2).p < 0.05
    assert found <= 22


def test_pairs_with_a_missing_side_are_dropped_and_counted():
    """Nan on either side drops the pair, and the rest decides."""
    d = paired_difference([0, NAN, 0, 1, 0], [1, 1, NAN, 1, 0])
    assert (d.n, d.dropped) == (3, 2)
    assert d.diff == pytest.approx(1 / 3)


def test_nothing_to_compare_gives_no_numbers():
    """Without a complete pair there is no difference, not a zero."""
    d = paired_difference([NAN], [1.0])
    assert (d.n, d.dropped) == (0, 1)
    assert math.isnan(d.diff)
    assert math.isnan(d.p)
    with pytest.raises(UsageError, match="cannot be paired"):
        paired_difference([1.0], [1.0, 0.0])


def exact_p(differences):
    """The sign-flip p by listing every pattern."""
    seen = abs(sum(differences)) - 1e-9
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return sum(abs(total) >= seen for total in sums) / len(sums)


@given(st.lists(st.sampled_from([-1.0, -0.75, -0.25, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=8))
def test_sign_flip_p_is_exact_for_few_pairs(differences):
    """P equals the share found by listing all sign patterns."""
    d = paired_difference([0.0] * len(differences), differences, resamples=2)
    assert d.p == pytest.approx(exact_p(differences))


def counted_p(whole):
    """The sign-flip p of whole numbers, by a table of all sums."""
    table = {0: 1}
    for size in map(abs, whole):
        grown = {}
        for total, ways in table.items():
            for flipped in (total + size, total - size):
                grown[flipped] = grown.get(flipped, 0) + ways
        table = grown
    return sum(ways for total, ways in table.items() if abs(total) >= abs(sum(whole))) / 2 ** len(whole)


@given(st.integers(1, 12), st.data())
def test_sign_flip_p_is_exact_for_any_number_of_rollouts(k, data):
    """Means over k rollouts are thirds, sevenths, twelfths; p is that of the whole numbers behind them."""
    right = st.lists(st.integers(0, k), min_size=1, max_size=40)
    before = data.draw(right)
    after = data.draw(st.lists(st.integers(0, k), min_size=len(before), max_size=len(before)))
    whole = [b - a for a, b in zip(before, after, strict=True)]
    d = paired_difference([a / k for a in before], [b / k for b in after], resamples=2)
    assert d.p == pytest.approx(counted_p(whole), rel=1e-12)


counted = st.integers(1, 9).flatmap(lambda k: st.tuples(st.integers(0, k), st.integers(0, k), st.just(k)))


@given(st.lists(counted, min_size=1, max_size=12))
def test_sign_flip_p_is_exact_where_problems_have_other_numbers_of_rollouts(pairs):
    """A problem that lost rollouts has another denominator; p stays exact over the common one."""
    before, after = [a / k for a, _, k in pairs], [b / k for _, b, k in pairs]
    whole = [(b - a) * 2520 // k for a, b, k in pairs]
    assert paired_difference(before, after, resamples=2).p == pytest.approx(counted_p(whole), rel=1e-12)


counts = st.integers(1, 997).flatmap(lambda k: st.tuples(st.integers(0, k), st.just(k)))


@given(st.lists(st.tuples(counts, counts), min_size=1, max_size=8))
def test_sign_flip_p_of_few_problems_is_exact_whatever_their_denominators(pairs):
    """Where no table over a common denominator would fit, the patterns of few problems are still counted."""
    before, after = ([Fraction(*side) for side in sides] for sides in zip(*pairs, strict=True))
    differences = [b - a for a, b in zip(before, after, strict=True)]
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    exact = sum(abs(total) >= abs(sum(differences)) for total in sums) / len(sums)
    found = paired_difference([float(a) for a in before], [float(b) for b in after], resamples=2)
    assert found.p == pytest.approx(exact, rel=1e-12)


def test_four_gains_of_a_third_are_not_certain():
    """Four differences of 1/3 have p = 1/8, however 1/3 is rounded."""
    assert paired_difference([0.0] * 4, [1 / 3] * 4).p == 0.125
    assert paired_difference([1 / 3] * 4, [2 / 3] * 4).p == 0.125
    assert paired_difference([0.1, 0.2, 0.3], [0.2, 0.3, 0.4]).p == 0.25


def test_sign_flip_p_agrees_with_mcnemar():
    """For 0/1 scores, p is the exact McNemar test: 8 gained and 1 lost gives 20/512."""
    before = [0.0] * 8 + [1.0] + [1.0] * 10
    after = [1.0] * 8 + [0.0] + [1.0] * 10
    assert paired_difference(before, after).p == pytest.approx(20 / 512)


@pytest.mark.parametrize("k", [2, 3, 10])
def test_sign_flip_p_of_many_problems_is_that_of_the_table(k):
    """Where numbers are too many for a table in whole numbers, a transform counts the same patterns."""
    rng = random.Random(k)
    whole = [rng.choice([*range(-k, k + 1)] * 3 + [1]) for _ in range(2500)]
    middle = sum(map(abs, whole))
    chances = np.zeros(2 * middle + 1)
    chances[middle] = 1.0
    for size in filter(None, map(abs, whole)):
        chances = (np.roll(chances, size) + np.roll(chances, -size)) / 2
    seen = abs(sum(whole))
    exact = chances[: middle - seen + 1].sum() + chances[middle + seen :].sum()
    found = paired_difference([0.0] * 2500, [x / k for x in whole], resamples=2)
    assert 1e-9 < exact < 1
    assert found.p == pytest.approx(exact, rel=1e-6)


def test_no_p_of_many_problems_is_zero():
    """What a transform cannot tell from 0 is told as its limit; one size is counted whole."""
    thirds = [1 / 3, 2 / 3] * 1500
    assert paired_difference([0.0] * 3000, thirds, resamples=2).p == 1e-12
    assert 0 < paired_difference([0.0] * 900, [1.0] * 899 + [0.5], resamples=2).p < 1e-200


def test_resampling_many_problems_agrees_with_the_normal_interval():
    """Above a thousand problems the interval is that of the mean and its standard error."""
    values = [float(i % 3 == 0) for i in range(3000)]
    low, high = bootstrap_mean(values, seed=1)
    half = 1.96 * math.sqrt(2 / 9 / 3000)
    assert (low, high) == pytest.approx((1 / 3 - half, 1 / 3 + half), abs=0.002)
    assert bootstrap_mean(values, seed=1) == (low, high) != bootstrap_mean(values, seed=2)


def test_random_flips_agree_with_the_exact_test():
    """Where listing is too long, random flips come close to the normal approximation and never give 0."""
    rng = random.Random(5)
    differences = [rng.gauss(0.15, 1) for _ in range(150)]
    d = paired_difference([0.0] * 150, differences, resamples=2)
    z = abs(sum(differences)) / math.sqrt(sum(x * x for x in differences))
    assert d.p == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.02)
    assert paired_difference([0.0] * 150, [1 + x / 100 for x in differences], resamples=2).p > 0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=9))
def test_exchanging_the_sides_changes_the_sign_only(pairs):
    """Before and after are treated alike."""
    before, after = zip(*pairs, strict=True)
    there, back = paired_difference(before, after, resamples=50), paired_difference(after, before, resamples=50)
    assert there.diff == pytest.approx(-back.diff)
    assert there.p == pytest.approx(back.p)
    assert there.low <= there.high


def test_equal_differences_still_have_an_interval():
    """Three problems that all gained one point prove little; thirty prove it."""
    few, many = (paired_difference([0.0] * n, [1.0] * n) for n in (3, 30))
    assert few.low < 0 < few.high == 1.0
    assert "inside its noise" in describe(few)
    assert many.low > 0.7
    assert "better" in describe(many)


@pytest.mark.parametrize("gain", [-2 / 3, 0.0, 1 / 3, 1.0, 7.0])
def test_an_interval_of_equal_differences_reaches_beyond_them(gain):
    """Problems that were not met may differ by more than those that were, unless these differ by all there is."""
    found = paired_difference([0.0] * 4, [gain] * 4)
    assert found.low < gain
    assert found.high > gain or (found.high == gain and gain >= 1)
    assert max(abs(found.low), abs(found.high)) <= max(1.0, abs(gain)) + 1e-12
    same = paired_difference([0.5] * 9, [0.5] * 9)
    assert (same.diff, same.p) == (0, 1)
    # No change in 9 pairs still allows 3 in 10 to change, in either direction.
    assert same.high == -same.low == pytest.approx(1 - wilson(9, 9)[0])


def test_differences_are_described_in_words():
    """Words say the size in points, what was left out, and whether it is noise."""
    worse = paired_difference([1.0] * 20 + [NAN], [0.0] * 15 + [1.0] * 6)
    assert describe(worse).startswith("-75.0 points [")
    assert "n=20, 1 left out" in describe(worse)
    assert describe(worse).endswith("worse than before")
    assert describe(paired_difference([0, 1, 0, 1], [1, 0, 0, 1])).endswith("inside its noise")
    assert "nothing can be said" in describe(paired_difference([NAN], [1.0]))


def test_power_note_says_what_can_be_seen():
    """The note gives points for n and sd, and says what it assumed."""
    assert power_note(30, 0.176).startswith("at n=30 you can see 9 points;")
    assert "one rollout per problem" in power_note(30)
    assert "0.5 points" in power_note(5000, 0.12)
    assert "nothing" in power_note(1)
    assert power_note(2) == "at n=2 not even the largest difference there can be would show; use more problems"


def test_visible_differences_are_found_with_the_power_they_say():
    """A true difference of that size is found by the t interval in about 80% of simulations."""
    rng = random.Random(2)
    size = visible_difference(25, 0.3)
    found = sum(mean_interval([rng.gauss(size, 0.3) for _ in range(25)])[0] > 0 for _ in range(400))
    assert 0.74 <= found / 400 <= 0.87
