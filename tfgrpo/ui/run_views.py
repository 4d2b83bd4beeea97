"""One run as a page shows it while it goes on: what a report says, from sums alone, without any rollout's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from experience_db import Run, RunStep, Store
from tfgrpo import stats
from tfgrpo.report import numbers
from tfgrpo.report.data import Funnel, Headline, Point
from tfgrpo.report.gather import gate_kind


@dataclass(frozen=True, slots=True)
class RunView:
    """What is known of a run at this moment."""

    run: Run
    status: str
    """As recorded, or `died` where it is recorded as running and no process holds it."""
    headline: Headline
    points: tuple[Point, ...]
    """One for each step; intervals are Student's t over problems, so that a page of many steps is quick."""
    funnel: Funnel
    groups: Mapping[str, int]
    """Groups recorded so far by status, the step under way included."""
    version: int | None
    """The version it has reached."""
    gate: str


def view_run(store: Store, name: str) -> RunView:
    """Return a run by id or name (the latest of that name); raises UnknownRun."""
    run = store.find_run(name) or store.run(name)
    points = _points(store.steps(run.id), store.step_rewards(run.id))
    return RunView(
        run,
        store.current_status(run),
        _headline(run),
        points,
        numbers.funnel(points),
        store.run_counts(run.id),
        points[-1].version_after if points else run.base_version,
        gate_kind(run),
    )


def _headline(run: Run) -> Headline:
    if run.kind != "learn":
        return numbers.unlearned_headline(run.kind, run.summary)
    return numbers.headline(run.summary.get("heldout"), run.status, gate_kind(run))


def _points(steps: Sequence[RunStep], rewards: Mapping[int, Sequence[float]]) -> tuple[Point, ...]:
    return tuple(_point(step, rewards.get(step.step, ())) for step in steps)


def _point(step: RunStep, means_P: Sequence[float]) -> Point:
    low, high = stats.mean_interval(means_P)
    told: Mapping[str, Any] = step.summary
    return Point(
        step.step,
        step.epoch,
        fmean(means_P) if means_P else None,
        numbers.none_for_nan(low),
        numbers.none_for_nan(high),
        len(means_P),
        step.version_before,
        step.version_after,
        dict(told.get("groups", {})),
        dict(told.get("edits", {})),
        dict(told.get("failures", {})),
    )
