"""The candidates of a search as a tree: who came from whom, what each scored, and which one was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from experience_db import Origin, Run, RunStep
from tfgrpo.report.data import CandidateRow
from tfgrpo.report.svg import element

COLUMN, ROW, RADIUS, MARGIN = 64, 74, 16, 40


def candidates_of(run: Run, origins: Sequence[Origin], steps: Sequence[RunStep]) -> tuple[CandidateRow, ...]:
    """Return the candidates of a run, oldest first; () for a run that searched nothing."""
    told: dict[int, Mapping[str, Any]] = {c["version"]: c for s in steps for c in s.summary.get("candidates") or ()}
    if not told:
        return ()
    best = next((s.summary["best"] for s in reversed(steps) if s.summary.get("best") is not None), None)
    heldout = run.summary.get("heldout") or {}
    first = run.base_version or 0
    start = CandidateRow(first, (), "start", heldout.get("before"), best=best == first)
    found = [
        CandidateRow(o.version, o.origins, o.kind, told[o.version]["mean"], told[o.version]["lost"], o.version == best)
        for o in origins
        if o.version in told
    ]
    return (start, *found)


def generation_of(kin: Sequence[CandidateRow]) -> dict[int, int]:
    """Return how many generations lie between the start and each candidate: the longest way up."""
    depth: dict[int, int] = {}
    for each in kin:
        depth[each.version] = max((depth.get(origin, 0) + 1 for origin in each.origins), default=0)
    return depth


def tree(kin: Sequence[CandidateRow]) -> Markup:
    """Draw the candidates, a generation a row, with a line to each candidate that one was made from; '' for none."""
    if not kin:
        return Markup("")
    depth = generation_of(kin)
    rows: dict[int, list[int]] = {}
    for each in kin:
        rows.setdefault(depth[each.version], []).append(each.version)
    width = max(max(map(len, rows.values())) * COLUMN + 2 * MARGIN, 240)
    at = {
        version: (width / 2 + (n - (len(row) - 1) / 2) * COLUMN, MARGIN + level * ROW)
        for level, row in rows.items()
        for n, version in enumerate(row)
    }
    lines = [_line(at[o], at[k.version], k.kind) for k in kin for o in k.origins if o in at]
    dots = [_dot(k, *at[k.version]) for k in kin]
    height = max(rows) * ROW + 2 * MARGIN
    return element(
        "svg", *lines, *dots, viewBox=f"0 0 {width:.0f} {height}", width=round(width), height=height, class_="tree",
        role="img", aria_label=f"Lineage of {len(kin)} candidates",
    )  # fmt: skip


def _line(start: tuple[float, float], end: tuple[float, float], kind: str) -> Markup:
    dashed = {"stroke_dasharray": "4 3"} if kind == "merge" else {}
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_="whisker open", **dashed)


def _dot(kin: CandidateRow, x: float, y: float) -> Markup:
    tone = "good" if kin.best else "bad" if kin.lost else "open"
    mean = "–" if kin.mean is None else f"{kin.mean:.2f}"
    about = f"version {kin.version}, {kin.kind}, mean {mean}" + (f": {kin.lost}" if kin.lost else "")
    return element(
        "g",
        element("title", about),
        element("circle", cx=x, cy=y, r=RADIUS, class_=f"dot {tone}{' hollow' if kin.lost else ''}"),
        element("text", str(kin.version), x=x, y=y + 4, text_anchor="middle", class_="inside"),
        element("text", mean, x=x, y=y + RADIUS + 14, text_anchor="middle"),
    )
