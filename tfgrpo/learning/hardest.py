"""Which wrong attempt stands beside a right one: the likeliest, which is hardest to tell from right.

DisCO (arXiv 2505.12366) weighs wrong rollouts by exp(score / tau), its score being the mean log-prob of a rollout: what
a model believes most firmly and is wrong about counts most. A contrast takes one of them, the one of largest weight.
"""

from __future__ import annotations

import math
from dataclasses import replace

from experience_db import Library
from tfgrpo.advantages.moments import mean
from tfgrpo.edit_scores.teacher_forced import Likelihood
from tfgrpo.errors import BudgetReached
from tfgrpo.types import Group, GroupStatus


async def with_hardest(likelihood: Likelihood, library: Library, group: Group) -> Group:
    """Return a group that shows its best rollout beside the likeliest of the worst; itself where none is scored."""
    places = [i for i, reward in enumerate(group.rewards_G) if not math.isnan(reward)]
    if group.status is not GroupStatus.KEPT or len(places) < 2:
        return group
    low, high = (pick(group.rewards_G[i] for i in places) for pick in (min, max))
    wrong = [i for i in places if group.rewards_G[i] == low]
    try:
        rows = await likelihood.log_probs(library, [(group.problem, group.rollouts_G[i]) for i in wrong])
    except BudgetReached:
        return group
    firm = {i: mean(row) for i, row in zip(wrong, rows, strict=True) if row}
    if low == high or not firm:
        return group
    right = next(i for i in places if group.rewards_G[i] == high)
    return replace(group, shown=(right, max(firm, key=lambda i: firm[i])))
