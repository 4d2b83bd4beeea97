"""The held-out figures of a run: before and after, on problems that no verdict looked at where there are any."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from experience_db.codec import nan_to_none
from tfgrpo import stats
from tfgrpo.learning.run import Run
from tfgrpo.methods.reward import generated_length, parts_of
from tfgrpo.rollout import Graded


def compare_heldout(run: Run) -> dict[str, Any] | None:
    """Return the paired comparison of before and after; None if a side is missing.

    `selected_on` says that the same problems chose the lessons; then there is no `p`: it would be too small. Where a
    part of the held-out problems never met the gate, the figure is of that part alone, and `chosen_on` holds that of
    the others. `objectives` holds the named values of the grader and the tokens, each on its own. A number that cannot
    be had is None.
    """
    if not run.before or not run.after:
        return None
    untouched = {problem.id for problem in run.pools.untouched}
    every = {problem.id for problem in run.heldout}
    told = _compared(run, untouched or every) | {"selected_on": not untouched}
    if not untouched:
        told["p"] = None
    elif rest := every - untouched:
        chosen = _compared(run, rest)
        told["chosen_on"] = {key: chosen[key] for key in ("before", "after", "diff", "n")}
    if objectives := _objectives(run, untouched or every):
        told["objectives"] = objectives
    shown: dict[str, Any] = nan_to_none(told)
    return shown


def _compared(run: Run, ids: Collection[str]) -> dict[str, Any]:
    """Compare before and after on the held-out problems of these ids."""
    places = [i for i, problem in enumerate(run.heldout) if problem.id in ids]
    before, after = [run.before[i] for i in places], [run.after[i] for i in places]
    diff = stats.paired_difference(before, after, seed=run.config.seed)
    return {
        "before": _mean(before),
        "after": _mean(after),
        "diff": diff.diff,
        "ci": [diff.low, diff.high],
        "n": diff.n,
        "p": diff.p,
        "before_ci": list(_interval(before, run.config.seed)),
        "after_ci": list(_interval(after, run.config.seed)),
    }


def _objectives(run: Run, ids: Collection[str]) -> dict[str, dict[str, float | None]]:
    """Return before and after of each named value and of the tokens, where the grader names values."""
    both = [run.measured.get(when, ()) for when in ("before", "after")]
    before, after = ([g for g in graded if g.rollout.problem_id in ids] for graded in both)
    names = sorted({name for g in before for name in parts_of(g.score)})
    if not names:
        return {}
    found = {name: (_part(before, name), _part(after, name)) for name in names}
    found["tokens"] = (_tokens(before), _tokens(after))
    return {name: {"before": _mean(b), "after": _mean(a)} for name, (b, a) in found.items()}


def _part(graded: Sequence[Graded], name: str) -> list[float]:
    return [parts_of(g.score).get(name, math.nan) for g in graded]


def _tokens(graded: Sequence[Graded]) -> list[float]:
    return [generated_length(g.rollout) for g in graded if g.rollout.failure is None]


def _mean(values: Sequence[float]) -> float | None:
    scored = [v for v in values if not math.isnan(v)]
    return sum(scored) / len(scored) if scored else None


def _interval(values: Sequence[float], seed: int) -> tuple[float, float]:
    return stats.bootstrap_mean([v for v in values if not math.isnan(v)], seed=seed)
