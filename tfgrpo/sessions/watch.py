"""Does what is served still help? Sessions that go without it tell a bad lesson from an app that has changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, sqrt
from statistics import fmean, pvariance

from experience_db import Library
from tfgrpo.gates.randomized import Drawn, Finding, alarm
from tfgrpo.sessions.arms import finding
from tfgrpo.sessions.rules import SessionRules

DRIFT = 4.0
"""Standard errors between the control's recent sessions and those before them from which on the app has changed."""


@dataclass(frozen=True, slots=True)
class Harm:
    """Something that is served and does harm."""

    lessons: tuple[int, ...]
    """The lessons to withdraw; empty is the whole version, which goes back by one."""
    finding: Finding
    group: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """The control, which meets no lesson, does otherwise than before."""

    before: float
    now: float
    n: int
    """Sessions behind `now`."""


def lessons_by_group(library: Library) -> dict[str, tuple[int, ...]]:
    """Return the lessons that sessions of each group of tasks taught, where a lesson comes from such groups."""
    table: dict[str, list[int]] = {}
    for lesson in library.lessons:
        for group in dict.fromkeys(source.problem_id for source in lesson.sources):
            table.setdefault(group, []).append(lesson.id)
    return {group: tuple(ids) for group, ids in table.items()}


def harms(
    sessions: Mapping[int, Sequence[Drawn]], library: Library, since: int, rules: SessionRules
) -> tuple[Harm, ...]:
    """Return what of a library does harm, against no lessons at all.

    Args:
        sessions: those that met what was served or nothing, by the version that was served, oldest version first.
        library: the newest version.
        since: the first version that counts for the whole: after the last withdrawal, and with lessons.
        rules: of the app.

    The lessons of each group of tasks are judged by the sessions of that group since they have their present words; all
    these groups together by the same sessions, which is faster where much turns bad at once, and forgets nothing when
    the lessons of one group leave; and the whole by all sessions since the last withdrawal. Where only the last two do
    harm, the lessons go for whose groups the sessions from then on speak against them; where there are none, the whole.
    """
    groups = {g: ids for g, ids in lessons_by_group(library).items() if g}
    born = {g: max(library.lesson(i).changed for i in ids) for g, ids in groups.items()}
    theirs = [s for v, many in sessions.items() for s in many if v >= born.get(s.kind, v + 1)]
    found = []
    for group, ids in groups.items():
        mine = [s for s in theirs if s.kind == group]
        if (start := _began(mine, rules, rules.group_alarms)) is not None:
            found.append(Harm(ids, finding(mine[start:], rules, "randomized")[0], group))
    whole = [s for version, many in sessions.items() if version >= since for s in many]
    for many in (theirs, whole):
        if found or (start := _began(many, rules, rules.alarms)) is None:
            continue
        for group, ids in groups.items():
            seen, _ = finding([s for s in many[start:] if s.kind == group], rules, "randomized")
            if seen.n and seen.effect < 0:
                found.append(Harm(ids, seen, group))
        if not found and many is whole:
            found.append(Harm((), finding(many[start:], rules, "randomized")[0]))
    return tuple(found)


def _began(sessions: Sequence[Drawn], rules: SessionRules, alarms: float) -> int | None:
    """Return the place of the session with which harm began; None where there is none."""
    told = [i for i, s in enumerate(sessions) if not isnan(s.reward)]
    weighed = finding(sessions, rules, "randomized", per_user=len(sessions))[1]
    start = alarm(weighed, alarms, tolerated=rules.tolerated(len({s.user for s in sessions})))
    return None if start is None else told[start]


def drift(control: Sequence[Drawn], rules: SessionRules) -> Drift | None:
    """Return how the control changed, where its last `recent` sessions are far from those before; None otherwise."""
    told = [s.reward for s in control if not isnan(s.reward)]
    before, now = told[: -rules.recent], told[-rules.recent :]
    if len(before) < rules.recent:
        return None
    spread = sqrt(max(pvariance(before), 1e-4) / len(before) + max(pvariance(now), 1e-4) / len(now))
    moved = fmean(now) - fmean(before)
    return Drift(fmean(before), fmean(now), len(now)) if abs(moved) >= DRIFT * spread else None
