"""Which problems may prove a lesson, which carry the figure, and what a set of this size can show."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import sqrt

from tfgrpo import stats
from tfgrpo.datasets.overlap import overlap
from tfgrpo.datasets.problems import digest
from tfgrpo.types import Problem

FEW = 64
"""Held-out problems below which lessons are proved on all problems but their sources."""
ENOUGH = 96
"""Held-out problems from which on a third of them never meets the gate."""
MOST_HELDOUT = 600
"""More held-out problems than this sharpen no verdict, and each is measured twice."""

PAIRS = 64
VISITS = 4
"""Pairs of a lesson's test where the problems it touches are known, and visits of one problem among them, at most."""


@dataclass(frozen=True, slots=True)
class Pools:
    """The parts of a dataset once more, by what each is for."""

    proving: tuple[Problem, ...]
    """The gate's problems."""
    untouched: tuple[Problem, ...] = ()
    """Held-out problems that no verdict ever looked at; they alone carry a p value."""
    cross_fitted: bool = False
    """Whether learning problems prove lessons too, each lesson on those that did not suggest it."""


def default_share(count: int) -> float:
    """Return the share of `count` problems that is held out where nobody says how many.

    A small set proves its lessons on all of its problems and needs them for learning; of a large one more than
    `MOST_HELDOUT` would only cost.
    """
    return 0.2 if count < 100 else min(0.3, MOST_HELDOUT / count)


def share_of(heldout: str, count: int) -> float | None:
    """Return what share of `count` problems a setting of `heldout` keeps back; None when it is a dataset of its own."""
    if heldout in ("", "auto"):
        return default_share(count)
    try:
        return float(heldout)
    except ValueError:
        return None


def pools_of(learning: Sequence[Problem], heldout: Sequence[Problem], seed: int) -> Pools:
    """Say what each problem is for, where a gate measures."""
    if len(heldout) < FEW:
        return Pools((*heldout, *learning), cross_fitted=True)
    if len(heldout) < ENOUGH:
        return Pools(tuple(heldout))
    ranked = sorted(heldout, key=lambda problem: digest(f"{seed} untouched", problem.id))
    kept = {problem.id for problem in ranked[: len(heldout) // 3]}
    return Pools(tuple(p for p in heldout if p.id not in kept), untouched=tuple(p for p in heldout if p.id in kept))


def without(pool: Sequence[Problem], sources: Collection[str]) -> tuple[Problem, ...]:
    """Return the problems of `pool` that are neither among `sources`, given by id, nor say the same as one of them."""
    taken = [problem for problem in pool if problem.id in sources]
    rest = [problem for problem in pool if problem.id not in sources]
    twins = {found.b for found in overlap(taken, rest)} if taken else set()
    return tuple(problem for problem in rest if problem.id not in twins)


def outlook(parts: Pools) -> str:
    """Return one sentence on what effects these problems can show, before anything is paid.

    With 80% power at the 5% level, for a difference that changes every fourth problem; a lesson that touches a fifth of
    the problems is taken as the example. The problem is the unit of its test: visits of the same one take away the
    noise of single rollouts, assumed to be half of the variance, and no more.
    """
    count = len(parts.proving)
    if count < 2:
        return "no problem proves anything: nothing can be shown"
    touched = max(count // 5, 1)
    different = max(min(touched, PAIRS), 2)
    visits = min(VISITS, PAIRS / different)
    alone = stats.visible_difference(different, 0.5 * sqrt((1 + 1 / visits) / 2))
    rest = len(parts.untouched)
    seen = stats.visible_difference(rest)
    where = (
        f"lessons are proved on all {count} problems but their own sources, by fresh rollouts"
        if parts.cross_fitted
        else f"lessons are proved on {count} held-out problems"
    )
    shows = "cannot show there" if alone > 1 else f"shows from about {100 * alone:.0f} points there"
    told = f"{where}; one that acts on {touched} of them {shows}"
    if not rest:
        return f"{told}; no problem is left for a figure that chose nothing"
    change = "shows nothing" if seen > 1 else f"a change of {100 * seen:.0f} points"
    return f"{told}, the figure on {rest} untouched problems {change}"
