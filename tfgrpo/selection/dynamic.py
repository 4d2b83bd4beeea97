"""DAPO's dynamic sampling: only groups that disagree teach, and what was left out is counted and kept.

The filter looks at accuracy, never at the shaped reward: an all-correct group whose length penalties differ is flat.
Success rates of the groups that stay are not accuracies; they were selected to lie between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tfgrpo.advantages.moments import is_flat, present
from tfgrpo.errors import UsageError
from tfgrpo.types import GroupStatus


class Action(StrEnum):
    """What to do after a round of dynamic sampling."""

    ENOUGH = "enough"
    """As many informative groups as wanted."""
    RESAMPLE = "resample"
    """Too few, and the sampling budget allows another round."""
    PARTIAL = "partial"
    """Too few and the budget is used up: go on with what there is."""
    EMPTY = "empty"
    """None at all and the budget is used up: there is nothing to teach, and that is the result."""


@dataclass(frozen=True, slots=True)
class Informative:
    """Which groups of a batch teach, and what became of the others."""

    keep_P: tuple[bool, ...]
    status_P: tuple[GroupStatus, ...]
    """KEPT, FLAT, or FAILED where fewer than two rollouts are graded."""
    retry: tuple[int, ...]
    """Indexes of groups that nobody solved; a later library may flip them, so they go back in the queue."""

    @property
    def n_kept(self) -> int:
        """Number of informative groups."""
        return sum(self.keep_P)


def keep_informative(accuracy_P_G: Sequence[Sequence[float]], *, solved_above: float = 0.0) -> Informative:
    """Keep the groups whose graded rollouts disagree: 0 < number correct < graded.

    Source: DAPO, arXiv 2503.14476, Eq. 11.

    Args:
        accuracy_P_G: correctness before any shaping, one row per group; nan where a rollout failed or is unscored.
        solved_above: a flat group at or below this accuracy counts as unsolved and is put up for retry.

    Raises:
        UsageError: an accuracy is infinite.
    """
    status = tuple(_status(accuracy_G) for accuracy_G in accuracy_P_G)
    unsolved = tuple(
        p
        for p, accuracy_G in enumerate(accuracy_P_G)
        if status[p] is GroupStatus.FLAT and max(present(accuracy_G)) <= solved_above
    )
    return Informative(tuple(s is GroupStatus.KEPT for s in status), status, unsolved)


def _status(accuracy_G: Sequence[float]) -> GroupStatus:
    if len(present(accuracy_G)) < 2:
        return GroupStatus.FAILED
    return GroupStatus.FLAT if is_flat(accuracy_G) else GroupStatus.KEPT


def sampling_action(n_kept: int, *, wanted: int = 1, rounds: int = 1, max_rounds: int | None = None) -> Action:
    """What to do after `rounds` rounds that left `n_kept` informative groups.

    Source: DAPO, arXiv 2503.14476, section 3.2; the bound is verl's `max_num_gen_batches`.

    Args:
        n_kept: informative groups so far.
        wanted: how many are wanted, at least 1.
        rounds: generation rounds already spent.
        max_rounds: the sampling budget in rounds; None is unbounded.

    Raises:
        UsageError: `wanted` or `max_rounds` is below 1.
    """
    if wanted < 1 or (max_rounds is not None and max_rounds < 1):
        raise UsageError("dynamic sampling wants at least one group and one round; raise wanted or max_rounds")
    if n_kept >= wanted:
        return Action.ENOUGH
    if max_rounds is None or rounds < max_rounds:
        return Action.RESAMPLE
    return Action.PARTIAL if n_kept else Action.EMPTY
