"""What the sessions of a shadow version say: promote, refuse, or wait for more. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from experience_db import Evidence
from tfgrpo.gates.randomized import Drawn, Finding, alarm
from tfgrpo.sessions.arms import finding, telling
from tfgrpo.sessions.rules import SessionRules

KIND = "sessions"
"""The kind of evidence that sessions give."""
UNEVEN = 20.0
"""E value from which on two arms count as unlike in how often anything is told."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How a trial stands."""

    decision: str
    """`accepted`, `rejected`, or `open`."""
    reason: str
    evidence: Evidence


def judge(
    sessions: Sequence[Drawn], told: Sequence[Drawn], about: Collection[str], rules: SessionRules, design: str
) -> Judged:
    """Judge a shadow version by the sessions that met it and those that met what is served.

    Args:
        sessions: of both arms, in the order in which they began, old enough to have been reported about.
        told: the same, and younger ones with an early report: they can speak of harm, not for the edit.
        about: groups of tasks that the edit speaks of; empty is all. There it must help; it may harm nowhere.
        rules: what must be shown.
        design: `randomized` or `paired`, as it was said when the trial began.
    """
    here = [s for s in sessions if not about or s.kind in about]
    elsewhere = [s for s in sessions if about and s.kind not in about]
    found, _ = finding(here, rules, design)
    other, _ = finding(elsewhere, rules, "randomized")
    decision, why = _decided(found, other, telling(sessions, rules), rules)
    if decision in ("accepted", "open") and _turned([s for s in told if not about or s.kind in about], rules):
        decision, why = "rejected", "its latest sessions speak against it"
    return Judged(decision, f"{in_words(found)}: {why}", evidence(found, decision, why, {"design": design}))


def _turned(sessions: Sequence[Drawn], rules: SessionRules) -> bool:
    """Whether an edit does harm by now, whatever it did before."""
    _, kept = finding(sessions, rules, "randomized")
    return alarm(kept, 2.0 / rules.harm, tolerated=rules.tolerated(len({s.user for s in sessions}))) is not None


def evidence(found: Finding, decision: str, why: str, more: dict[str, object]) -> Evidence:
    """Return a finding as it is kept."""
    detail = {
        "estimate": found.estimate, "users": found.users, "e_helps": found.e_helps, "e_harms": found.e_harms, **more
    }  # fmt: skip
    verdict = {"open": "undecided"}.get(decision, decision)
    low, high = (None if x != x else x for x in (found.low, found.high))  # noqa: PLR0124 - nan
    return Evidence(KIND, found.effect, low, high, found.n, verdict=verdict, reason=why, detail=detail)


def in_words(found: Finding) -> str:
    """Return a finding in words: which estimate it is, its size, interval and what is behind it."""
    unit = "pairs" if found.estimate == "paired" else "sessions"
    return (
        f"{found.effect:+.2f} [{found.low:+.2f}, {found.high:+.2f}], {found.estimate}, {found.n} {unit} "
        f"of {found.users} users"
    )


def _decided(here: Finding, elsewhere: Finding, told: Finding, rules: SessionRules) -> tuple[str, str]:
    # Two looks for harm share its level.
    if max(here.e_harms, elsewhere.e_harms) >= 2.0 / rules.harm:
        where = "" if here.e_harms >= 2.0 / rules.harm else " with other tasks"
        return "rejected", f"it harms{where} (E = {max(here.e_harms, elsewhere.e_harms):.3g})"
    if max(told.e_helps, told.e_harms) >= UNEVEN:
        return "rejected", f"outcomes are told less often under one of the two ({told.effect:+.0%}), so they can't tell"
    if here.e_helps >= 1.0 / rules.alpha:
        return "accepted", f"it helps (E = {here.e_helps:.3g})"
    if here.e_futile >= 1.0 / rules.harm:
        return "rejected", f"an effect of {rules.delta:g} is ruled out (E = {here.e_futile:.3g})"
    if here.n >= rules.horizon:
        return "rejected", f"nothing was shown in {here.n} sessions (E = {here.e_helps:.3g})"
    return "open", f"not clear yet (E = {here.e_helps:.3g} of {1 / rules.alpha:g})"
