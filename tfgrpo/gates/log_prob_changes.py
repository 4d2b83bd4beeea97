"""The problems an edit touches without naming them: where it changes the log-prob of a rollout that is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from experience_db import Library
from tfgrpo.advantages.moments import mean
from tfgrpo.edit_scores.tokens import LogProbs
from tfgrpo.types import Problem, Rollout


class StoredTrial(Protocol):
    """A trial that keeps a rollout of each held-out problem and can score it."""

    def stored(self, problem: Problem) -> Rollout | None:
        """Return a rollout of a held-out problem under an earlier library, None where there is none."""
        ...

    async def log_probs(
        self, library: Library, pairs: Sequence[tuple[Problem, Rollout]], *, attempt: int = 0
    ) -> LogProbs:
        """Return one row per rollout, () where it has no token ids or cannot be scored."""
        ...


@dataclass(frozen=True, slots=True)
class Changes:
    """Finds the problems an edit touches by the change of log-prob of one stored rollout of each."""

    trial: StoredTrial

    async def __call__(self, current: Library, candidate: Library, problems: Sequence[Problem]) -> tuple[float, ...]:
        """Return |change| in nats per token per problem; nan where no rollout is stored."""
        pairs = [(p, r) for p in problems if (r := self.trial.stored(p)) is not None]
        old = await self.trial.log_probs(current, pairs)
        new = await self.trial.log_probs(candidate, pairs)
        moved = {p.id: abs(mean(b) - mean(a)) for (p, _), a, b in zip(pairs, old, new, strict=True) if a and b}
        return tuple(moved.get(p.id, math.nan) for p in problems)


def changes_of(trial: object) -> Changes | None:
    """Return what finds touched problems by likelihood, where the trial can score."""
    return Changes(trial) if getattr(trial, "can_score", False) else None  # type: ignore[arg-type]
