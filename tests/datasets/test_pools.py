"""What each problem is for: learning, proving, and the figure that nothing was chosen on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.datasets import learning_and_heldout, outlook, pools_of, share_of, without
from tfgrpo.types import Problem


def problems(count, prefix="p"):
    """So many different problems."""
    return tuple(Problem(f"{prefix}{i}", f"What is {i} and {prefix}?", str(i)) for i in range(count))


def test_few_held_out_problems_make_all_of_them_prove():
    """Below 64 the pool is every problem; nothing is left untouched."""
    found = pools_of(problems(42), problems(18, "h"), 0)
    assert found.cross_fitted
    assert {p.id for p in found.proving} == {p.id for p in (*problems(42), *problems(18, "h"))}
    assert found.untouched == ()


def test_many_leave_a_third_untouched():
    """From 96 on a third never meets the gate; which one depends on seed and ids alone."""
    heldout = problems(120, "h")
    found = pools_of(problems(10), heldout, 7)
    assert len(found.untouched) == 40
    assert not {p.id for p in found.untouched} & {p.id for p in found.proving}
    assert len(found.proving) == 80
    assert pools_of(problems(10), heldout[::-1], 7).untouched == found.untouched[::-1]


def test_between_them_the_held_out_problems_prove():
    """Enough for the gate, too few to give any away."""
    found = pools_of(problems(10), problems(70, "h"), 0)
    assert (len(found.proving), found.untouched, found.cross_fitted) == (70, (), False)


def test_sources_and_their_twins_prove_nothing():
    """A problem that says the same as a source is left out with it."""
    twin = Problem("t", "WHAT IS 3 AND P", "3")
    left = without((*problems(6), twin), {"p3"})
    assert [p.id for p in left] == ["p0", "p1", "p2", "p4", "p5"]
    assert without(problems(6), set()) == problems(6)


@pytest.mark.parametrize(("count", "share"), [(10, 0.2), (60, 0.2), (100, 0.3), (2000, 0.3), (20000, 0.03)])
def test_the_share_follows_the_size(count, share):
    """A small set keeps less back, a large one no more than sharpens a verdict."""
    assert share_of("auto", count) == share
    assert share_of("0.5", count) == 0.5
    assert share_of("held.jsonl", count) is None


def test_auto_is_a_share():
    """The default of the command."""
    learning, heldout = learning_and_heldout(problems(60), "auto", seed=0)
    assert (len(learning), len(heldout)) == (48, 12)


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_outlook_is_one_sentence(learning, heldout):
    """Whatever the sizes, what can be shown is said without a fault."""
    said = outlook(pools_of(problems(learning), problems(heldout, "h"), 0))
    assert said
    assert "nan" not in said
    assert "inf" not in said


@pytest.mark.parametrize(("heldout", "touched", "points"), [(64, 12, 35), (90, 18, 28), (480, 64, 18), (510, 68, 18)])
def test_visits_of_one_problem_are_no_new_problems(heldout, touched, points):
    """What can be shown follows the number of different problems, not of pairs: 12 met four times are 12."""
    said = outlook(pools_of((), problems(heldout, "h"), 0))
    assert f"one that acts on {touched} of them shows from about {points} points there" in said


def test_no_more_points_are_named_than_there_are():
    """Two problems show nothing, and that is what is said of them, not a difference above 100 points."""
    said = outlook(pools_of((), problems(3, "h"), 0))
    assert "one that acts on 1 of them cannot show there" in said
