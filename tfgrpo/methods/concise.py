"""GFPO: of the rollouts of a group those teach that are short, or worth their tokens; and brevity itself may be taught.

Where right attempts differ in length there is something to learn about length even if all are right: a contrast of
brevity, the shortest against the longest. Source of the filters: arXiv 2508.09726; the contrast is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tfgrpo.advantages import grpo
from tfgrpo.advantages.moments import mean, present
from tfgrpo.config import LearnConfig
from tfgrpo.errors import UsageError
from tfgrpo.methods.judging import CORRECT, accuracy, judged
from tfgrpo.methods.memory import Memory
from tfgrpo.methods.reward import generated_length
from tfgrpo.selection import AdaptiveK, adaptive_sizes, gfpo
from tfgrpo.types import Group, GroupStatus

TOKENS = "tokens"
"""The objective of a contrast of brevity."""


def concise(group: Group, k: int, config: LearnConfig, memory: Memory) -> Group:
    """Keep k rollouts (GFPO); the others neither teach nor count in the statistics. The best ranked is shown first."""
    efficient = config.selection.kind == "gfpo-efficiency"
    found = gfpo(
        group.rewards_G,
        [generated_length(r) for r in group.rollouts_G],
        k,
        metric="shifted reward/length" if efficient else "length",
        stratified=config.selection.stratified,
    )
    kept = set(found.selected)
    masked = [r if i in kept else math.nan for i, r in enumerate(group.rewards_G)]
    sign = -1.0 if efficient else 1.0
    order = tuple(sorted(found.selected, key=lambda i: sign * found.metric_G[i]))
    made = replace(judged(group, masked, config, memory), shown=order)
    return _brief(made, config) if config.selection.contrast == "brevity" else made


def _brief(group: Group, config: LearnConfig) -> Group:
    """Let a group of right rollouts teach where they differ in length: their advantages are those of brevity."""
    if group.status is not GroupStatus.FLAT or min(present(accuracy(group)), default=0.0) <= CORRECT:
        return group
    if brevity_pair(group, config.selection.shorter) is None:
        return group
    lengths = [
        x if math.isnan(x) else -generated_length(r) for r, x in zip(group.rollouts_G, group.rewards_G, strict=True)
    ]
    own = grpo(lengths, ddof=config.advantage.ddof, eps=config.advantage.eps)
    return replace(group, status=GroupStatus.KEPT, advantages_G=tuple(own), objective=TOKENS)


def brevity_pair(group: Group, shorter: float) -> tuple[int, int] | None:
    """Return the places of the shortest and the longest right rollout; None where their lengths are too close.

    Args:
        group: graded rollouts.
        shorter: the largest share of the longest that counts as shorter.
    """
    right = [i for i, a in enumerate(accuracy(group)) if a > CORRECT and not math.isnan(group.rewards_G[i])]
    if len(right) < 2:
        return None
    lengths = {i: generated_length(group.rollouts_G[i]) for i in right}
    short, long = min(right, key=lengths.__getitem__), max(right, key=lengths.__getitem__)
    return (short, long) if lengths[short] <= shorter * lengths[long] and short != long else None


def adaptive(groups: Sequence[Group], config: LearnConfig, memory: Memory) -> tuple[Group, ...]:
    """Return the groups with k by their difficulty among all groups so far (GFPO, Alg. 2)."""
    means = [mean(g.rewards_G) for g in groups]
    sizes = adaptive_sizes(means, [*memory.means, *means], _sizes(config))
    return tuple(concise(g, k, config, memory) for g, k in zip(groups, sizes, strict=True))


def _sizes(config: LearnConfig) -> AdaptiveK:
    """The four sizes as configured, else those of the paper, 8, 8, 6 and 4 of 16, scaled to the group, at least 2."""
    size, least = config.rollout.group_size, config.selection.min_history
    if not config.selection.k_adaptive:
        k = [max(2, math.ceil(size * share / 16)) for share in (8, 8, 6, 4)]
    else:
        k = [int(x) for x in config.selection.k_adaptive.split(",") if x.strip().isdecimal()]
    if len(k) != 4:
        raise UsageError(f"selection.k_adaptive is four sizes such as 8,8,6,4, not {config.selection.k_adaptive!r}")
    return AdaptiveK(k[0], k[1], k[2], k[3], least)
