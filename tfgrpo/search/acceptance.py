"""Whether a child may go on to validation, from rewards of parent and child on the same minibatch; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tfgrpo.gates.eprocess import fold


class Acceptance(Protocol):
    """Judges a child on its minibatch."""

    def __call__(self, parent: Sequence[float], child: Sequence[float]) -> str:
        """Return why the child is refused; '' when it may go on. Rewards are paired and in order; nan is missing."""
        ...


def complete_pairs(parent: Sequence[float], child: Sequence[float]) -> list[tuple[float, float]]:
    """Return the pairs that have both rewards: a failed rollout speaks neither for nor against a child."""
    return [(a, b) for a, b in zip(parent, child, strict=True) if not (math.isnan(a) or math.isnan(b))]


def strict(parent: Sequence[float], child: Sequence[float]) -> str:
    """Refuse a child whose rewards do not add up to more than the parent's."""
    return _compared(parent, child, lambda a, b: b > a)


def or_equal(parent: Sequence[float], child: Sequence[float]) -> str:
    """Refuse a child whose rewards add up to less than the parent's."""
    return _compared(parent, child, lambda a, b: b >= a)


def confident(parent: Sequence[float], child: Sequence[float], *, odds: float = 4.0) -> str:
    """Refuse a child unless a betting test of the paired differences holds `odds` to one that it is better.

    Rewards lie in [0, 1]; the test is the gate's (`tfgrpo.gates.eprocess`).
    """
    found = complete_pairs(parent, child)
    if not found:
        return "no pair of rewards was measured"
    e = fold([b - a for a, b in found]).e_better
    return "" if e >= odds else f"E {e:.2g} that it is better, below {odds:g}"


BUILTIN: Mapping[str, Acceptance] = {"strict": strict, "or-equal": or_equal, "paired": confident}
"""Acceptance rules by name."""


def _compared(parent: Sequence[float], child: Sequence[float], better: Callable[[float, float], bool]) -> str:
    found = complete_pairs(parent, child)
    if not found:
        return "no pair of rewards was measured"
    a, b = math.fsum(a for a, _ in found), math.fsum(b for _, b in found)
    return "" if better(a, b) else f"minibatch {a:g} -> {b:g} over {len(found)} rollouts"
