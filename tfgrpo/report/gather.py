"""From the store to a Report: one reading, and the only place of this folder that knows the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from experience_db import Evidence, Lesson, Run, Store
from tfgrpo.lessons.edits import estimate_tokens
from tfgrpo.report import numbers
from tfgrpo.report.data import Change, Headline, LessonStory, Measured, Point, Refused, Report
from tfgrpo.report.tree import candidates_of
from tfgrpo.version import __version__


def gather(store: Store, name: str) -> Report:
    """Read everything about a run, given by name (the latest of that name) or id.

    Raises:
        UnknownRun: no such run; the message says how to list them.
    """
    run = store.find_run(name) or store.run(name)
    groups = store.groups(run.id)
    points = _points(store, run, groups)
    version = _final(run, points)
    evaluations = numbers.measured(_evaluations(store, run), run.config.get("heldout"))
    return Report(
        tool=__version__,
        run=run,
        version=version,
        headline=_headline(run, version, evaluations),
        points=points,
        funnel=numbers.funnel(points),
        lessons=_lessons(store, run, version),
        refused=_refused(store, run),
        whole=_change(store, run, run.base_version, version),
        changes=_changes(store, run, version),
        costs=numbers.costs(store.usage(run.id), run.summary.get("calls") or {}),
        failures=numbers.failures(points, groups),
        evaluations=evaluations,
        groups=groups,
        kin=candidates_of(run, store.lineage(run.library, run.id), store.steps(run.id)) if run.library else (),
    )


def _headline(run: Run, version: int | None, evaluations: Sequence[Measured]) -> Headline:
    if run.kind != "learn":
        return numbers.unlearned_headline(run.kind, run.summary)
    found = numbers.headline(run.summary.get("heldout"), run.status, gate_kind(run))
    more = numbers.confirmation(evaluations, version, run.config.get("heldout"))
    warnings = tuple(map(str, run.summary.get("warnings") or ()))
    block = (f"{said[:1].upper()}{said[1:]}.",) if (said := str(run.summary.get("block") or "")) else ()
    return replace(found, notes=found.notes + more + block + warnings)


def gate_kind(run: Run) -> str:
    """Return which gate a run had; '' for a run without one."""
    search = run.config.get("search")
    if isinstance(search, Mapping) and search.get("kind"):
        return f"search: {search['kind']}"
    gate = run.config.get("gate")
    return str(gate.get("kind") or "") if isinstance(gate, Mapping) else ""


def _points(store: Store, run: Run, groups: Sequence[dict[str, Any]]) -> tuple[Point, ...]:
    by_step: dict[int, list[dict[str, Any]]] = {}
    for group in groups:
        by_step.setdefault(group["step"], []).append(group)
    seed = run.config.get("seed")
    drawn = seed if isinstance(seed, int) else 0
    return tuple(numbers.point(step, by_step.get(step.step, []), drawn) for step in store.steps(run.id))


def _final(run: Run, points: Sequence[Point]) -> int | None:
    return points[-1].version_after if points else run.base_version


def _evaluations(store: Store, run: Run) -> Sequence[Any]:
    return store.evaluations(run.library) if run.library else store.evaluations(run=run.id)


def _lessons(store: Store, run: Run, version: int | None) -> tuple[LessonStory, ...]:
    if run.library is None or version is None:
        return ()
    uses = store.uses(run.library, run.id)
    return tuple(
        _story(store, run.library, lesson, version, uses.get(lesson.id, 0))
        for lesson in store.library(run.library, version)
    )


def _story(store: Store, library: str, lesson: Lesson, version: int, shown: int) -> LessonStory:
    """Leave out what came after the run's last version: the page tells of this run's library, not of later ones."""
    blame = store.blame(library, lesson.id)
    known = [e for e in blame.evidence if e.version is None or e.version <= version]
    found = sorted(known, key=lambda e: len(e.lesson_ids) != 1)
    return LessonStory(
        lesson,
        tuple(e for e in found if e.verdict in ("", "accepted")),
        tuple(e for e in found if e.verdict not in ("", "accepted")),
        tuple(edit for edit in blame.edits if edit.version <= version),
        shown,
        blame.shown,
        estimate_tokens(lesson.text),
    )


def _refused(store: Store, run: Run) -> tuple[Refused, ...]:
    if run.library is None:
        return ()
    told: dict[tuple[Any, ...], list[Evidence]] = {}
    for e in store.evidence(run.library):
        if e.run == run.id:
            for op, ids, text in e.detail.get("edit") or []:
                told.setdefault((e.step, op, tuple(ids), text), []).append(e)
    mine = [item for item in store.unapplied(run.library) if item.run == run.id]
    return tuple(
        Refused(item, tuple(told.get((item.step, item.edit.op.value, item.edit.ids, item.edit.text), ())))
        for item in mine
    )


def _changes(store: Store, run: Run, version: int | None) -> tuple[Change, ...]:
    if run.library is None or version is None:
        return ()
    first = run.base_version or 0
    steps = (_change(store, run, number, number + 1, one=True) for number in range(first, version))
    return tuple(change for change in steps if change)


def _change(store: Store, run: Run, a: int | None, b: int | None, *, one: bool = False) -> Change | None:
    if run.library is None or a is None or b is None:
        return None
    diff = store.diff(run.library, a, b)
    version = next(v for v in store.versions(run.library) if v.number == b) if one else None
    edits = tuple(edit for edit in store.log(run.library) if a < edit.version <= b)
    return Change(version, edits, diff.added, diff.removed, diff.changed)
