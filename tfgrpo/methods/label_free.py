"""Learning without labels: every group teaches, and what most attempts answered stands in for a reference.

Source: Training-Free GRPO, arXiv 2510.08191, whose published code then summarizes every group and hides rewards and
reference. The agreement with the majority as a stand-in for the reward is ours; it orders nothing but the attempts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tfgrpo.advantages import grpo
from tfgrpo.advantages.moments import present
from tfgrpo.config import LearnConfig
from tfgrpo.graders.extract import final_answer, normalise
from tfgrpo.types import Group, GroupStatus, Rollout


def majority(rollouts_G: Sequence[Rollout]) -> str:
    """Return the final answer that most rollouts gave; empty where no answer was given twice, or two equally often."""
    given = [final_answer(r.answer).strip() for r in rollouts_G if r.failure is None]
    counts = Counter(normalise(answer) for answer in given if answer).most_common(2)
    if not counts or counts[0][1] < 2 or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return ""
    return next(answer for answer in given if normalise(answer) == counts[0][0])


def without_labels(group: Group, config: LearnConfig) -> Group:
    """Return a group whose rewards are agreement with its majority, 0 or 1, and which teaches if two attempts ended."""
    wanted = normalise(majority(group.rollouts_G))
    rewards = tuple(
        math.nan if r.failure else float(bool(wanted) and normalise(final_answer(r.answer)) == wanted)
        for r in group.rollouts_G
    )
    enough = len(present(rewards)) > 1
    own = grpo(rewards, ddof=config.advantage.ddof, eps=config.advantage.eps)
    status = GroupStatus.KEPT if enough else GroupStatus.FAILED
    return replace(group, rewards_G=rewards, advantages_G=tuple(own), status=status)
