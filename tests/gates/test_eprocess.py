"""The betting test and its interval."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.gates.eprocess import BETS, Capitals, Outcome, decide, fold, interval, log_mean_exp, update

difference = st.floats(-1, 1)
differences = st.lists(difference, max_size=40)
exact = st.lists(st.fractions(-1, 1, max_denominator=8), max_size=12)


def reference(ds, delta=Fraction(1, 20)):
    """The three E values as exact fractions, straight from their definition."""
    bets = [Fraction(i, 10) for i in range(1, 10)]
    better = sum(math.prod((1 + bet * d for d in ds), start=Fraction(1)) for bet in bets) / 9
    worse = sum(math.prod((1 - bet * d for d in ds), start=Fraction(1)) for bet in bets) / 9
    futile = sum(math.prod((1 + bet * (delta - d) for d in ds), start=Fraction(1)) for bet in bets) / 9
    return float(better), float(worse), float(futile)


@pytest.mark.slow
@given(exact)
def test_e_values_equal_a_slow_exact_reference(ds):
    """The log-domain fold agrees with exact products of fractions."""
    capitals = fold(map(float, ds))
    found = (capitals.e_better, capitals.e_worse, capitals.e_futile)
    assert found == pytest.approx(reference(ds), rel=1e-9)


def test_known_values():
    """One full win gives the mean factor 1.5, one full loss .5, and no pair gives 1."""
    assert fold([]).e_better == fold([]).e_worse == fold([]).e_futile == 1
    assert fold([1.0]).e_better == pytest.approx(1.5)
    assert fold([1.0]).e_worse == pytest.approx(0.5)
    assert fold([-1.0]).e_futile == pytest.approx(1 + 0.5 * 1.05)
    assert fold([1.0] * 7).e_better == pytest.approx(sum(i**7 for i in range(11, 20)) / 9e7)


def test_seven_wins_in_a_row_are_the_fewest_that_accept():
    """Six wins without a loss are not enough evidence at alpha .05, seven are."""
    assert fold([1.0] * 6).e_better < 20 < fold([1.0] * 7).e_better


@given(differences, difference)
def test_betting_on_the_next_pair_is_fair_under_its_null(ds, d):
    """The capital does not change on average over a swap of the two sides, which is what makes it a martingale."""
    now = fold(ds)
    for side in ("e_better", "e_worse"):
        mean = (getattr(update(now, d), side) + getattr(update(now, -d), side)) / 2
        assert mean == pytest.approx(getattr(now, side), rel=1e-9)


@given(differences)
def test_better_and_worse_mirror_each_other(ds):
    """Swapping the two sides swaps the two E values."""
    assert fold(ds).e_better == pytest.approx(fold([-d for d in ds]).e_worse)


@given(differences, st.randoms())
def test_order_within_a_look_does_not_matter(ds, chance):
    """The E values are symmetric in the differences."""
    shuffled = ds.copy()
    chance.shuffle(shuffled)
    assert fold(shuffled).e_better == pytest.approx(fold(ds).e_better, rel=1e-9)


def test_long_runs_do_not_overflow():
    """Capital stays finite over many thousand wins."""
    assert math.isfinite(fold([1.0] * 5000).e_better)
    assert fold([1.0] * 5000).e_worse < 1e-100


@pytest.mark.parametrize("d", [1.01, -2.0, math.nan, math.inf])
def test_difference_out_of_range_is_refused(d):
    """A difference outside [-1, 1] would break the guarantee, so it is an error."""
    with pytest.raises(ValueError, match="paired difference"):
        update(Capitals(), d)


def test_decision_takes_the_first_threshold_reached():
    """Better asks for 1/alpha, worse and futile for 10, and nothing reached leaves it open."""
    assert decide(fold([1.0] * 7)) is Outcome.BETTER
    assert decide(fold([1.0] * 7), accept=1000) is Outcome.OPEN
    assert decide(fold([-1.0] * 6)) is Outcome.WORSE
    assert decide(fold([0.0] * 90)) is Outcome.FUTILE
    assert decide(fold([0.0] * 10)) is Outcome.OPEN


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=9))
def test_log_mean_exp_lies_between_smallest_and_largest(values):
    """A mean of exponentials lies between its extremes."""
    assert min(values) - 1e-9 <= log_mean_exp(values) <= max(values) + 1e-9


@given(differences)
def test_interval_holds_the_mean_and_stays_in_range(ds):
    """The sample mean is never refuted by its own data."""
    low, high = interval(ds)
    assert -1 <= low <= high <= 1
    if ds:
        assert low - 1e-6 <= math.fsum(ds) / len(ds) <= high + 1e-6


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=1, max_size=40))
def test_interval_excludes_zero_exactly_when_e_reaches_forty(ds):
    """The interval and the test speak with one voice: 40 = 2/alpha of the two-sided interval."""
    low, high = interval(ds)
    capitals = fold(ds)
    assert (low > 0) == (capitals.e_better > 40) or abs(low) < 1e-6
    assert (high < 0) == (capitals.e_worse > 40) or abs(high) < 1e-6


@given(differences)
def test_interval_mirrors(ds):
    """Swapping the two sides negates the interval."""
    low, high = interval(ds)
    other_low, other_high = interval([-d for d in ds])
    assert (other_low, other_high) == pytest.approx((-high, -low), abs=1e-6)


def first_crossing(chance, draw, n, look=16):
    """Whether a sequence of n draws is ever accepted at a look."""
    capitals = Capitals()
    for i in range(1, n + 1):
        capitals = update(capitals, draw(chance))
        if i % look == 0:
            outcome = decide(capitals)
            if outcome is not Outcome.OPEN:
                return outcome
    return Outcome.OPEN


@pytest.mark.parametrize("discordant", [0.12, 0.17, 0.51])
@pytest.mark.parametrize("look", [1, 16])
def test_false_accepts_stay_below_alpha_with_peeking(discordant, look):
    """Under the hardest nulls, wins as frequent as losses, at most 5% are ever accepted, however often one looks."""

    def draw(chance):
        return chance.choice((1.0, -1.0)) if chance.random() < discordant else 0.0

    chance = random.Random(int(discordant * 100) + look)
    runs = 400
    accepted = sum(first_crossing(chance, draw, 128, look) is Outcome.BETTER for _ in range(runs))
    assert accepted / runs <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / runs)


def test_half_a_point_is_seen_within_64_pairs():
    """An effect of +.5 with discordance .6 is accepted nearly always."""

    def draw(chance):
        u = chance.random()
        return 1.0 if u < 0.55 else -1.0 if u < 0.6 else 0.0

    chance = random.Random(5)
    outcomes = [first_crossing(chance, draw, 64) for _ in range(200)]
    assert outcomes.count(Outcome.BETTER) >= 196


def test_interval_covers_the_mean_at_the_stopping_time():
    """Stopping when it looks good does not spoil the interval."""
    chance = random.Random(7)
    covered = 0
    for _ in range(200):
        ds, capitals = [], Capitals()
        while len(ds) < 96 and decide(capitals) is Outcome.OPEN:
            ds.append(1.0 if (u := chance.random()) < 0.3 else -1.0 if u < 0.5 else 0.0)
            capitals = update(capitals, ds[-1])
        low, high = interval(ds)
        covered += low <= 0.1 <= high
    assert covered >= 190


def test_bets_are_the_nine_tenths():
    """The grid is .1 to .9, so no factor ever reaches zero."""
    assert pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) == list(BETS)
