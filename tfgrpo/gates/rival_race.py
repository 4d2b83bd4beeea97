"""Rivals: edits of which one at most may enter. A short race on rollouts of its own says which of them gets a test.

The race decides nothing: its rollouts are no evidence, so the winner's test starts from nothing and holds its level
whatever the race favoured. Where enough problems are touched, the two do not even share a problem; else they share
problems but no rollout. Who loses stays untested and may come again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, isnan
from statistics import fmean

from experience_db import Edit, Evidence, Library
from tfgrpo.gates.base import Case, Missing, Observation, Rewards, Trial
from tfgrpo.gates.comparison import Design, shuffle_problems
from tfgrpo.types import Problem, Proposal

SEEDS = 10_000
"""Seed indices from here on belong to races; no test uses them."""
LAPS = ((0.125, 0.95), (0.25, 0.5), (0.5, 0.25), (1.0, 2.0))
"""Shares of the race, and the mean reward by which a rival may trail the best there and still go on.

After the first lap, two rollouts of sixteen, only who failed at all stops, where another failed at nothing.
"""
AGAINST = 0.25
"""Share of the race that the library as it is runs too, where rivals would replace words of it."""
FEWEST = 2
"""Rollouts below which a lap tells nobody apart."""
HOPELESS = 0.125
"""Mean reward of the best after half of the race up to which more of it would tell nobody apart."""
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
    incumbent: float = LOWEST
    """Mean reward of the library as it is in the first laps, where rivals would replace words of it."""
    behind: frozenset[int] = field(default_factory=frozenset)
    """Places of those that fell so far behind it that they get no test."""

    def told_behind(self, place: int) -> str:
        """Return why a rival that fell behind the library as it is gets no test."""
        means = f"mean {self.means[place]:.2f} against {self.incumbent:.2f}"
        return f"not tested: far behind the words that it would replace, {means} in a short race"

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


def race_mean(found: Evidence) -> float | None:
    """Return the mean reward that a race measured, `LOWEST` where nothing was scored; None for other evidence."""
    return float(found.detail["mean"]) if found.kind == "race" else None


def rival_groups(proposals: Sequence[Proposal]) -> list[list[int]]:
    """Return the places of proposals that exclude each other: the same subject, or a lesson that both touch.

    In order of first appearance; a proposal without rivals is a group of its own.
    """
    said: dict[object, int] = {}
    first = list(range(len(proposals)))

    def root(place: int) -> int:
        while first[place] != place:
            first[place] = first[first[place]]
            place = first[place]
        return place

    for place, proposal in enumerate(proposals):
        about = [*proposal.edit.ids, *([proposal.subject] if proposal.subject else [])]
        for other in [said.setdefault(each, place) for each in about]:
            earlier, later = sorted((root(place), root(other)))
            first[later] = earlier
    groups: dict[int, list[int]] = {}
    for place in range(len(proposals)):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def replaces(proposal: Proposal) -> bool:
    """Whether an edit puts other words in the place of a lesson."""
    return bool(proposal.edit.ids) and proposal.edit.text is not None


async def race_rivals(
    rivals: Sequence[Proposal],
    library: Library,
    problems: Sequence[Problem],
    units: Mapping[str, str],
    trial: Trial,
    rewards: Rewards,
    design: Design,
    *,
    against: bool = True,
) -> Race:
    """Let rivals meet the same cases, and order them by their mean reward, then by their support.

    `problems` are those that any of them touches. Who trails by too much at the end of a lap (`LAPS`) stops there. The
    library as it is runs the first laps (`AGAINST`) where a rival would replace words of it, unless `against` is False;
    else it need not: its rewards would be the same for all.
    """
    members: dict[str, Problem] = {}
    for problem in shuffle_problems(problems, f"{library.name}/{library.version}/race"):
        members.setdefault(units.get(problem.id, problem.id), problem)
    apart = len(members) >= APART * design.race
    chosen = list(members.values())[: design.race]
    cases: list[Case] = [(chosen[i % len(chosen)], SEEDS + i // len(chosen)) for i in range(design.race)]
    seen: list[list[float]] = [[] for _ in rivals]
    rollouts, running = [(0, 0)] * len(rivals), list(range(len(rivals)))
    against = against and any(map(replaces, rivals))
    current: list[float] = []
    far, extra, done = set[int](), 0, 0
    for share, behind in LAPS:
        if not running:
            break
        until = max(ceil(share * len(cases)), min(FEWEST, len(cases)))
        lap, done = cases[done:until], until
        beside = against and share <= AGAINST
        if beside and lap:
            before = await rewards.measure(trial, library, lap)
            current, extra = current + _scored(before.observations), extra + before.new
        for place in running if lap else ():
            after = await rewards.measure(trial, library.with_edits((rivals[place].edit,)), lap)
            seen[place] += _scored(after.observations)
            new, cached = rollouts[place]
            rollouts[place] = (new + after.new, cached + len(lap) - after.new)
        if beside:
            least = _mean(current) - behind
            far |= {i for i in running if seen[i] and replaces(rivals[i]) and _mean(seen[i]) < least}
        best = max((_mean(own) for own in seen), default=LOWEST)
        running = [place for place in running if _mean(seen[place]) >= best - behind and place not in far]
        hopeless = done >= len(cases) / 2 and best <= HOPELESS
        running = running if (len(running) > 1 or (beside and share < AGAINST)) and not hopeless else []
    rollouts[0] = (rollouts[0][0] + extra, rollouts[0][1])

    def rank(place: int) -> tuple[float, float, int]:
        return -_mean(seen[place]), -rivals[place].support * rivals[place].weight, place

    used = chosen[: max(map(len, seen))]
    own = frozenset(units.get(p.id, p.id) for p in used) if apart else frozenset[str]()
    order = tuple(sorted(range(len(rivals)), key=rank))
    return Race(order, tuple(map(_mean, seen)), tuple(rollouts), own, _mean(current), frozenset(far))


def _scored(observations: Iterable[Observation]) -> list[float]:
    known = [0.0 if o.missing is Missing.OWN_FAULT else o.reward for o in observations]
    return [reward for reward in known if not isnan(reward)]


def _mean(rewards: Sequence[float]) -> float:
    return fmean(rewards) if rewards else LOWEST
