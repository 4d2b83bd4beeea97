"""The larger mean wins: what many tools do, kept only to be measured against. Do not use it.

A useless edit wins about as often as it loses: with 17% of the pairs discordant, 22, 34, 43 and 47% of useless edits
are accepted at n = 3, 10, 30 and 100. More problems make it worse, because ties get rarer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from statistics import fmean

from experience_db import Edit, Evidence, Library
from tfgrpo.gates.base import Rewards, Trial
from tfgrpo.gates.comparison import schedule
from tfgrpo.types import Proposal, Verdict


@dataclass(slots=True)
class MeanGate:
    """Accepts an edit when the mean reward of n held-out problems is strictly larger with it."""

    n: int = 10
    """Problems, one rollout each on both sides."""
    seed: int = 0
    rewards: Rewards = field(default_factory=Rewards)

    async def __call__(self, library: Library, proposals: Sequence[Proposal], trial: Trial) -> tuple[Verdict, ...]:
        """Return one verdict per proposal, each tested alone on the same n problems."""
        cases = schedule(trial.problems, f"{self.seed}/mean", 1)[: self.n]
        current, verdicts = library, []
        for proposal in proposals:
            candidate = current.with_edits((proposal.edit,))
            before = await self.rewards.measure(trial, current, cases)
            after = await self.rewards.measure(trial, candidate, cases)
            pairs = zip(before.rewards, after.rewards, strict=True)
            differences = [new - old for old, new in pairs if not isnan(new - old)]
            verdict = _verdict(proposal.edit, differences, before.new + after.new)
            verdicts.append(verdict)
            current = candidate if verdict.decision == "accepted" else current
        return tuple(verdicts)


def _verdict(edit: Edit, differences: Sequence[float], rollouts: int) -> Verdict:
    estimate = fmean(differences) if differences else None
    decision = "accepted" if estimate is not None and estimate > 0 else "rejected"
    why = f"the mean of {len(differences)} problems is {'' if decision == 'accepted' else 'not '}larger"
    facts = {"test": "larger mean", "rollouts": {"new": rollouts}}
    return Verdict(
        decision,
        (edit,),
        why,
        (Evidence("gate", estimate, None, None, len(differences), edit.ids, decision, why, facts),),
    )
