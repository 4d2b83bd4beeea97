"""What a run is doing right now, for displays; and how to ask it to stop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.limited import Ledger
from tfgrpo.backends.metered import Tally, total_usage
from tfgrpo.learning.forecast import Plan, Seen, forecast
from tfgrpo.types import Group, Proposal, Step, Usage


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """What a whole run will take, judged by what it took so far; replayed calls included."""

    calls: int
    low: int
    high: int
    """Calls, at least and at most."""
    usage: Usage
    seconds: float | None
    """Seconds that are left; None before the first new call."""
    guessed: bool
    """Whether the gate is a guess still: nothing was decided yet."""


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
    finished: int = 0
    """Model calls of their rollouts."""
    contrasts: int = 0
    """Groups that were asked what they teach."""
    texts: Counter[str] = field(default_factory=Counter)
    """How often each text was proposed so far."""
    tested: int = 0
    """Edits that a gate has decided on, in committed steps."""
    on_group: Callable[[], None] | None = None
    """Called after each group that was graded."""
    clock: Callable[[], float] = time.monotonic
    _began: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.clock()

    def count_group(self, group: Group) -> None:
        """Count a group that was just graded."""
        self.groups[group.status.value] += 1
        self.finished += sum(max(1, rollout.turns) for rollout in group.rollouts_G)
        if self.on_group is not None:
            self.on_group()

    def count_proposals(self, proposals: Iterable[Proposal]) -> None:
        """Count what a contrast just proposed."""
        self.contrasts += 1
        self.texts.update(p.edit.text or str(p.edit.ids) for p in proposals)

    def count_step(self, step: Step) -> None:
        """Count a step that was just committed."""
        self.steps += 1
        self.tested += sum(len(verdict.edits) for verdict in step.verdicts if verdict.evidence)

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

    def estimate(self, plan: Plan) -> RunEstimate | None:
        """Return what a run as planned will take in all; None before the first group."""
        if not self.groups.total():
            return None
        made = {role: entry.new + entry.replayed for role, entry in list(self.tally.items())}
        used = {role: entry.usage for role, entry in list(self.tally.items())}
        groups = (self.groups.total(), self.finished, self.groups["kept"])
        counts = (*groups, self.contrasts, self.texts, self.tested, self.steps)
        found = forecast(plan, Seen(made, used, *counts))
        usage, mine = found.usage(), self.usage
        tokens = max(1, mine.prompt_tokens + mine.completion_tokens)
        usd = None if mine.usd is None else mine.usd * (usage.prompt_tokens + usage.completion_tokens) / tokens
        new = sum(entry.new for entry in self.tally.values())
        left = (found.calls() - self.calls) / new * (self.clock() - self._began) if new else None
        whole = Usage(usage.prompt_tokens, usage.completion_tokens, usd=usd)
        return RunEstimate(found.calls(), found.calls(0), found.calls(2), whole, left, found.guessed)
