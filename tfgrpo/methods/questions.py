"""What the summarizer is asked of a group: one contrast of all rollouts, of a chosen pair, or one for each objective.

A question is the group itself, narrowed: `shown` holds the rollouts that are laid side by side, the first one the
better, and `objective` names what the contrast is about where it is not the whole reward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from tfgrpo.config import LearnConfig
from tfgrpo.methods.concise import TOKENS, brevity_pair
from tfgrpo.methods.judging import grader_names
from tfgrpo.methods.reward import Reward, generated_length
from tfgrpo.types import Group, GroupStatus


def questions(group: Group, config: LearnConfig) -> tuple[Group, ...]:
    """Return the contrasts that `group` is asked for; none where a pair is wanted and no two rollouts differ."""
    kind = config.selection.contrast
    if group.status is not GroupStatus.KEPT or kind == "all":
        return (group,)
    if kind == "objectives":
        return _by_objective(group, config)
    if kind == "brevity":
        return _with_brevity(group, config)
    if kind == "hardest" and group.shown is not None and len(group.shown) == 2:
        return (group,)
    pair = _drawn_pair(group) if kind == "random-pair" else _best_pair(group, config)
    return (replace(group, shown=pair),) if pair else ()


def _graded(group: Group) -> list[int]:
    """Places of the rollouts that take part."""
    shown = range(len(group.rewards_G)) if group.shown is None else group.shown
    return [i for i in shown if not math.isnan(group.rewards_G[i])]


def _best_pair(group: Group, config: LearnConfig) -> tuple[int, int] | None:
    """Return the best and the worst rollout by advantage; None where nothing differs.

    GRPO spreads an advantage over the tokens of its rollout (1 / |y|), so among equals the shorter one carries more of
    it and is shown; everywhere else length plays no part and the first drawn is.
    """
    places = _graded(group)
    size = {i: generated_length(group.rollouts_G[i]) if config.advantage.kind == "grpo" else 0.0 for i in places}
    best = min(places, key=lambda i: (-group.advantages_G[i], size[i]), default=0)
    worst = min(places, key=lambda i: (group.advantages_G[i], size[i]), default=0)
    return (best, worst) if places and group.rewards_G[best] != group.rewards_G[worst] else None


def _drawn_pair(group: Group) -> tuple[int, int] | None:
    """Return two rollouts that differ in reward, drawn by the problem, the better one first."""
    rewards, places = group.rewards_G, _graded(group)
    pairs = [(i, j) for i in places for j in places if rewards[i] > rewards[j]]
    return Random(f"{group.problem.id}:{group.rollouts_G[0].index}").choice(pairs) if pairs else None


def _by_objective(group: Group, config: LearnConfig) -> tuple[Group, ...]:
    """Return a question for each named score that differs: the best against the worst in it, alike in the others.

    Rewards and advantages of a question are those of its score, a condition (GDPO, Eq. 8) included.
    """
    names = grader_names(group)
    if names == ("",) or not group.grader_advantages_G:
        return (group,)
    paid = [Reward(config).paid_parts(score) for score in group.scores_G]
    asked = []
    for name in names:
        places = [i for i in _graded(group) if not math.isnan(paid[i].get(name, math.nan))]
        pair = _apart(name, names, paid, places)
        if pair is not None:
            rewards = tuple(p.get(name, math.nan) for p in paid)
            own = tuple(a.get(name, 0.0) for a in group.grader_advantages_G)
            asked.append(replace(group, rewards_G=rewards, advantages_G=own, shown=pair, objective=name))
    return tuple(asked)


def _apart(
    name: str, names: Sequence[str], paid: Sequence[dict[str, float]], places: Sequence[int]
) -> tuple[int, int] | None:
    """Return the two rollouts that are furthest apart in one score, and of those the two most alike in the others."""
    others = [n for n in names if n != name]

    def alike(i: int, j: int) -> float:
        return math.fsum(abs(paid[i].get(n, 0.0) - paid[j].get(n, 0.0)) for n in others)

    pairs = [(i, j) for i in places for j in places if paid[i][name] > paid[j][name]]
    return min(pairs, key=lambda p: (paid[p[1]][name] - paid[p[0]][name], alike(*p), p), default=None)


def _with_brevity(group: Group, config: LearnConfig) -> tuple[Group, ...]:
    """Return the group's own contrast where it has one, and that of the shortest against the longest right rollout."""
    pair = brevity_pair(group, config.selection.shorter)
    own = () if group.objective == TOKENS else (group,)
    return (*own, replace(group, shown=pair, objective=TOKENS)) if pair else own
