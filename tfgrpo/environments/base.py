"""How one rollout runs: an environment gets a problem and a library and returns a rollout, or the failure instead."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Protocol

from experience_db import Library
from tfgrpo.types import Problem, Rollout, Sampling


@dataclass(frozen=True, slots=True)
class Slot:
    """Which rollout of a problem is asked for, and how its tokens are drawn."""

    role: str
    """Who asks: `rollout` while learning, `gate`, `evaluate`. Part of the journal key."""
    index: int
    """Seed index: the same problem and index mean the same noise, whatever the library; a later epoch counts on."""
    sampling: Sampling

    def seeded(self, problem: Problem) -> Sampling:
        """Return the sampling with a seed of its own for this problem and index, 31 bits.

        The seeds of a problem count up with the index, as an endpoint counts them up over the choices of one request:
        rollouts asked for together draw what they would draw one by one.
        """
        key = f"{self.sampling.seed}|{self.role}|{problem.id}"
        base = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % (2**31 - 2**20)
        return replace(self.sampling, seed=base + self.index)


class Environment(Protocol):
    """Runs one rollout. It is asked once per rollout and keeps no state between them."""

    async def __call__(self, problem: Problem, library: Library, slot: Slot) -> Rollout:
        """Return the rollout; a provider or agent failure is a value on it, not an exception."""
        ...
