"""A comparison in words and as evidence: decision, reason, and every number behind it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any, Literal

from experience_db import Edit, Evidence
from tfgrpo.gates.comparison import Comparison
from tfgrpo.gates.eprocess import INTERVAL
from tfgrpo.gates.sequential import Answer
from tfgrpo.types import Verdict

Role = Literal["single", "together", "elsewhere"]

DECISIONS = {
    Answer.HELPS: "accepted",
    Answer.HARMS: "rejected",
    Answer.NO_WORTH: "rejected",
    Answer.OPEN: "undecided",
}
WORDS = {Answer.HELPS: "better", Answer.HARMS: "harmful", Answer.NO_WORTH: "not worth it"}


def decision(comparison: Comparison) -> str:
    """Return `accepted`, `rejected` or `undecided`."""
    return DECISIONS[comparison.answer]


def reason(comparison: Comparison) -> str:
    """Return the outcome as one sentence with its number, and with a difference in failure rates where there is one."""
    named = comparison.lost.named
    return f"{_reason(comparison)}; {named}" if named else _reason(comparison)


def _reason(comparison: Comparison) -> str:
    state, what = comparison.state, f"{comparison.estimate:+.3f} on {problems_text(comparison)}"
    if not comparison.enough:
        missing = comparison.asked - len(comparison.pairs)
        return f"undecided: {missing} of {comparison.asked} pairs have no reward on at least one side"
    if comparison.answer is Answer.OPEN and comparison.lost.one_sided:
        return f"undecided: outages took {comparison.lost.candidate} rollouts with the edit, so the rest is no sample"
    if comparison.answer is Answer.OPEN:
        why = state.why or f"p = {state.p_helps:.2g}, E = {comparison.e_helps:.3g}"
        return f"undecided: {what} is not clear enough ({why})"
    few = "" if isnan(p := comparison.p_beyond) else f"; for others like them p is at most {p:.2g}"
    return f"{WORDS[comparison.answer]}: {what}, {state.won} won, {state.lost} lost ({state.why}{few})"


def problems_text(comparison: Comparison) -> str:
    """Return the problems of a comparison in words."""
    n = len(comparison.touched.problems)
    return f"{comparison.problems} {f'of the {n} problems it touches' if _known(comparison) else 'problems'}"


def _known(comparison: Comparison) -> bool:
    return comparison.touched.how != "all"


def gate_evidence(comparison: Comparison, edits: Sequence[Edit], role: Role, why: str, verdict: str = "") -> Evidence:
    """Return the effect of `edits`: candidate minus current, per problem."""
    low, high = comparison.interval
    return Evidence(
        "elsewhere" if role == "elsewhere" else "gate",
        None if isnan(comparison.estimate) else comparison.estimate,
        low,
        high,
        n=comparison.problems,
        lesson_ids=_ids(edits),
        verdict=verdict or decision(comparison),
        reason=why,
        detail=comparison_detail(comparison) | {"role": role, "edits": len(edits)},
    )


def verdict_of(edit: Edit, comparison: Comparison, role: Role = "single") -> Verdict:
    """Return the verdict on an edit from its own test."""
    why = reason(comparison)
    return Verdict(decision(comparison), (edit,), why, (gate_evidence(comparison, (edit,), role, why),))


def comparison_detail(comparison: Comparison) -> dict[str, Any]:
    """Return every number of a comparison in plain JSON types; `touched` holds ids, and none when all are tested."""
    state, touched, lost = comparison.state, comparison.touched, comparison.lost
    return {
        "test": "group-sequential sign test" if state.plan.by == "sign" else "mixture betting e-process",
        "interval": INTERVAL,
        "p_better": state.p_helps,
        "p_worse": state.p_harms,
        "p_beyond": None if isnan(comparison.p_beyond) else comparison.p_beyond,
        "e_better": comparison.e_helps,
        "e_worse": state.e_harms,
        "level": state.plan.alpha,
        "horizon": state.plan.horizon,
        "looks": comparison.looks,
        "pairs": len(comparison.pairs),
        "won": state.won,
        "lost": state.lost,
        "missing": {"current": lost.current, "candidate": lost.candidate, "both": lost.both, "p": lost.p},
        "rollouts": {"new": comparison.new, "cached": comparison.cached},
        "touch": touched.how,
        "words": list(touched.words),
        "touched": [] if touched.how == "all" else [problem.id for problem in touched.problems],
        "passes": comparison.passes,
        "capital": {} if comparison.answer is not Answer.OPEN else {u: list(v) for u, v in comparison.pooled.items()},
    }


def _ids(edits: Sequence[Edit]) -> tuple[int, ...]:
    """Return the lessons the edits are about; an ADD has none before it is committed, so one ADD leaves it all open."""
    return () if any(not edit.ids for edit in edits) else tuple(i for edit in edits for i in edit.ids)
