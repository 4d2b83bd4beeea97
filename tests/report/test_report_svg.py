"""Plots: scales that do not lie, lines that do not bridge gaps, texts that cannot break out."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_stores import ATTACKS

from tfgrpo.report import svg
from tfgrpo.report.data import Headline, Point

FINITE = st.floats(-1e6, 1e6)


def point(step: int, reward: float | None, *, epoch: int = 0, after: int = 0) -> Point:
    """One step of a curve."""
    ends = (None, None) if reward is None else (reward - 0.1, reward + 0.1)
    return Point(step, epoch, reward, *ends, 3, 0, after, {}, {}, {})


@settings(deadline=None)
@given(FINITE, FINITE, st.integers(4, 10))
def test_ticks_are_few_and_inside(low, high, most):
    """Every tick lies in the range, in order, and there are no more than asked for."""
    found = svg.ticks(low, high, most)
    assert 1 <= len(found) <= most or high - low < 1e-9
    assert list(found) == sorted(found)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert all(low - slack <= t <= high + slack for t in found) or high <= low


def test_ticks_are_round():
    """Steps are 1, 2 or 5 times a power of ten, and zero is not minus zero."""
    assert svg.ticks(0, 1) == (0, 0.2, 0.4, 0.6, 0.8, 1)
    assert svg.ticks(-0.1, 0.9, 4) == (0, 0.5)
    assert [math.copysign(1, t) for t in svg.ticks(-0.05, 0.05, 3)][1:] == [1, 1]


@settings(deadline=None)
@given(FINITE, FINITE, FINITE)
def test_a_scale_maps_ends_to_ends(low, high, value):
    """Both ends of the range land on both ends of the axis; an empty range lands in the middle."""
    at = svg.scale(low, high, 10, 110)
    if low == high:
        assert at(value) == 60
    else:
        assert at(low) == 10
        assert at(high) == pytest.approx(110)


def test_the_extent_ignores_what_is_unknown():
    """None and nan make no axis; one value alone still does."""
    assert svg.extent([None, math.nan, 0.2, 0.6]) == (0.2, 0.6)
    assert svg.extent([None]) == (0.0, 1.0)
    assert svg.extent([3.0]) == (2.5, 3.5)
    assert svg.extent([0.4], include=(0.0, 1.0)) == (0.0, 1.0)


def test_a_path_starts_once():
    """The first point moves, the others draw; no point draws nothing."""
    assert svg.path([(0, 1), (2, 3), (4, 5)]) == "M0.0 1.0 L2.0 3.0 L4.0 5.0"
    assert svg.path([]) == ""


def test_a_line_does_not_bridge_a_step_without_reward():
    """A gap in the data is a gap in the picture."""
    points = [point(0, 0.1), point(1, 0.2), point(2, None), point(3, 0.4)]
    assert [[i for i, _ in stretch] for stretch in svg.runs(points)] == [[0, 1], [3]]
    drawn = ET.fromstring(svg.learning_curve(points, Headline("")))
    assert [e.get("d").count("L") for e in drawn.iter("path") if e.get("class") == "line"] == [1, 0]


def test_the_curve_shows_epochs_versions_and_held_out_ends():
    """Where the library changed and a new epoch began is marked; both held-out values are diamonds."""
    points = [point(i, 0.5, epoch=i // 2, after=int(i == 1)) for i in range(4)]
    told = Headline("", (), 0.2, (0.1, 0.3), 0.6, (0.5, 0.7), 0.4, (0.3, 0.5), 10, 0.01, "better")
    drawn = ET.fromstring(svg.learning_curve(points, told))
    classes = [e.get("class") for e in drawn.iter()]
    assert classes.count("diamond") == 2
    assert classes.count("epoch") == 1
    assert classes.count("version") == 1
    assert {"epoch 2", "v1", "before", "after"} <= {e.text for e in drawn.iter("text")}


@pytest.mark.parametrize("count", [0, 1, 200])
def test_a_curve_of_any_length_is_drawn_inside_its_box(count):
    """No coordinate leaves the picture, however few or many steps there are."""
    drawn = ET.fromstring(svg.learning_curve([point(i, i / 200) for i in range(count)], Headline("")))
    for e in drawn.iter():
        for name, most in (
            ("x", svg.WIDTH),
            ("cx", svg.WIDTH),
            ("x1", svg.WIDTH),
            ("y", svg.HEIGHT),
            ("cy", svg.HEIGHT),
        ):
            assert 0 <= float(e.get(name, 0)) <= most
    assert sum(e.text is not None and e.text.isdecimal() for e in drawn.iter("text")) <= svg.MOST_LABELS + 6


def test_an_interval_beyond_its_axis_ends_in_arrows():
    """What does not fit is not drawn as if it did."""
    inside = ET.fromstring(svg.interval(0.1, 0.0, 0.2, (-1.0, 1.0)))
    beyond = ET.fromstring(svg.interval(0.1, -3.0, 4.0, (-1.0, 1.0)))
    assert not list(inside.iter("path"))
    assert len(list(beyond.iter("path"))) == 2


@pytest.mark.parametrize(("low", "high", "tone"), [(0.1, 0.3, "good"), (-0.3, -0.1, "bad"), (-0.1, 0.3, "open")])
def test_a_tone_is_earned_by_the_interval(low, high, tone):
    """Only an interval on one side of zero is good or bad."""
    assert f"dot {tone}" in svg.interval(0.1, low, high, (-1.0, 1.0))


def test_a_missing_estimate_draws_no_dot():
    """Nothing measured is nothing shown."""
    assert "circle" not in svg.interval(None, None, None, (-1.0, 1.0))


@pytest.mark.parametrize("attack", ATTACKS[:4])
def test_texts_and_attributes_are_escaped(attack):
    """Whatever a label says, it stays one text in one element."""
    made = ET.fromstring(svg.element("g", svg.element("text", attack), class_=attack))
    assert made.get("class") == attack
    assert made[0].text == attack
    assert len(list(made.iter())) == 2
