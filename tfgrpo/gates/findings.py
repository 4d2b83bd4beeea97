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
    where = f"{len(comparison.pairs)} pairs on {_where(comparison)}"
    if comparison.outcome is Outcome.BETTER:
        return f"better: {comparison.estimate:+.3f} over {where} (E = {capitals.e_better:.3g})"
    if comparison.outcome is Outcome.WORSE:
        return f"harmful: {comparison.estimate:+.3f} over {where} (E = {capitals.e_worse:.3g})"
    if comparison.outcome is Outcome.FUTILE:
        return f"not worth it: {comparison.estimate:+.3f} over {where} is below {capitals.delta:g}"
    if not comparison.enough:
        missing = comparison.asked - len(comparison.pairs)
        return f"undecided: {missing} of {comparison.asked} pairs have no reward on at least one side"
    return f"undecided: {comparison.estimate:+.3f} over {where} is not clear enough"


def gate_evidence(comparison: Comparison, edits: Sequence[Edit], role: Role, why: str) -> Evidence:
    """Return the effect of `edits`: candidate minus current."""
    low, high = comparison.interval
    return Evidence(
        "gate",
        None if isnan(comparison.estimate) else comparison.estimate,
        low,
        high,
        n=len(comparison.differences_P),
        lesson_ids=_ids(edits),
        verdict=decision(comparison),
        reason=why,
        detail=detail(comparison) | {"role": role, "edits": len(edits)},
    )


def leave_one_out_evidence(comparison: Comparison, edit: Edit, why: str) -> Evidence:
    """Return the effect of `edit` among its companions: all of them minus all but this one.

    The comparison asked whether the rest is better, so its signs are turned, and `e_better` in the detail speaks for
    the rest without the edit.
    """
    low, high = comparison.interval
    return Evidence(
        "leave-one-out",
        None if isnan(comparison.estimate) else -comparison.estimate,
        -high,
        -low,
        n=len(comparison.differences_P),
        lesson_ids=_ids((edit,)),
        verdict="rejected" if comparison.outcome is Outcome.BETTER else "accepted",
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
    n = len(comparison.differences_P)
    return f"{n} problems" if comparison.touched.how == "all" else f"{n} touched problems"


def _ids(edits: Sequence[Edit]) -> tuple[int, ...]:
    """Return the lessons the edits are about; an ADD has none before it is committed, so one ADD leaves it all open."""
    return () if any(not edit.ids for edit in edits) else tuple(i for edit in edits for i in edit.ids)
