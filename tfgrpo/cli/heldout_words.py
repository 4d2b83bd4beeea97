"""The held-out figures of a run in words; nothing that calls a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfgrpo import stats
from tfgrpo.cli.lesson_words import number_text

UNKNOWN = (None, None)


def heldout_lines(h: Mapping[str, Any] | None) -> list[str]:
    """Return the held-out figures of a run, line by line: both sides, what chose the lessons, each objective."""
    if not h:
        return ["held-out reward was not measured"]
    before = f"{number_text(h.get('before'))} {span_text(h.get('before_ci') or UNKNOWN)} before"
    told = [f"held-out reward: {before}, {number_text(h.get('after'))} {span_text(h.get('after_ci') or UNKNOWN)} after"]
    ci = h.get("ci") or UNKNOWN
    p = ", on the problems that chose the lessons" if h.get("selected_on", True) else f", p={p_text(h.get('p'))}"
    told.append(f"difference:      {number_text(h.get('diff'), '+')} {span_text(ci, '+')}, n={h.get('n')}{p}")
    if chosen := h.get("chosen_on"):
        moved = f"{number_text(chosen['before'])} before, {number_text(chosen['after'])} after, n={chosen['n']}"
        told.append(f"                 these never met the gate; on those that chose the lessons: {moved}")
    for name, value in (h.get("objectives") or {}).items():
        told.append(f"  {name}: {number_text(value['before'])} before, {number_text(value['after'])} after")
    if h.get("n") and not excludes_zero(ci):
        told.append(f"                 this is inside its noise; {stats.power_note(h['n'])}")
    return told


def p_text(p: float | None) -> str:
    """Return a p value."""
    return "<0.001" if p is not None and p < 0.001 else number_text(p)


def span_text(ends: Sequence[float | None], sign: str = "") -> str:
    """Return an interval, with `sign` "+" always signed."""
    return f"[{number_text(ends[0], sign)}, {number_text(ends[1], sign)}]"


def excludes_zero(ends: Sequence[float | None]) -> bool:
    """Whether an interval excludes 0."""
    low, high = ends
    return low is not None and high is not None and (low > 0 or high < 0)
