"""The reward ranges that the papers publish, through whole runs with the gate that needs [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.script import TOPICS, Model, learn, lesson, rows

from tfgrpo.datasets import from_rows
from tfgrpo.errors import UsageError
from tfgrpo.types import Problem, Rollout


def right(problem: Problem, rollout: Rollout) -> bool:
    """Whether an answer is the reference."""
    return rollout.answer == f"Answer: {problem.answer}"


def plus_minus(problem: Problem, rollout: Rollout) -> float:
    """DAPO, Eq. 7, and GFPO: 1 or -1."""
    return 1.0 if right(problem, rollout) else -1.0


def tool_calling(problem: Problem, rollout: Rollout) -> dict[str, float]:
    """GDPO's tool calling: format in {0, 1}, correctness in [-3, 3]."""
    return {"correctness": 3.0 if right(problem, rollout) else -3.0, "format": 1.0}


@pytest.mark.parametrize(
    ("method", "grader", "ends"),
    [
        ("dapo", plus_minus, (-1.0, 1.0)),
        ("gfpo", plus_minus, (-1.0, 1.0)),
        ("grpo", plus_minus, (-1.0, 1.0)),
        ("gdpo", tool_calling, (-1.0, 2.0)),
    ],
)
def test_published_ranges_run_from_group_to_gate(
    method: str, grader: Callable[..., Any], ends: tuple[float, float], tmp_path: Any
) -> None:
    """Rewards are shown as published, the paired gate decides in [0, 1], and all lessons of the topics enter."""
    heldout = from_rows(rows(48, start=500))
    declared = [f"reward.low={ends[0]}", f"reward.high={ends[1]}"]
    declared += ["reward.parts.correctness=[-3, 3]"] if method == "gdpo" else []
    result = learn(
        Model(), rows(12), tmp_path / "a.db", method=method, grader=grader, heldout=heldout, gate="paired", epochs=2,
        overrides=declared,
    )  # fmt: skip
    rewards = {r for step in result.steps for g in step.groups_P for r in g.rewards_G}
    assert rewards == set(ends)
    assert {x.text for x in result.library} == set(map(lesson, TOPICS))


def test_a_named_score_that_never_varied_is_not_weighed_blindly(tmp_path: Any) -> None:
    """All held-out answers are wrong at first, -3 each: without a declared range nothing could ever improve."""
    heldout = from_rows(rows(48, start=500))
    with pytest.raises(UsageError, match=r"reward\.parts\.correctness=\[LOW, HIGH\]"):
        learn(
            Model(), rows(12), tmp_path / "a.db", method="gdpo", grader=tool_calling, heldout=heldout, gate="paired",
            overrides=["reward.low=-1", "reward.high=2"],
        )  # fmt: skip
