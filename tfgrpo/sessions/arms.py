"""Sessions of two arms, side by side: from what a store keeps to what the test of `gates.randomized` takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from math import isnan, nan

from experience_db.session_records import CANARY, CONTROL, HALF, Serving, SessionRecord
from tfgrpo.gates.randomized import Drawn, Finding, Weighed, bounded, find, is_constant, pair, weigh
from tfgrpo.sessions.rules import SessionRules
from tfgrpo.sessions.similar_tasks import SimilarTasks


def by_edit(sessions: Iterable[SessionRecord], edit: int, tasks: SimilarTasks) -> tuple[Drawn, ...]:
    """Return sessions of the canary, all with `edit` on trial: those that met it, and the others."""
    return tuple(_drawn(s, HALF, edit in s.edits, tasks) for s in sessions if s.arm == CANARY)


def by_control(
    sessions: Iterable[SessionRecord], servings: Mapping[int, Serving], about: Mapping[int, Collection[str]],
    tasks: SimilarTasks,
) -> tuple[Drawn, ...]:  # fmt: skip
    """Return the sessions that met what is served, and those that went without lessons, each with its chance.

    A session of the canary met what is served, as far as its own kind of task goes, where no edit about that kind was
    drawn for it: with chance HALF for each of those on trial. `about` says of which kinds each edit speaks.
    """
    found = []
    for s in sessions:
        given = servings.get(s.serving or 0)
        if given is None or not given.control:
            continue
        kind = tasks.group(s.task)
        mine = {i for i in given.edits if not about.get(i) or kind in about[i]}
        if mine.intersection(s.edits):
            continue
        served = 1.0 - given.control - given.canary + given.canary * HALF ** len(mine)
        found.append(_drawn(s, served / (served + given.control), s.arm != CONTROL, tasks))
    return tuple(found)


def _drawn(s: SessionRecord, share: float, treated: bool, tasks: SimilarTasks) -> Drawn:
    reward = nan if s.reward is None else s.reward
    return Drawn(s.user, treated, share, reward, tasks.group(s.task), " ".join(s.task.casefold().split()))


def finding(
    sessions: Sequence[Drawn], rules: SessionRules, design: str, *, per_user: int | None = None
) -> tuple[Finding, tuple[Weighed, ...]]:
    """Return what the sessions say by a design, and what each of them adds."""
    if design == "paired":
        name, weighed = "paired", pair(sessions)
    else:
        name, weighed = "randomized" if is_constant(sessions) else "off-policy", weigh(sessions)
    kept = bounded(weighed, per_user or rules.per_user)
    tolerated = rules.tolerated(len({s.user for s in sessions}))
    return find(kept, name, tolerated=tolerated, delta=rules.delta), kept


def telling(sessions: Sequence[Drawn], rules: SessionRules) -> Finding:
    """Return whether the arms differ in how often anything is told at all: what is missing may not be missing alike."""
    asked = [replace(s, reward=0.0 if isnan(s.reward) else 1.0) for s in sessions]
    return finding(asked, rules, "randomized")[0]
