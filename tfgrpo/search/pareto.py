"""Which candidate is mutated next: those that are best somewhere, weighted by how often they are; pure.

The reduction and its weights are those of GEPA (arXiv 2507.19457, algorithm 2). It is a greedy cover, not domination of
score vectors: going from the lowest mean to the highest, a candidate leaves when each set that holds it also holds
another one that has not left.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from tfgrpo.errors import UsageError

Fronts = Mapping[Hashable, frozenset[int]]
"""Frontier key (a held-out problem, an objective, or both) to the candidates that are best there."""
FRONTIERS = ("instance", "objective", "hybrid", "cartesian")


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Scores of candidates 0..n-1. Higher is better in every objective; a missing key was not measured."""

    scores: tuple[Mapping[str, float], ...]
    """Per candidate: held-out problem id to the value of the main objective."""
    objectives: tuple[Mapping[str, Mapping[str, float]], ...] = ()
    """Per candidate: objective to problem id to value; empty where there is the main objective alone."""

    @property
    def means(self) -> tuple[float, ...]:
        """Mean of the main objective per candidate; -inf without any value."""
        return tuple(_mean(row) for row in self.scores)


def best_per_key(table: ScoreTable, kind: str = "instance") -> dict[Hashable, frozenset[int]]:
    """Return who is best where.

    Args:
        table: the scores; nan counts as missing.
        kind: `instance` (per problem), `objective` (per mean of an objective), `hybrid` (both), `cartesian` (per
            problem and objective).

    Raises:
        UsageError: a kind that does not exist.
    """
    if kind not in FRONTIERS:
        raise UsageError(f"no frontier {kind!r}; there are: {', '.join(FRONTIERS)}")
    rows: list[dict[Hashable, float]] = [{} for _ in table.scores]
    for k, row in enumerate(rows):
        named = table.objectives[k] if table.objectives else {"reward": table.scores[k]}
        if kind in ("instance", "hybrid"):
            row.update({("problem", v): value for v, value in table.scores[k].items()})
        if kind in ("objective", "hybrid"):
            row.update({("objective", name): _mean(values) for name, values in named.items()})
        if kind == "cartesian":
            row.update({(v, name): value for name, values in named.items() for v, value in values.items()})
    return argmax(rows)


def argmax(rows: Sequence[Mapping[Hashable, float]]) -> dict[Hashable, frozenset[int]]:
    """Return for every key the candidates with its highest value, in order of first appearance of the keys."""
    best: dict[Hashable, float] = {}
    holders: dict[Hashable, set[int]] = {}
    for k, row in enumerate(rows):
        for key, value in row.items():
            if math.isnan(value) or value < best.get(key, -math.inf):
                continue
            if value > best.get(key, -math.inf):
                best[key], holders[key] = value, set()
            holders.setdefault(key, set()).add(k)
    return {key: frozenset(found) for key, found in holders.items()}


def drop_dominated(found: Fronts, means: Sequence[float]) -> tuple[int, ...]:
    """Return the candidates that survive the greedy reduction, lowest mean first (ties by index).

    The first candidate in that order whose every set holds another survivor leaves, and the scan begins anew. Since a
    set only ever loses members, who once had a set to itself keeps it, so one pass in order finds the same.
    """
    alive = {k for members in found.values() for k in members}
    for k in sorted(alive, key=lambda k: (means[k], k)):
        if all(len(members & alive) > 1 for members in found.values() if k in members):
            alive.discard(k)
    return tuple(sorted(alive, key=lambda k: (means[k], k)))


def frontier_weights(found: Fronts, means: Sequence[float]) -> dict[int, int]:
    """Return per survivor the number of sets that hold it: its weight in the draw; by index."""
    alive = set(drop_dominated(found, means))
    counted = Counter(k for members in found.values() for k in members & alive)
    return {k: counted[k] for k in sorted(counted)}


def draw_probabilities(found: Fronts, means: Sequence[float]) -> dict[int, float]:
    """Return the probability with which each survivor is drawn; they add up to 1."""
    counted = frontier_weights(found, means)
    total = sum(counted.values())
    return {k: count / total for k, count in counted.items()}


class Selector(Protocol):
    """Chooses the candidate to go on from."""

    def __call__(self, table: ScoreTable, kind: str, rng: Random) -> int:
        """Return the index of a candidate of `table`, which holds at least one."""
        ...


def pareto(table: ScoreTable, kind: str, rng: Random) -> int:
    """Draw a survivor of the frontier, with its weight; the best mean where nothing was scored."""
    return _drawn(best_per_key(table, kind), table, rng)


def current_best(table: ScoreTable, kind: str, rng: Random) -> int:
    """Take the highest mean; the first among equals."""
    means = table.means
    return means.index(max(means))


def epsilon_greedy(epsilon: float = 0.1) -> Selector:
    """Return a selector that takes any candidate with probability `epsilon`, else the highest mean."""

    def select(table: ScoreTable, kind: str, rng: Random) -> int:
        return rng.randrange(len(table.scores)) if rng.random() < epsilon else current_best(table, kind, rng)

    return select


def top_k(k: int = 5) -> Selector:
    """Return a selector that draws as `pareto` does, with only the `k` highest means on the frontier."""

    def select(table: ScoreTable, kind: str, rng: Random) -> int:
        means = table.means
        kept = frozenset(sorted(range(len(means)), key=lambda i: -means[i])[:k])
        found = {key: members & kept for key, members in best_per_key(table, kind).items() if members & kept}
        return _drawn(found, table, rng)

    return select


BUILTIN: Mapping[str, Callable[[float, int], Selector]] = {
    "pareto": lambda epsilon, k: pareto,
    "current-best": lambda epsilon, k: current_best,
    "epsilon-greedy": lambda epsilon, k: epsilon_greedy(epsilon),
    "top-k": lambda epsilon, k: top_k(k),
}
"""Selectors by name, made from `search.epsilon` and `search.top_k`."""


def _drawn(found: Fronts, table: ScoreTable, rng: Random) -> int:
    counted = frontier_weights(found, table.means)
    if not counted:
        return current_best(table, "", rng)
    return rng.choices(list(counted), list(counted.values()))[0]


def _mean(values: Mapping[str, float]) -> float:
    known = [v for v in values.values() if not math.isnan(v)]
    return math.fsum(known) / len(known) if known else -math.inf
