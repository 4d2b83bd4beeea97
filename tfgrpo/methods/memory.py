"""What the steps of a run leave for its method: a function of the groups so far, the same when a run is repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tfgrpo.advantages import Critic
from tfgrpo.config import LearnConfig
from tfgrpo.types import Problem, Rollout, Score


@dataclass(frozen=True, slots=True)
class Memory:
    """What the steps so far left for the method."""

    critic: Critic = Critic()  # noqa: RUF009 - frozen
    steps: Critic = Critic()  # noqa: RUF009 - frozen
    """What was earned from each step of a problem on (GAE)."""
    means: tuple[float, ...] = ()
    """Mean reward of each group so far (GFPO's difficulty)."""
    correct: tuple[str, ...] = ()
    """Answers of correct rollouts (HICRA's corpus)."""
    unsolved: tuple[Problem, ...] = ()
    """Problems that nobody solved, longest waiting first (DAPO's retry queue)."""
    tries: Mapping[str, int] = field(default_factory=dict)
    """Further groups each problem has cost."""
    earlier: Mapping[str, tuple[tuple[Rollout, Score], ...]] = field(default_factory=dict)
    """The newest graded rollouts of each problem, oldest first, for a critic that has no siblings to show."""
    tried: Mapping[str, int] = field(default_factory=dict)
    """The library version under which each problem was last tried."""


EMPTY_MEMORY = Memory()


def initial_memory(config: LearnConfig) -> Memory:
    """Return the memory before the first step."""
    untaught = Critic(config.advantage.prior_mean, config.advantage.prior_strength)
    return Memory(untaught, untaught)
