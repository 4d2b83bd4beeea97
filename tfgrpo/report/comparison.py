"""A comparison of methods as one HTML file that loads nothing: the table, what must be known of it, and two plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tfgrpo.report.comparison_svg import curves_svg, methods_svg
from tfgrpo.report.page import assets, environment
from tfgrpo.version import __version__


def picture(summary: Mapping[str, Any]) -> str:
    """Return the test reward by method as an SVG document.

    Args:
        summary: what `tfgrpo compare --json` prints.
    """
    known = [row for row in summary["methods"] if row["reward"] is not None]
    return methods_svg(
        [(row["method"], row["reward"], _ends(row["ci"]), _dots(summary, row["method"])) for row in known]
    )


def to_html(summary: Mapping[str, Any], notes: Sequence[str]) -> str:
    """Return the page of a comparison.

    Args:
        summary: what `tfgrpo compare --json` prints.
        notes: sentences that belong to the table.
    """
    names = [row["method"] for row in summary["methods"]]
    curves = [(name, [c["curve"] for c in summary["cells"] if c["method"] == name and c["curve"]]) for name in names]
    page = environment().get_template("comparison.html.jinja")
    return page.render(
        summary=summary,
        notes=notes,
        tool=__version__,
        picture=Markup(picture(summary)),  # noqa: S704 - our own, escaped part by part
        curves=Markup(curves_svg([curve for curve in curves if curve[1]])),  # noqa: S704
        **assets(),
    )


def _dots(summary: Mapping[str, Any], method: str) -> list[float]:
    return [c["reward"] for c in summary["cells"] if c["method"] == method and c["reward"] is not None]


def _ends(ci: Sequence[float | None]) -> tuple[float, float]:
    low, high = (math.nan if end is None else end for end in ci)
    return low, high
