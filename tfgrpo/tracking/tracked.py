"""What a stored run tells, in plain values that every tool takes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from experience_db import Evidence, Library, Run, Store

Row = Mapping[str, Any]
EVIDENCE_COLUMNS = (
    "kind", "estimate", "low", "high", "n", "lessons", "verdict", "reason", "version", "step",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """The numbers of one step."""

    step: int
    time: float
    """When the step ended, in seconds since the epoch."""
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Tracked:
    """One run, apart from its rollouts."""

    run: Run
    params: Mapping[str, str]
    """Settings by dotted key, as texts."""
    totals: Mapping[str, float]
    """Numbers of the whole run."""
    library: Library | None
    """As the run left it."""
    evidence: tuple[Evidence, ...]
    """What the run measured."""

    def evidence_rows(self) -> list[list[Any]]:
        """Return a row for each measurement, in the order of EVIDENCE_COLUMNS."""
        return [
            [e.kind, e.estimate, e.low, e.high, e.n, ", ".join(map(str, e.lesson_ids)), e.verdict, e.reason, e.version,
             e.step]
            for e in self.evidence
        ]  # fmt: skip


def tracked(store: Store, run: Run) -> Tracked:
    """Return what a run tells."""
    name = run.library
    known = name is not None and name in store.libraries()
    final = run.summary.get("version")
    library = store.library(name, final if isinstance(final, int) else None) if name is not None and known else None
    measured = tuple(e for e in store.evidence(name) if e.run == run.id) if name is not None and known else ()
    return Tracked(run, dict(_texts(run.config)), dict(_numbers(run.summary)), library, measured)


def curve(store: Store, run: Run, since: int) -> list[Point]:
    """Return the points of a run's curve from step `since` on, in order."""
    points = []
    for step in store.steps(run.id):
        if step.step < since:
            continue
        rewards = [r for group in store.groups(run.id, step.step) for r in group["rewards"] if r is not None]
        numbers = dict(_numbers(step.summary)) | {"version": float(step.version_after)}
        if rewards:
            numbers["reward/mean"] = fmean(rewards)
        points.append(Point(step.step, step.created, numbers))
    return points


def rollouts(store: Store, run: Run, step: int) -> Iterator[tuple[Row, Row, list[Row]]]:
    """Yield (group, rollout, scores) of every stored rollout of a step."""
    for group in store.groups(run.id, step):
        for rollout, scores in zip(group["rollouts"], group["scores"], strict=True):
            yield group, rollout, scores


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, f"{key}.{name}" if key else str(name))
    elif value is not None and value != "":
        yield key, value if isinstance(value, str) else json.dumps(value)


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, f"{key}/{name}" if key else str(name))
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield key, float(value)
