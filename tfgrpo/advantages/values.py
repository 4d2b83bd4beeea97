"""Advantages as a value: one number per rollout, and whether the group carried any signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload


@dataclass(frozen=True, slots=True)
class Advantages(Sequence[float]):
    """One number per rollout of a group, in the order of its rewards; reads like a tuple."""

    values: tuple[float, ...]
    """Exactly 0 where the reward was missing, and everywhere when `degenerate`."""
    degenerate: bool = False
    """True when the group has nothing to contrast: flat, a single graded rollout, or none."""

    def __len__(self) -> int:
        """Number of rollouts."""
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[float, ...]: ...

    def __getitem__(self, index: int | slice) -> float | tuple[float, ...]:
        """The advantage at an index, or several of them."""
        return self.values[index]


@dataclass(frozen=True, slots=True)
class TokenAdvantages:
    """Advantages that differ along a rollout."""

    values_G_T: tuple[tuple[float, ...], ...]
    """One row per rollout, one number per token."""
    degenerate: bool = False
    """True when all rewards were equal or missing; every number is then exactly 0."""
