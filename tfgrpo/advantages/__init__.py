"""Rewards to advantages: pure numbers, no model. Missing is nan; a group without contrast is exactly 0 and says so.

In: the rewards of a group, or of all graders of a group. Out: one number per rollout (or per token), and
`degenerate`. Read `grpo.py` first; `moments.py` holds what all of them divide by.
"""

from tfgrpo.advantages.critic import (
    Critic,
    StepAdvantages,
    critic_advantages,
    critic_value,
    gae,
    observe,
    value_loss,
    whiten,
)
from tfgrpo.advantages.dr_grpo import dr_grpo, rloo
from tfgrpo.advantages.gdpo import GdpoAdvantages, gdpo, scale_batch
from tfgrpo.advantages.grpo import grpo, process_supervision
from tfgrpo.advantages.shaping import condition, mask_truncated, soft_overlong
from tfgrpo.advantages.values import Advantages, TokenAdvantages

__all__ = [
    "Advantages",
    "Critic",
    "GdpoAdvantages",
    "StepAdvantages",
    "TokenAdvantages",
    "condition",
    "critic_advantages",
    "critic_value",
    "dr_grpo",
    "gae",
    "gdpo",
    "grpo",
    "mask_truncated",
    "observe",
    "process_supervision",
    "rloo",
    "scale_batch",
    "soft_overlong",
    "value_loss",
    "whiten",
]
