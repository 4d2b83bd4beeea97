"""Rollouts of several arms side by side: interleaved, on the same seeds, each kept so that no one pays twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from experience_db import Library
from tfgrpo.errors import BudgetReached, UsageError
from tfgrpo.graders import grade
from tfgrpo.proving.pairs import OWN_FAULT, Pair, Side
from tfgrpo.rollout import Actor, Graded, roll_out
from tfgrpo.types import FailureKind, Problem, Sampling

Case = tuple[str, Problem, int]
"""Arm, problem, seed index."""

ROLE = "prove"
REDRAWS = 2
"""How often a rollout that an outage hit is drawn again."""


@dataclass(slots=True)
class ArmRollouts:
    """What measures; remembers every attempt."""

    actor: Actor
    arms: Mapping[str, Library]
    sampling: Sampling
    known: dict[tuple[str, str, int], Side] = field(default_factory=dict)
    opening: Callable[[], Mapping[str, Any] | None] | None = None
    """Called once, when the first answer is there and before it is scored; what cannot be asked opens nothing."""
    opened: Mapping[str, Any] | None = None
    """What `opening` said."""

    async def measure(self, cases: Sequence[Case]) -> None:
        """Roll out those of `cases` that are not known, in this order, `actor.concurrency` at once.

        Raises:
            BudgetReached: a budget did not admit all of them; what was measured before stays.
            UsageError: a reward outside [0, 1].
        """
        left = [c for c in dict.fromkeys((arm, p.id, i) for arm, p, i in cases) if c not in self.known]
        by_id = {p.id: p for _, p, _ in cases}
        for again in range(REDRAWS + 1):
            jobs = [partial(self._one, arm, by_id[problem], index) for arm, problem, index in left]
            found = await self.actor.executor.run(jobs, limit=self.actor.concurrency)
            for key, graded in zip(left, found, strict=True):
                self.known[key] = side_of(graded)
            left = [c for c in left if _outage(self.known[c])] if again < REDRAWS else []
            if not left:
                break
        for key in [k for k, s in self.known.items() if s.failure == FailureKind.BUDGET.value]:
            del self.known[key]
            raise BudgetReached("a budget was reached before all pairs were measured")

    async def _one(self, arm: str, problem: Problem, index: int) -> Graded:
        slot = self.actor.slot(ROLE, index, self.sampling)
        rollout = await roll_out(self.actor, problem, self.arms[arm], slot)
        if self.opening and (rollout.failure is None or rollout.failure.kind.value in OWN_FAULT):
            opening, self.opening = self.opening, None
            self.opened = opening()
        (score,) = await grade(self.actor.grader, problem, (rollout,))
        return Graded(rollout, score)

    def pairs(self, given: str, without: str, cases: Sequence[tuple[Problem, int]]) -> list[Pair]:
        """Return the pairs of two arms."""
        return [Pair(p.id, p.question, self.known[without, p.id, i], self.known[given, p.id, i], i) for p, i in cases]


def interleaved(arms: Sequence[str], cases: Sequence[tuple[Problem, int]]) -> list[Case]:
    """Return every arm at every case, all arms of a case together, each arm first in its turn."""
    turned = []
    for place, (problem, index) in enumerate(cases):
        first = place % len(arms)
        turned += [(arm, problem, index) for arm in (*arms[first:], *arms[:first])]
    return turned


def side_of(graded: Graded) -> Side:
    """Return an attempt as one side of a pair; raises UsageError for a reward outside [0, 1]."""
    rollout, reward = graded.rollout, graded.reward
    failure = rollout.failure or graded.score.failure
    if not (math.isnan(reward) or 0.0 <= reward <= 1.0):
        raise UsageError(
            f"the grader gave {reward:g} on problem {rollout.problem_id!r}, but the test needs rewards in [0, 1]; "
            "rescale them in the grader"
        )
    replayed = rollout.reply is not None and rollout.reply.replayed
    kind = failure.kind.value if failure else ("unscored" if math.isnan(reward) else "")
    return Side(reward, kind, rollout.answer, rollout.usage, None if replayed else rollout.seconds)


def _outage(side: Side) -> bool:
    return bool(side.failure) and side.failure not in OWN_FAULT and side.failure not in ("budget", "unscored")
