"""Spending the error rate of a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.errors import UsageError
from tfgrpo.gates import Alpha


def levels(rule, outcomes):
    """The level of each test."""
    state, found = Alpha(0.05, rule), []
    for accepted in outcomes:
        found.append(state.level)
        state = state.after(accepted)
    return found


def test_fixed_rule_gives_every_test_the_same_level():
    """Alpha per edit does not depend on the past."""
    assert levels("fixed", [True, False, True]) == [0.05] * 3


def test_e_lond_earns_level_by_accepting():
    """The t-th level is alpha / (t (t + 1)) times one more than the number accepted."""
    assert levels("e-lond", [False, False, False]) == pytest.approx([0.05 / 2, 0.05 / 6, 0.05 / 12])
    assert levels("e-lond", [True, True, False]) == pytest.approx([0.05 / 2, 2 * 0.05 / 6, 3 * 0.05 / 12])


@given(st.integers(1, 300))
def test_e_lond_spends_at_most_alpha_when_nothing_is_accepted(n):
    """Without discoveries the levels sum to less than alpha, so the chance of any false accept is below it."""
    assert sum(levels("e-lond", [False] * n)) < 0.05


@pytest.mark.parametrize(("alpha", "rule"), [(0.0, "fixed"), (1.0, "fixed"), (0.05, "bonferroni")])
def test_impossible_settings_are_refused(alpha, rule):
    """A level outside (0, 1) or an unknown rule is a usage error."""
    with pytest.raises(UsageError, match="alpha"):
        Alpha(alpha, rule)
