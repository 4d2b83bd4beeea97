"""When a run is a failure: nothing could be graded, or nothing could be contrasted."""

from __future__ import annotations

from collections.abc import Sequence

from tfgrpo.errors import NothingLearned
from tfgrpo.types import Step

ENOUGH_FAILED = 8
"""After so many groups, all of them failed, a run ends."""


def require_grades(steps: Sequence[Step], problems: int) -> None:
    """End a run in which every group so far has failed, once there are enough of them: going on only costs more.

    Args:
        steps: so far.
        problems: how many there are to learn from.

    Raises:
        NothingLearned: every group failed.
    """
    enough = min(ENOUGH_FAILED, problems)
    groups = [g for s in steps for g in s.groups_P]
    if len(groups) >= enough and all(g.status == "failed" for g in groups):
        failed = [s.failure for g in groups for s in g.scores_G if s.failure]
        graded = [s.value is not None for g in groups for s in g.scores_G]
        many = "no group has two graded rollouts" if any(graded) else "not one rollout could be graded"
        raise NothingLearned(f"{many}: {failed[0].message if failed else 'the grader gave no scores'}")


def require_learning(steps: Sequence[Step]) -> None:
    """A run that learned nothing because nothing worked must not look like one that found nothing to learn.

    Raises:
        NothingLearned: every contrast failed.
    """
    groups = [g for s in steps for g in s.groups_P]
    taught = [g for g in groups if g.status == "kept"]
    lost = [f for s in steps for f in s.failures if f.kind != "budget"]
    if taught and len(lost) >= len(taught) and not any(s.proposals for s in steps):
        raise NothingLearned(f"every contrast failed, {len(lost)} in all: {lost[0].message}")
