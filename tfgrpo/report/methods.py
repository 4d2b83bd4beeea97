"""The picture of a comparison of methods: one line each, its interval over test problems, and every seed as a dot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from tfgrpo.report.svg import Scale, element, extent, scale, ticks

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


def _line(bar: Bar, y: float, across: Scale) -> Iterator[Markup]:
    name, mean, (low, high), dots = bar
    yield element("text", name, x=LEFT - 12, y=y + 4, text_anchor="end", fill="#222")
    if low == low and high == high:  # noqa: PLR0124 - nan is not equal to itself
        yield element("line", x1=across(low), x2=across(high), y1=y, y2=y, stroke="#2166ac", stroke_width=2)
    for dot in dots:
        yield element("circle", cx=across(dot), cy=y, r=3, fill="#92c5de")
    yield element("circle", cx=across(mean), cy=y, r=5, fill="#2166ac")
