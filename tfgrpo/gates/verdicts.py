"""A comparison in words and as evidence: decision, reason, and every number behind it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any, Literal

from experience_db import Edit, Evidence
from tfgrpo.gates.comparison import Comparison
from tfgrpo.gates.eprocess import INTERVAL, Outcome

Role = Literal["single", "bundle"]

DECISIONS = {
    Outcome.BETTER: "accepted",
    Outcome.WORSE: "rejected",
    Outcome.FUTILE: "rejected",
    Outcome.OPEN: "undecided",
}


def decision(comparison: Comparison) -> str:
    """Return `accepted`, `rejected` or `undecided`."""
    return DECISIONS[comparison.outcome]


def reason(comparison: Comparison) -> str:
    """Return the outcome as one sentence with its number."""
    capitals = comparison.capitals
    what = f"{comparison.estimate:+.3f} over {len(comparison.pairs)} pairs on {_where(comparison)}"
    if comparison.outcome is Outcome.BETTER:
        return f"better: {what} (E = {capitals.e_better:.3g})"
    if comparison.outcome is Outcome.WORSE:
        return f"harmful: {what} (E = {capitals.e_worse:.3g})"
    if comparison.outcome is Outcome.FUTILE:
        return f"not worth it: {what} refutes {capitals.delta:g} (E = {capitals.e_futile:.3g})"
    if not comparison.enough:
        return f"undecided: {_missing(comparison)}"
    return f"undecided: {what} is not clear enough"


def companion_reason(comparison: Comparison, *, leaves: bool) -> str:
    """Return the outcome of leaving one edit out of an accepted bundle as one sentence."""
    if not comparison.enough:
        return f"part of an accepted bundle, not checked alone: {_missing(comparison)}"
    better, worse = comparison.capitals.e_better, comparison.capitals.e_worse
    effect = f"leaving it out changes the bundle by {comparison.estimate:+.3f}"
    if comparison.outcome is Outcome.BETTER:
        return f"harmful companion: {effect} (E = {better:.3g})"
    if leaves:
        return f"not missed: {effect} (E = {better:.3g})"
    return f"part of an accepted bundle: {effect} (E that this harms = {worse:.3g})"


def gate_evidence(comparison: Comparison, edits: Sequence[Edit], role: Role, why: str) -> Evidence:
    """Return the effect of `edits`: candidate minus current."""
    low, high = comparison.interval
    return Evidence(
        "gate",
        None if isnan(comparison.estimate) else comparison.estimate,
        low,
        high,
        n=comparison.problems,
        lesson_ids=_ids(edits),
        verdict=decision(comparison),
        reason=why,
        detail=detail(comparison) | {"role": role, "edits": len(edits)},
    )


def leave_one_out_evidence(comparison: Comparison, edit: Edit, why: str, *, leaves: bool) -> Evidence:
    """Return the effect of `edit` among its companions: all of them minus all but this one.

    The comparison asked whether the rest is better, so its signs are turned, and `e_better` in the detail speaks for
    the rest without the edit.
    """
    low, high = comparison.interval
    return Evidence(
        "leave-one-out",
        None if isnan(comparison.estimate) else 0.0 - comparison.estimate,
        0.0 - high,
        0.0 - low,
        n=comparison.problems,
        lesson_ids=_ids((edit,)),
        verdict="rejected" if leaves else "accepted",
        reason=why,
        detail=detail(comparison) | {"role": "rest without the edit", "edits": 1},
    )


def detail(comparison: Comparison) -> dict[str, Any]:
    """Return every number of a comparison in plain JSON types; `touched` holds ids, and none when all are tested."""
    capitals, touched = comparison.capitals, comparison.touched
    return {
        "test": "mixture betting e-process",
        "interval": INTERVAL,
        "e_better": capitals.e_better,
        "e_worse": capitals.e_worse,
        "e_futile": capitals.e_futile,
        "accept": comparison.accept,
        "delta": capitals.delta,
        "looks": comparison.looks,
        "pairs": len(comparison.pairs),
        "missing": {"current": comparison.missing_current, "candidate": comparison.missing_candidate},
        "rollouts": {"new": comparison.new, "cached": comparison.cached},
        "touch": touched.how,
        "words": list(touched.words),
        "touched": [] if touched.how == "all" else [problem.id for problem in touched.problems],
    }


def _where(comparison: Comparison) -> str:
    return f"{comparison.problems} {'' if comparison.touched.how == 'all' else 'touched '}problems"


def _missing(comparison: Comparison) -> str:
    missing = comparison.asked - len(comparison.pairs)
    return f"{missing} of {comparison.asked} pairs have no reward on at least one side"


def _ids(edits: Sequence[Edit]) -> tuple[int, ...]:
    """Return the lessons the edits are about; an ADD has none before it is committed, so one ADD leaves it all open."""
    return () if any(not edit.ids for edit in edits) else tuple(i for edit in edits for i in edit.ids)
