"""What a method decided over a run, and over the runs of a comparison: the figures of `Step.decided`, summed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

COUNTS = ("contrasts", "passed_over", "pruned", "held", "moved")
"""Figures of a step that add up over a run."""
HEADS = ("method", "contrasts", "of objectives", "passed over", "tested first", "pruned", "held back", "moved")


def over_run(steps: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what was decided over the steps of a run; `first` is the edit that each step tested first."""
    told = [step for step in steps if step]
    objectives: dict[str, int] = {}
    for step in told:
        for name, count in step["objectives"].items():
            objectives[name] = objectives.get(name, 0) + count
    summed: dict[str, Any] = {name: sum(step[name] for step in told) for name in COUNTS}
    return {**summed, "objectives": objectives, "first": [step["first"] for step in told if step["first"]]}


def over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means over the runs of a method; `first` is that of its first run. {} where nothing was decided."""
    runs = [run for run in runs if run]
    if not runs:
        return {}
    names = dict.fromkeys(name for run in runs for name in run["objectives"])
    means: dict[str, Any] = {name: fmean(run[name] for run in runs) for name in COUNTS}
    objectives = {name: fmean(run["objectives"].get(name, 0) for run in runs) for name in names}
    return {**means, "objectives": objectives, "first": runs[0]["first"]}


def decisions_table(decided: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the decisions of methods as a Markdown table: means over seeds, and the first edit of the first seed."""
    lines = [HEADS, ("---",) * len(HEADS)]
    for method, d in decided.items():
        if not d:
            continue
        objectives = ", ".join(f"{name} {count:.1f}" for name, count in d["objectives"].items())
        first = d["first"][0].replace("|", " ").replace("\n", " ") if d["first"] else ""
        counts = {name: f"{d[name]:.1f}" for name in COUNTS}
        lines.append(
            (method, counts["contrasts"], objectives or "-", counts["passed_over"], first or "-", counts["pruned"],
             counts["held"], counts["moved"])
        )  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
