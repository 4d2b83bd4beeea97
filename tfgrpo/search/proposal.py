"""What a proposal of a search starts from, and what comes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from experience_db import Library
from tfgrpo.search.components import LIBRARY
from tfgrpo.types import Failure, Group, Problem, Proposal, Verdict


@dataclass(frozen=True, slots=True)
class MutationTask:
    """What one proposal starts from."""

    parent: int
    """Index in the pool."""
    library: Library
    """The parent's version, its `next_id` that of the newest version."""
    problems: tuple[Problem, ...]
    epoch: int
    step: int
    told: tuple[Verdict, ...] = ()
    """Refusals of the same parent."""
    components: tuple[str, ...] = (LIBRARY,)
    """What it rewrites."""


@dataclass(frozen=True, slots=True)
class Child:
    """What came of a proposal."""

    task: MutationTask
    groups: tuple[Group, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    """The edits of the child; without any there is no child."""
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    """Rewards of parent and child on the same problems and seeds."""
    refused: str = ""
    """Why it goes no further; '' when the minibatch accepted it."""
    dropped: tuple[Verdict, ...] = ()
    failures: tuple[Failure, ...] = ()
    skipped: str = ""
    """Why there was no reflection."""
    stopped: str = ""
    """Which budget cut it short."""

    @property
    def library(self) -> Library:
        """The child, as it was tried."""
        return self.task.library.with_edits([p.edit for p in self.proposals])

    @property
    def accepted(self) -> bool:
        """Whether it may go on to validation."""
        return bool(self.proposals) and not (self.refused or self.stopped)

    @property
    def gain(self) -> float:
        """By how much its rewards on the minibatch add up to more than the parent's."""
        pairs = zip(self.before, self.after, strict=True)
        return math.fsum(b - a for a, b in pairs if not math.isnan(b - a)) if self.after else 0.0
