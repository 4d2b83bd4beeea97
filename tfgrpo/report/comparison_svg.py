"""The picture of a comparison of methods: one line each, its interval over test problems, and every seed as a dot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from tfgrpo.report.svg import Scale, element, extent, path, scale, ticks

WIDTH, LEFT, RIGHT, LINE, TOP = 720, 150, 24, 26, 16

Bar = tuple[str, float, tuple[float, float], Sequence[float]]
"""Name, mean, interval, and the value of each seed."""


def methods_svg(bars: Sequence[Bar]) -> str:
    """Return an SVG document; the axis spans all intervals and dots."""
    low, high = extent([value for _, mean, interval, dots in bars for value in (mean, *interval, *dots)])
    across = scale(low, high, LEFT, WIDTH - RIGHT)
    bottom = TOP + LINE * len(bars)
    grid = [element("line", x1=across(t), x2=across(t), y1=TOP, y2=bottom, stroke="#ddd") for t in ticks(low, high)]
    names = [
        element("text", f"{t:g}", x=across(t), y=bottom + 18, text_anchor="middle", fill="#555")
        for t in ticks(low, high)
    ]
    lines = [part for i, bar in enumerate(bars) for part in _line(bar, TOP + LINE * (i + 0.5), across)]
    height = bottom + 30
    drawn = element(
        "svg",
        element("title", "Test reward by method: mean, 95% interval over test problems, and each seed"),
        *grid, *names, *lines,
        xmlns="http://www.w3.org/2000/svg", width=WIDTH, height=height, viewBox=f"0 0 {WIDTH} {height}",
        font_family="sans-serif", font_size=13,
    )  # fmt: skip
    return str(drawn) + "\n"


Curve = tuple[str, Sequence[Sequence[float | None]]]
"""Name, and the mean reward of the learning rollouts step by step, for each seed."""
HALF, HIGH = 330, 84


def curves_svg(curves: Sequence[Curve]) -> str:
    """Return an SVG document with the learning curve of each method: seeds in pale, their mean in full."""
    known = [r for _, seeds in curves for seed in seeds for r in seed if r is not None]
    low, high = extent(known, include=(0.0,))
    steps = max((len(seed) for _, seeds in curves for seed in seeds), default=0)
    drawn = [_panel(curve, i, (low, high), steps) for i, curve in enumerate(curves)]
    height = (len(curves) + 1) // 2 * (HIGH + 26) + 6
    svg = element(
        "svg",
        element("title", "Reward of the learning rollouts by step, for each method: every seed, and their mean"),
        *drawn,
        xmlns="http://www.w3.org/2000/svg", width=2 * HALF + 60, height=height,
        viewBox=f"0 0 {2 * HALF + 60} {height}", font_family="sans-serif", font_size=12,
    )  # fmt: skip
    return str(svg) + "\n"


def _panel(curve: Curve, place: int, bounds: tuple[float, float], steps: int) -> Markup:
    name, seeds = curve
    left, top = 30 + place % 2 * (HALF + 20), 20 + place // 2 * (HIGH + 26)
    x, y = scale(0, max(steps - 1, 1), left + 30, left + HALF - 10), scale(*bounds, top + HIGH, top)
    grid = [element("line", x1=left + 30, x2=left + HALF - 10, y1=y(t), y2=y(t), stroke="#ddd") for t in bounds]
    marks = [element("text", f"{t:.2g}", x=left + 24, y=y(t) + 4, text_anchor="end", fill="#555") for t in bounds]
    lines = [_trace(seed, x, y, "#92c5de", 1) for seed in seeds]
    means = [_mean([seed[t] for seed in seeds if t < len(seed)]) for t in range(steps)]
    title = element("text", name, x=left + 30, y=top - 5, fill="#222")
    return element("g", *grid, *marks, *lines, _trace(means, x, y, "#2166ac", 2.5), title)


def _trace(values: Sequence[float | None], x: Scale, y: Scale, colour: str, width: float) -> Markup:
    points = [(x(t), y(value)) for t, value in enumerate(values) if value is not None]
    if len(points) == 1:
        return element("circle", cx=points[0][0], cy=points[0][1], r=width + 1, fill=colour)
    return element("path", d=path(points) if points else "", fill="none", stroke=colour, stroke_width=width)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _line(bar: Bar, y: float, across: Scale) -> Iterator[Markup]:
    name, mean, (low, high), dots = bar
    yield element("text", name, x=LEFT - 12, y=y + 4, text_anchor="end", fill="#222")
    if low == low and high == high:  # noqa: PLR0124 - nan is not equal to itself
        yield element("line", x1=across(low), x2=across(high), y1=y, y2=y, stroke="#2166ac", stroke_width=2)
    for dot in dots:
        yield element("circle", cx=across(dot), cy=y, r=3, fill="#92c5de")
    yield element("circle", cx=across(mean), cy=y, r=5, fill="#2166ac")
