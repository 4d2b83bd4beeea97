"""Rivals: edits of which one at most may enter. A short race on rollouts of its own says which of them gets a test.

The race decides nothing: its rollouts are no evidence, so the winner's test starts from nothing and holds its level
whatever the race favoured. Where enough problems are touched, the two do not even share a problem; else they share
problems but no rollout. Who loses stays untested and may come again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from statistics import fmean

from experience_db import Edit, Evidence, Library
from tfgrpo.gates.base import Case, Missing, Rewards, Trial
from tfgrpo.gates.comparison import Design, shuffle_problems
from tfgrpo.types import Problem, Proposal

SEEDS = 10_000
"""Seed indices from here on belong to races; no test uses them."""
BEHIND = 0.25
"""Mean reward by which a rival may trail the best after half of the race and still go on."""
LOWEST = -1.0
APART = 3
"""A race has problems of its own where the rivals touch so many times the problems it needs."""


@dataclass(frozen=True, slots=True)
class Race:
    """Where the rivals of a subject came in."""

    order: tuple[int, ...]
    """Places of the rivals, the best first."""
    means: tuple[float, ...]
    """Mean reward in the race, by place; `LOWEST` where nothing was scored."""
    rollouts: tuple[tuple[int, int], ...]
    """New and cached rollouts, by place."""
    reserved: frozenset[str] = field(default_factory=frozenset)
    """Units that the race keeps for itself; the winner is not tested on them."""

    def evidence(self, place: int, edit: Edit) -> Evidence:
        """Return what a rival's race measured; it speaks for nothing and says so."""
        new, cached = self.rollouts[place]
        mean = self.means[place]
        return Evidence(
            "race",
            None,
            lesson_ids=edit.ids,
            verdict="undecided",
            reason=f"came {self.order.index(place) + 1} of {len(self.order)} in a race that is no evidence",
            detail={"role": "race", "mean": mean, "pairs": new + cached, "rollouts": {"new": new, "cached": cached}},
        )


def rival_groups(proposals: Sequence[Proposal]) -> list[list[int]]:
    """Return the places of proposals that exclude each other: the same subject, or a lesson that both touch.

    In order of first appearance; a proposal without rivals is a group of its own.
    """
    groups: list[list[int]] = []
    for place, proposal in enumerate(proposals):
        near = [g for g in groups if any(_exclude(proposal, proposals[other]) for other in g)]
        joined = sorted([place, *(other for g in near for other in g)])
        groups = [g for g in groups if g not in near] + [joined]
    return sorted(groups)


def _exclude(a: Proposal, b: Proposal) -> bool:
    return (a.subject != "" and a.subject == b.subject) or bool(set(a.edit.ids) & set(b.edit.ids))


async def race_rivals(
    rivals: Sequence[Proposal],
    library: Library,
    problems: Sequence[Problem],
    units: Mapping[str, str],
    trial: Trial,
    rewards: Rewards,
    design: Design,
) -> Race:
    """Let rivals meet the same cases, and order them by their mean reward, then by their support.

    `problems` are those that any of them touches. The current library need not run: its rewards would be the same for
    all. Who is more than `BEHIND` the best after half of the cases stops there.
    """
    members: dict[str, Problem] = {}
    for problem in shuffle_problems(problems, f"{library.name}/{library.version}/race"):
        members.setdefault(units.get(problem.id, problem.id), problem)
    apart = len(members) >= APART * design.race
    chosen = list(members.values())[: design.race]
    cases: list[Case] = [(chosen[i % len(chosen)], SEEDS + i // len(chosen)) for i in range(design.race)]
    half = (len(cases) + 1) // 2
    seen: list[list[float]] = [[] for _ in rivals]
    rollouts, running = [(0, 0)] * len(rivals), list(range(len(rivals)))
    for lap in (cases[:half], cases[half:]):
        for place in running if lap else ():
            after = await rewards.measure(trial, library.with_edits((rivals[place].edit,)), lap)
            known = [0.0 if o.missing is Missing.OWN_FAULT else o.reward for o in after.observations]
            seen[place] += [reward for reward in known if not isnan(reward)]
            new, cached = rollouts[place]
            rollouts[place] = (new + after.new, cached + len(lap) - after.new)
        best = max((_mean(own) for own in seen), default=LOWEST)
        running = [place for place in running if _mean(seen[place]) >= best - BEHIND]
        running = running if len(running) > 1 else []

    def rank(place: int) -> tuple[float, float, int]:
        return -_mean(seen[place]), -rivals[place].support * rivals[place].weight, place

    used = chosen[: max(map(len, seen))]
    own = frozenset(units.get(p.id, p.id) for p in used) if apart else frozenset[str]()
    return Race(tuple(sorted(range(len(rivals)), key=rank)), tuple(map(_mean, seen)), tuple(rollouts), own)


def _mean(rewards: Sequence[float]) -> float:
    return fmean(rewards) if rewards else LOWEST
