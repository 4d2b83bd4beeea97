"""What a run is doing right now, for displays; and how to ask it to stop."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.limited import Ledger
from tfgrpo.backends.metered import Tally, total_usage
from tfgrpo.learning.forecast import ASKS, GATE, LESSONS, PARTS, Plan, Seen, forecast
from tfgrpo.types import Group, Proposal, Step, Usage, Verdict


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
    accepted: int = 0
    refused: int = 0
    """Of those, what went into the library, and what contrasts are told of now."""
    gate: Counter[str] = field(default_factory=Counter)
    """The same of the step under way, `waiting`: edits whose test is to come, and `later`: those in later rounds."""
    met: Counter[str] = field(default_factory=Counter)
    """`texts`, `kept` groups and calls that `asked` what they teach, as the newest gate began: they all came to it."""
    carried: Counter[str] = field(default_factory=Counter)
    """Lessons in the prompts of all calls so far, by role; for contrasts refused texts as well."""
    on_group: Callable[[], None] | None = None
    """Called after each group that was graded."""
    clock: Callable[[], float] = time.monotonic
    reward_sum: float = 0.0
    """Of the rollouts of the step under way that could be graded."""
    rewarded: int = 0
    """How many those are."""
    _began: float = 0.0
    _carried_by: Counter[str] = field(default_factory=Counter)
    """Calls by role that `carried` covers."""
    _looked: Counter[str] = field(default_factory=Counter)
    """Calls by role when the phase was looked at last."""
    _phase: str = ""

    def __post_init__(self) -> None:
        self._began = self.clock()

    def count_group(self, group: Group) -> None:
        """Count a group that was just graded."""
        self.groups[group.status.value] += 1
        self.finished += sum(max(1, rollout.turns) for rollout in group.rollouts_G)
        graded = [reward for reward in group.rewards_G if not math.isnan(reward)]
        self.reward_sum, self.rewarded = self.reward_sum + sum(graded), self.rewarded + len(graded)
        if self.on_group is not None:
            self.on_group()

    def count_proposals(self, proposals: Iterable[Proposal]) -> None:
        """Count what a contrast just proposed."""
        self.contrasts += 1
        self.texts.update(p.edit.text or str(p.edit.ids) for p in proposals)

    def count_round(self, edits: int, later: int) -> None:
        """Count the edits of a round before a gate, and those of the step that wait for a later one."""
        if not self.gate.total():
            asked = sum(entry.new + entry.replayed for role, entry in list(self.tally.items()) if role in ASKS)
            self.met = Counter(texts=len(self.texts), kept=self.groups["kept"], asked=asked)
        self.gate["waiting"], self.gate["later"] = edits + later, later

    def count_verdict(self, verdict: Verdict, left: int) -> None:
        """Count what a gate just decided; `left` edits of its round wait for their test."""
        self._carry()
        self.gate.update(("tested", "accepted" if verdict.decision == "accepted" else "refused"))
        self.gate["waiting"] = left + self.gate["later"]

    def count_step(self, step: Step) -> None:
        """Count a step that was just committed."""
        self._carry()
        self.steps += 1
        self.reward_sum, self.rewarded = 0.0, 0
        tested = [verdict for verdict in step.verdicts if verdict.evidence]
        self.tested += sum(len(verdict.edits) for verdict in tested)
        entered = sum(len(verdict.edits) for verdict in tested if verdict.decision == "accepted")
        self.accepted += entered
        # A refusal holds under the version that it was spoken under; see `refusals_in_force`.
        self.refused = 0 if entered else self.refused + sum(len(verdict.edits) for verdict in tested)
        self.gate.clear()

    def _carry(self) -> None:
        """Bring `carried` up to date before the number of lessons changes."""
        for role, entry in list(self.tally.items()):
            made = entry.new + entry.replayed
            # Rollouts that measure the library are those of its committed version.
            held = self.accepted + (self.gate["accepted"] if role in GATE else 0)
            held += self.refused if role in LESSONS else 0
            self.carried[role] += held * (made - self._carried_by[role])
            self._carried_by[role] = made

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

    def phase(self) -> str:
        """Return what is going on, in words: calls under way tell it, else those that came since the last look."""
        made = Counter({role: entry.new + entry.replayed for role, entry in list(self.tally.items())})
        busy = self.ledger.roles_under_way or {role for role in made if made[role] > self._looked[role]}
        self._looked = made
        work = [name for name, roles in PARTS.items() if busy & set(roles)]
        if work:
            measured = "held-out" if self.groups.total() else "measure"
            self._phase = " + ".join(measured if name == "held-out" else name for name in work)
        return self._phase or "measure"

    @property
    def reward(self) -> float | None:
        """Mean reward of the step under way so far; None before the first graded rollout."""
        return self.reward_sum / self.rewarded if self.rewarded else None

    def seen(self) -> Seen:
        """Return what the run has shown so far, as a forecast wants it."""
        made = {role: entry.new + entry.replayed for role, entry in list(self.tally.items())}
        used = {role: entry.usage for role, entry in list(self.tally.items())}
        self._carry()
        return Seen(
            made,
            used,
            groups=self.groups.total(),
            finished=self.finished,
            kept=self.groups["kept"],
            contrasts=self.contrasts,
            texts=dict(self.texts),
            tested=self.tested + self.gate["tested"],
            steps=self.steps,
            waiting=self.gate["waiting"],
            fresh=len(self.texts) - self.met["texts"],
            asked=self.met["asked"],
            asked_of=self.met["kept"],
            accepted=self.accepted + self.gate["accepted"],
            refused=self.refused + self.gate["refused"],
            carried=dict(self.carried),
        )

    def estimate(self, plan: Plan) -> RunEstimate | None:
        """Return what a run as planned will take in all; None before the first group."""
        if not self.groups.total():
            return None
        found = forecast(plan, self.seen())
        usage, mine = found.usage(), self.usage
        tokens = max(1, mine.prompt_tokens + mine.completion_tokens)
        usd = None if mine.usd is None else mine.usd * (usage.prompt_tokens + usage.completion_tokens) / tokens
        new = sum(entry.new for entry in self.tally.values())
        left = (found.calls() - self.calls) / new * (self.clock() - self._began) if new else None
        whole = Usage(usage.prompt_tokens, usage.completion_tokens, usd=usd)
        return RunEstimate(found.calls(), found.calls(0), found.calls(2), whole, left, found.guessed)
