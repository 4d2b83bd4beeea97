"""Small plots as inline SVG: geometry in pure functions, colours in the page's style sheet, every text escaped.

Lengths are SVG user units, which are CSS pixels where a plot is shown at its natural size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from markupsafe import Markup, escape

from tfgrpo.report.data import Headline, Point

Scale = Callable[[float], float]

WIDTH, HEIGHT = 720, 280
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 30, 40
MOST_LABELS = 20
"""Steps that get a number below the axis."""


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return an element; underscores in names become hyphens, and a trailing one is dropped (`class_`)."""
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for name, value in attributes.items()
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup(f"<{tag}{told}>{inside}</{tag}>")  # noqa: S704 - the tag is ours, all else is escaped


def _short(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """Return the linear map of [low, high] to [start, end]; an empty range maps to the middle."""
    if high == low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Return round numbers in [low, high], at steps of 1, 2 or 5 times a power of ten.

    At most `most` of them, and at least one if that is 4 or more.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return (low,)
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(s * power for s in (1, 2, 5, 10, 20) if (high - low) / (s * power) <= most - 1 + 1e-9)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(round(i * step, 12) + 0.0 for i in range(first, last + 1))


def extent(values: Iterable[float | None], *, include: Sequence[float] = ()) -> tuple[float, float]:
    """Return the smallest range that holds all known values and `include`; (0, 1) for none."""
    known = [v for v in values if v is not None and math.isfinite(v)] + list(include)
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def path(points: Iterable[tuple[float, float]]) -> str:
    """Return the `d` of a line through points; '' for none."""
    return " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))


def runs(points: Sequence[Point]) -> list[list[tuple[int, Point]]]:
    """Return the unbroken stretches of measured steps: a line never bridges a step without a reward."""
    numbered = list(enumerate(points))
    stretches = groupby(numbered, key=lambda at: at[1].reward is not None)
    return [list(stretch) for measured, stretch in stretches if measured]


def interval(
    estimate: float | None,
    low: float | None,
    high: float | None,
    axis: tuple[float, float],
    *,
    zero: bool = True,
    hollow: bool = False,
    width: int = 200,
) -> Markup:
    """Return one line of a forest plot: a dot with its interval on an axis, and a line at zero.

    Ends outside the axis become arrows. `hollow` marks a measurement of several lessons together.
    """
    at = scale(*axis, 8, width - 8)
    parts = [element("line", x1=8, x2=width - 8, y1=12, y2=12, class_="rail")]
    if zero and axis[0] <= 0 <= axis[1]:
        parts.append(element("line", x1=at(0), x2=at(0), y1=1, y2=23, class_="zero"))
    tone = _tone(low, high) if zero else "level"
    if low is not None and high is not None:
        a, b = (at(min(max(end, axis[0]), axis[1])) for end in (low, high))
        parts.append(element("line", x1=a, x2=b, y1=12, y2=12, class_=f"whisker {tone}"))
        parts += [_end(x, end, axis, tone) for x, end in ((a, low), (b, high))]
    if estimate is not None:
        x = at(min(max(estimate, axis[0]), axis[1]))
        parts.append(element("circle", cx=x, cy=12, r=4.5, class_=f"dot {tone}{' hollow' if hollow else ''}"))
    return element(
        "svg", *parts, viewBox=f"0 0 {width} 24", width=width, height=24, class_="interval", aria_hidden="true"
    )


def _tone(low: float | None, high: float | None) -> str:
    if low is not None and low > 0:
        return "good"
    return "bad" if high is not None and high < 0 else "open"


def _end(x: float, end: float, axis: tuple[float, float], tone: str) -> Markup:
    if axis[0] <= end <= axis[1]:
        return element("line", x1=x, x2=x, y1=8, y2=16, class_=f"whisker {tone}")
    tip = x + (4 if end > axis[1] else -4)
    return element("path", d=path([(x, 8), (tip, 12), (x, 16)]), class_=f"whisker {tone}", fill="none")


def axis(bounds: tuple[float, float], width: int = 200) -> Markup:
    """Return the numbers above a forest plot."""
    at = scale(*bounds, 8, width - 8)
    labels = [_text(at(v), 12, _label(v), "middle") for v in ticks(*bounds, most=4)]
    return element("svg", *labels, viewBox=f"0 0 {width} 16", width=width, height=16, class_="axis", aria_hidden="true")


def bar(share: float, tone: str, width: int = 160) -> Markup:
    """Return a horizontal bar of `share` in [0, 1]."""
    long = max(share, 0.0) * width
    rail = element("rect", x=0, y=2, width=width, height=10, class_="rail")
    filled = element("rect", x=0, y=2, width=max(long, 1.5) if share > 0 else 0, height=10, class_=f"bar {tone}")
    return element(
        "svg", rail, filled, viewBox=f"0 0 {width} 14", width=width, height=14, class_="share", aria_hidden="true"
    )


def learning_curve(points: Sequence[Point], headline: Headline) -> Markup:
    """Return mean rollout reward per step with its interval, held-out reward at both ends, epochs and versions."""
    ends = (headline.before, *headline.before_ci, headline.after, *headline.after_ci)
    values = [v for at in points for v in (at.reward, at.low, at.high)]
    low, high = extent([*values, *ends], include=(0.0, 1.0))
    y = scale(low, high, HEIGHT - BOTTOM, TOP)
    # A place before the first step and one after the last are for the held-out values.
    x = scale(-1, len(points), LEFT + 14, WIDTH - RIGHT - 14)
    parts = [*_grid(low, high, y), *_epochs(points, x), *_bands(points, x, y), *_versions(points, x)]
    parts += _diamond(x(-1), headline.before, headline.before_ci, y)
    parts += _diamond(x(len(points)), headline.after, headline.after_ci, y)
    parts += _steps(points, x)
    label = f"Learning curve over {len(points)} steps; the table below it has the numbers."
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="curve", role="img", aria_label=label)


def _grid(low: float, high: float, y: Scale) -> list[Markup]:
    rules = []
    for value in ticks(low, high):
        rules.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), class_="grid"))
        rules.append(_text(LEFT - 8, y(value) + 4, _label(value), "end"))
    return rules


def _epochs(points: Sequence[Point], x: Scale) -> list[Markup]:
    parts = []
    for i, at in enumerate(points):
        if i and at.epoch != points[i - 1].epoch:
            parts.append(element("line", x1=x(i - 0.5), x2=x(i - 0.5), y1=TOP, y2=HEIGHT - BOTTOM, class_="epoch"))
            parts.append(_text(x(i - 0.5) + 4, HEIGHT - BOTTOM - 6, f"epoch {at.epoch + 1}", "start"))
    return parts


def _bands(points: Sequence[Point], x: Scale, y: Scale) -> list[Markup]:
    parts = []
    for stretch in runs(points):
        sure = [(i, at) for i, at in stretch if at.low is not None and at.high is not None]
        edge = [(x(i), y(at.high or 0)) for i, at in sure] + [(x(i), y(at.low or 0)) for i, at in reversed(sure)]
        if len(sure) > 1:
            parts.append(element("path", d=path(edge) + " Z", class_="band"))
        for i, at in sure:
            parts.append(element("line", x1=x(i), x2=x(i), y1=y(at.low or 0), y2=y(at.high or 0), class_="error"))
        line = [(x(i), y(at.reward or 0)) for i, at in stretch]
        parts.append(element("path", d=path(line), class_="line", fill="none"))
        for (i, at), (left, top) in zip(stretch, line, strict=True):
            told = element("title", f"step {at.step + 1}: {at.reward:.3f}, {at.problems} problems")
            parts.append(element("circle", told, cx=left, cy=top, r=3.5 if i < 60 else 2, class_="dot level"))
    return parts


def _versions(points: Sequence[Point], x: Scale) -> list[Markup]:
    """Mark where the library changed: the steps after the mark saw the new version."""
    parts = []
    last = -math.inf
    for i, at in enumerate(points):
        if at.version_after != at.version_before:
            place = x(i + 0.5) if i + 1 < len(points) else x(i) + 8
            parts.append(element("line", x1=place, x2=place, y1=TOP - 8, y2=TOP, class_="version"))
            if place - last > 26:
                parts.append(_text(place, TOP - 12, f"v{at.version_after}", "middle"))
                last = place
    return parts


def _steps(points: Sequence[Point], x: Scale) -> list[Markup]:
    every = max(1, math.ceil(len(points) / MOST_LABELS))
    base = HEIGHT - BOTTOM + 16
    labels = [_text(x(i), base, str(at.step + 1), "middle") for i, at in enumerate(points) if not i % every]
    labels += [_text(x(-1), base, "before", "middle"), _text(x(len(points)), base, "after", "middle")]
    return [*labels, _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "step", "middle")]


def _diamond(x: float, value: float | None, ends: tuple[float | None, float | None], y: Scale) -> list[Markup]:
    if value is None:
        return []
    parts = []
    if ends[0] is not None and ends[1] is not None:
        parts.append(element("line", x1=x, x2=x, y1=y(ends[0]), y2=y(ends[1]), class_="whisker heldout"))
    corners = [(x, y(value) - 6), (x + 6, y(value)), (x, y(value) + 6), (x - 6, y(value))]
    told = element("title", f"held-out: {value:.3f}")
    return [*parts, element("path", told, d=path(corners) + " Z", class_="diamond")]


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return element("text", words, x=float(x), y=float(y), text_anchor=anchor)


def _label(value: float) -> str:
    return f"{value:g}".replace("-", "−")
