"""The paired gate behind a likelihood filter: what is pruned or vetoed costs no rollout, the rest must prove itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from experience_db import Evidence, Library
from tfgrpo.gates.base import Rewards, Trial
from tfgrpo.gates.likelihood import LikelihoodGate
from tfgrpo.gates.log_prob_changes import Changes
from tfgrpo.gates.paired import PairedGate
from tfgrpo.types import Proposal, Verdict


@dataclass(slots=True)
class PrefilteredGate:
    """Asks the likelihood gate first; only rollouts can accept."""

    filter: LikelihoodGate
    paired: PairedGate
    keep: int | None = None
    """Of those that remain, so many of the highest edit score go on; None lets all."""

    def recall(self, evidence: Iterable[Evidence]) -> None:
        """Let the paired gate take up open tests of earlier runs."""
        self.paired.recall(evidence)

    def undone(self, edits: int) -> None:
        """Tell the paired gate that so many edits it had accepted left with their epoch."""
        self.paired.undone(edits)

    @property
    def races(self) -> bool:
        """That rivals may be put to this gate together."""
        return self.paired.races

    @property
    def rewards(self) -> Rewards:
        """Rewards known in this run, for later measurements."""
        return self.paired.rewards

    async def __call__(self, library: Library, proposals: Sequence[Proposal], trial: Trial) -> tuple[Verdict, ...]:
        """Return one verdict per proposal; the edit score is the last evidence of each."""
        assessed = await self.filter.assess(library, [p.edit for p in proposals], trial)
        standing = [i for i, a in enumerate(assessed) if a.decision != "rejected"]
        standing.sort(key=lambda i: assessed[i].rank or len(assessed) + 1)
        going = sorted(standing[: self.keep])
        self.paired.score_changes = Changes(trial)  # type: ignore[arg-type]
        judged = dict(zip(going, await self.paired(library, [proposals[i] for i in going], trial), strict=True))
        self.filter.follow([assessed[i] for i in going if judged[i].decision == "accepted"])
        verdicts = []
        for i, a in enumerate(assessed):
            own = self.filter.evidence(a)
            if i in judged:
                verdicts.append(replace(judged[i], evidence=(*judged[i].evidence, own)))
            elif a.decision == "rejected":
                verdicts.append(Verdict("rejected", (a.edit,), self.filter.reason(a), (own,)))
            else:
                said = f"ranked {a.rank or 'last'} by edit score, and {self.keep} go on to the paired gate"
                verdicts.append(Verdict("undecided", (a.edit,), said, (own,)))
        return tuple(verdicts)
