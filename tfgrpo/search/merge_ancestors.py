"""Which two candidates to merge, and from which common ancestor; pure.

The conditions are those of GEPA's system-aware merge (arXiv 2507.19457, algorithm 3), asked of lessons instead of
components: some lesson differs between the two sides and stands on one side as it stood in the ancestor. With lessons
as the unit this can hold although a library is one single component.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random

TRIES = 10
"""Draws of pairs before giving up, and times that this is begun anew (GEPA)."""
EACH_KIND = 2
"""At most so many held-out problems of the subsample that i wins, and as many that j wins (of 5, GEPA)."""


@dataclass(frozen=True, slots=True)
class MergeSides:
    """Two candidates and the ancestor that they share; i < j."""

    i: int
    j: int
    ancestor: int


@dataclass(frozen=True, slots=True)
class Ancestry:
    """What merging needs to know of a pool of candidates 0..n-1."""

    parents: tuple[tuple[int, ...], ...]
    contents: tuple[Mapping[int, str], ...]
    """Per candidate: lesson id to text."""
    means: tuple[float, ...]
    measured: tuple[Collection[str], ...]
    """Per candidate: ids of the held-out problems that were scored."""


def ancestors(parents: Sequence[Sequence[int]], k: int) -> frozenset[int]:
    """Return everybody that `k` comes from, itself left out."""
    found: set[int] = set()
    waiting = list(parents[k])
    while waiting:
        parent = waiting.pop()
        if parent not in found:
            found.add(parent)
            waiting += parents[parent]
    return frozenset(found)


def differs_on_one_side(ancestor: Mapping[int, str], i: Mapping[int, str], j: Mapping[int, str]) -> bool:
    """Say whether one side alone changed some lesson: only then does a merge hold something that neither side has."""
    lessons = {*ancestor, *i, *j}
    return any(i.get(x) != j.get(x) and ancestor.get(x) in (i.get(x), j.get(x)) for x in lessons)


def usable_ancestors(family: Ancestry, i: int, j: int, done: Collection[MergeSides]) -> tuple[int, ...]:
    """Return the common ancestors from which i and j can be merged, lowest first: new, no better than either side."""
    lines = [ancestors(family.parents, k) for k in (i, j)]
    if i in lines[1] or j in lines[0]:
        return ()
    contents, means = family.contents, family.means
    return tuple(
        a
        for a in sorted(lines[0] & lines[1])
        if MergeSides(i, j, a) not in done
        and means[a] <= min(means[i], means[j])
        and differs_on_one_side(contents[a], contents[i], contents[j])
    )


def draw_sides(
    family: Ancestry, eligible: Sequence[int], done: Collection[MergeSides], rng: Random, *, overlap: int = 5
) -> MergeSides | None:
    """Draw two candidates to merge and their ancestor; None when none was found.

    Args:
        family: the pool.
        eligible: survivors of the frontier's reduction.
        done: triples that were tried before.
        rng: draws pairs, and the ancestor with weights `means`; where all of them are 0, each is as likely.
        overlap: fewest held-out problems that both sides must have been scored on.
    """
    if len(eligible) < 2 or len(family.parents) < 3:
        return None
    for _ in range(TRIES * TRIES):
        i, j = sorted(rng.sample(sorted(eligible), 2))
        found = usable_ancestors(family, i, j, done)
        if found and len(set(family.measured[i]) & set(family.measured[j])) >= overlap:
            return MergeSides(i, j, rng.choices(found, ancestor_weights(family.means, found))[0])
    return None


def ancestor_weights(means: Sequence[float], found: Sequence[int]) -> list[float]:
    """Return the weights with which an ancestor is drawn: means, never below 0, and all 1 where none is above 0."""
    drawn = [max(means[a], 0.0) if math.isfinite(means[a]) else 0.0 for a in found]
    return drawn if sum(drawn) > 0 else [1.0] * len(drawn)


def subsample(
    i: Mapping[str, float], j: Mapping[str, float], rng: Random, *, size: int = 5, each: int = EACH_KIND
) -> tuple[str, ...]:
    """Return the held-out problems on which a merge is tried first: some that i wins, some that j wins, then ties.

    Args:
        i: scores of one side by problem id.
        j: those of the other side.
        rng: draws among problems of a kind.
        size: how many; all shared problems where there are fewer.
        each: at most so many of either side's wins, before it is topped up at random.
    """
    shared = sorted(v for v in {*i} & {*j} if not (math.isnan(i[v]) or math.isnan(j[v])))
    kinds = (
        ([v for v in shared if i[v] > j[v]], each),
        ([v for v in shared if i[v] < j[v]], each),
        ([v for v in shared if i[v] == j[v]], size),
    )
    chosen: list[str] = []
    for members, most in kinds:
        chosen += rng.sample(members, min(most, len(members), size - len(chosen)))
    rest = [v for v in shared if v not in chosen]
    return tuple(chosen + rng.sample(rest, min(size - len(chosen), len(rest))))
