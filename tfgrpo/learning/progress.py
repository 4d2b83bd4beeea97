"""What a run is doing right now, for displays; and how to ask it to stop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.limited import Ledger
from tfgrpo.backends.metered import Tally, total_usage
from tfgrpo.types import Group, Usage

ONCE = ("evaluate",)
"""Roles of the measurement before and after the run."""
PER_STEP = ("consolidate", "gate")
"""Roles whose calls belong to a step, not to a problem."""


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """What a whole run will take, judged by what it took so far; replayed calls included."""

    calls: int
    usage: Usage
    seconds: float | None
    """Seconds that are left; None before the first new call."""
    with_gate: bool
    """Whether a whole step has been seen, so that its gate is in the numbers."""


@dataclass(slots=True)
class Progress:
    """Live numbers of one run. Reading them costs nothing and changes nothing."""

    ledger: Ledger
    paces: tuple[Pace, ...]
    tally: Mapping[str, Tally]
    groups: Counter[str] = field(default_factory=Counter)
    """Groups graded so far, by status."""
    steps: int = 0
    """Steps committed so far."""
    on_group: Callable[[], None] | None = None
    """Called after each group that was graded."""
    clock: Callable[[], float] = time.monotonic
    _began: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.clock()

    def count_group(self, group: Group) -> None:
        """Count a group that was just graded."""
        self.groups[group.status.value] += 1
        if self.on_group is not None:
            self.on_group()

    def stop(self, reason: str) -> None:
        """Let calls in flight end and start no other; the run then ends as if a budget were used up."""
        self.ledger.stop(reason)

    @property
    def stopped(self) -> bool:
        """Whether somebody asked the run to stop."""
        return bool(self.ledger.stopped)

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return sum(pace.in_flight for pace in self.paces)

    @property
    def limit(self) -> int:
        """Calls allowed at once now."""
        return sum(int(pace.width) for pace in self.paces)

    @property
    def calls(self) -> int:
        """Calls answered, replayed ones included."""
        return sum(entry.new + entry.replayed for entry in self.tally.values())

    @property
    def usage(self) -> Usage:
        """What they consumed."""
        return total_usage(self.tally)

    def estimate(self, groups: int, steps: int, heldout: int) -> RunEstimate | None:
        """Return what `groups` groups in `steps` steps and two measurements of `heldout` problems will take in all.

        Calls of a problem grow with the groups, those of a step with the steps; None before the first group.
        """
        seen = self.groups.total()
        if not seen:
            return None
        calls, usage = 0.0, Usage()
        for role, entry in list(self.tally.items()):
            made = entry.new + entry.replayed
            if role in ONCE:
                factor = max(1.0, 2 * heldout / made) if made else 1.0
            elif role in PER_STEP:
                factor = max(1.0, steps / self.steps) if self.steps else 1.0
            else:
                factor = max(1.0, groups / seen)
            calls += made * factor
            usage += scale_usage(entry.usage, factor)
        new = sum(entry.new for entry in self.tally.values())
        left = (calls - self.calls) / new * (self.clock() - self._began) if new else None
        return RunEstimate(round(calls), usage, left, self.steps > 0)


def scale_usage(usage: Usage, factor: float) -> Usage:
    """Return `usage` so many times; unknown money stays unknown."""
    usd = None if usage.usd is None else usage.usd * factor
    prompt, completion = round(usage.prompt_tokens * factor), round(usage.completion_tokens * factor)
    return Usage(prompt, completion, round(usage.cached_tokens * factor), usd)
