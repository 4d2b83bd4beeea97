"""A run of any length keeps little in memory: what rollouts said is in the store."""

from __future__ import annotations

import math

from tfgrpo.learning.record_step import step_summary
from tfgrpo.learning.summary import without_contents
from tfgrpo.types import Failure, FailureKind, Group, GroupStatus, Problem, Rollout, Score, Step, Verdict

DOWN = Failure(FailureKind.PROVIDER, "down")
GROUP = Group(
    Problem("p", "?"),
    (Rollout("p", 0, answer="x" * 10_000), Rollout("p", 1, failure=DOWN)),
    (Score(1.0, "because " * 100), Score(None, failure=DOWN)),
    (1.0, math.nan),
    (0.0, 0.0),
    GroupStatus.FAILED,
    3,
)
STEP = Step(4, 1, (GROUP,), (), (Verdict("rejected", (), "worse"),), (DOWN,), 3, 3)


def test_a_step_that_was_shed_keeps_its_numbers():
    """Summaries, failures and verdicts are those of the whole step; answers and reasons are gone."""
    kept = without_contents(STEP)
    assert step_summary(kept) == step_summary(STEP)
    assert kept.verdicts == STEP.verdicts
    (group,) = kept.groups_P
    assert group.status is GroupStatus.FAILED
    assert not any(r.answer for r in group.rollouts_G)
    assert not any(s.why for s in group.scores_G)
