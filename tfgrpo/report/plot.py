"""The report's learning curve as a picture of its own: SVG, PNG, or a Vega-Lite description for other tools."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tfgrpo import stats
from tfgrpo.errors import UsageError
from tfgrpo.report import numbers, svg
from tfgrpo.report.data import Point
from tfgrpo.types import Step

STYLE = """<style>
svg{font:12px system-ui,sans-serif;fill:#222} .grid{stroke:#ddd} .band{fill:#2a78d6;opacity:.15} .line{stroke:#2a78d6;
stroke-width:2;fill:none} .dot{fill:#2a78d6} .diamond{fill:#222} .whisker{stroke:#222} .epoch,.version{stroke:#bbb;
stroke-dasharray:3 3}
</style>"""
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture, and the rows that it shows."""

    svg: str
    rows: tuple[Mapping[str, Any], ...]

    def __repr__(self) -> str:
        """Return one line."""
        return f"Plot({len(self.rows)} points; .svg, .png(), .vega_lite(), .save(FILE))"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return self.svg

    def vega_lite(self) -> dict[str, Any]:
        """Return the same as a Vega-Lite description, data included."""
        x = {"field": "step", "type": "ordinal"}
        lines = {
            "mark": {"type": "line", "point": True},
            "encoding": {"y": {"field": "reward", "type": "quantitative"}},
        }
        band = {
            "mark": {"type": "errorband"},
            "encoding": {"y": {"field": "low", "type": "quantitative", "title": "reward"}, "y2": {"field": "high"}},
        }
        colour = {"field": "series", "type": "nominal"}
        return {
            "$schema": SCHEMA,
            "data": {"values": [dict(row) for row in self.rows]},
            "encoding": {"x": x, "color": colour},
            "layer": [band, lines],
        }

    def png(self, scale: float = 2.0) -> bytes:
        """Return the picture as PNG; raises UsageError where the package cairosvg is not installed."""
        try:
            import cairosvg  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise UsageError("PNG needs the package cairosvg: pip install 'tfgrpo[png]', or take .svg") from error
        return bytes(cairosvg.svg2png(bytestring=self.svg.encode(), scale=scale, background_color="white"))

    def save(self, file: str | Path) -> Path:
        """Write the picture; the ending says how: .svg, .png, or .json for Vega-Lite. Raises UsageError."""
        path = Path(file)
        match path.suffix.lower():
            case ".svg":
                path.write_text(self.svg, encoding="utf-8")
            case ".png":
                path.write_bytes(self.png())
            case ".json":
                path.write_text(json.dumps(self.vega_lite()), encoding="utf-8")
            case _:
                raise UsageError(f"{path} ends in none of .svg, .png and .json; name the picture so")
        return path


def learning_curve(steps: Sequence[Step], heldout: Mapping[str, Any] | None) -> Plot:
    """Return mean reward by step with its interval over problems, and held-out reward before and after."""
    points = tuple(map(_point, steps))
    headline = numbers.headline(heldout, "finished", "")
    picture = str(svg.learning_curve(points, headline)).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    at = picture.index(">") + 1
    rows: list[Mapping[str, Any]] = [
        {"series": "rollouts", "step": p.step + 1, "reward": p.reward, "low": p.low, "high": p.high} for p in points
    ]
    for step, value, ends in (
        (0, headline.before, headline.before_ci),
        (len(points) + 1, headline.after, headline.after_ci),
    ):
        if value is not None:
            rows.append({"series": "held-out", "step": step, "reward": value, "low": ends[0], "high": ends[1]})
    return Plot(picture[:at] + STYLE + picture[at:], tuple(rows))


def _point(step: Step) -> Point:
    means_P = [fmean(s) for g in step.groups_P if (s := [r for r in g.rewards_G if not math.isnan(r)])]
    low, high = stats.bootstrap_mean(means_P, seed=0)
    groups = numbers.tally(group.status.value for group in step.groups_P)
    mean = fmean(means_P) if means_P else None
    ends = (numbers.none_for_nan(low), numbers.none_for_nan(high))
    return Point(
        step.index, step.epoch, mean, *ends, len(means_P), step.version_before, step.version_after, groups, {}, {}
    )
