"""The default gate: an edit enters when paired held-out rollouts show that the library is better with it.

A batch of edits is tested as a whole first, on the problems that any of them touches. If the whole is accepted, each
member must be missed: it stays when the rest is worse without it, so that weak right lessons need not prove themselves
alone and no companion rides in. If the whole is not accepted, the edits are tested one at a time, each accepted one
becoming part of the baseline of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from experience_db import Edit, Evidence, Library, Op
from tfgrpo.errors import UsageError
from tfgrpo.gates.alpha import Alpha
from tfgrpo.gates.base import Rewards, Trial, fingerprint
from tfgrpo.gates.comparison import Comparison, Design, compare
from tfgrpo.gates.eprocess import Outcome
from tfgrpo.gates.log_prob_changes import changes_of
from tfgrpo.gates.touch import Touched, touched, union
from tfgrpo.gates.verdicts import companion_reason, decision, gate_evidence, leave_one_out_evidence, reason
from tfgrpo.types import Problem, Proposal, Verdict

Companions = Literal["harmless", "useful"]


class ScoreChanges(Protocol):
    """Finds the touched problems of edits that share no word with any problem."""

    async def __call__(self, current: Library, candidate: Library, problems: Sequence[Problem]) -> tuple[float, ...]:
        """Return per problem |change of log p| of one stored rollout; nan where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class _Question:
    """What all tests of one call share."""

    library: Library
    edits: tuple[Edit, ...]
    touched: tuple[Touched, ...]
    trial: Trial


@dataclass(slots=True)
class PairedGate:
    """Sequential paired test on touched held-out problems; keeps rewards and spent alpha over the gates of a run."""

    seed: int = 0
    """The run's seed; with library, version and edits it fixes the order of the problems."""
    design: Design = field(default_factory=Design)
    alpha: Alpha = field(default_factory=Alpha)
    companions: Companions = "useful"
    """Which members of an accepted bundle stay: those not shown to harm, or only those with a measured effect above 0.

    A wrong lesson about something the model gets wrong anyway harms nothing that a test could see, but it keeps every
    later rollout from trying anything else."""
    score_changes: ScoreChanges | None = None
    """Finds touched problems of edits that name none; without it the trial is asked, where that can score."""
    rewards: Rewards = field(default_factory=Rewards)

    async def __call__(self, library: Library, proposals: Sequence[Proposal], trial: Trial) -> tuple[Verdict, ...]:
        """Return one verdict per proposal.

        The first evidence of a verdict is about its edit (`gate` or `leave-one-out`); after a bundle test, the second
        is that test, the same for each member. An ADD has no lesson id yet, its evidence leaves `lesson_ids` empty.
        Edits of one call must fit together as one batch. Raises UsageError when the trial has no problems or its
        rewards leave [0, 1], and whatever `Library.with_edits` and the trial raise.
        """
        if not proposals:
            return ()
        if not trial.problems:
            raise UsageError("the paired gate has no held-out problems; give --heldout, or use --gate open")
        edits = tuple(proposal.edit for proposal in proposals)
        current = fingerprint(library)
        live = [i for i, edit in enumerate(edits) if fingerprint(library.with_edits((edit,))) != current]
        decided = dict(zip(live, await self._decide(library, tuple(edits[i] for i in live), trial), strict=True))
        idle = "not worth it: the library stays as it is"
        return tuple(decided.get(i) or Verdict("rejected", (edit,), idle) for i, edit in enumerate(edits))

    async def _decide(self, library: Library, edits: tuple[Edit, ...], trial: Trial) -> tuple[Verdict, ...]:
        touches = [await self._touched(edit, library, trial) for edit in edits]
        question = _Question(library, edits, tuple(touches), trial)
        if len(edits) < 2:
            return await self._one_at_a_time(question, ())
        whole = await self._accept_test(question, library, edits, union(touches, trial.problems))
        bundle = gate_evidence(whole, edits, "bundle", reason(whole))
        if whole.outcome is Outcome.BETTER:
            return await self._leave_one_out(question, bundle)
        return await self._one_at_a_time(question, (bundle,))

    async def _one_at_a_time(self, question: _Question, bundle: tuple[Evidence, ...]) -> tuple[Verdict, ...]:
        current = question.library
        verdicts = []
        for edit, touch in zip(question.edits, question.touched, strict=True):
            found = await self._accept_test(question, current, (edit,), touch)
            why = reason(found)
            own = gate_evidence(found, (edit,), "single", why)
            verdicts.append(Verdict(decision(found), (edit,), why, (own, *bundle)))
            if found.outcome is Outcome.BETTER:
                current = current.with_edits((edit,))
        return tuple(verdicts)

    async def _leave_one_out(self, question: _Question, bundle: Evidence) -> tuple[Verdict, ...]:
        kept = list(range(len(question.edits)))
        verdicts = []
        for place, edit in enumerate(question.edits):
            rest = [i for i in kept if i != place]
            found = await self._compare(
                question,
                question.library.with_edits(tuple(question.edits[i] for i in kept)),
                question.library.with_edits(tuple(question.edits[i] for i in rest)),
                question.touched[place],
                (edit,),
                accept=1 / self.alpha.alpha,
            )
            leaves = self._leaves(found, edit)
            why = companion_reason(found, leaves=leaves)
            own = leave_one_out_evidence(found, edit, why, leaves=leaves)
            verdicts.append(Verdict("rejected" if leaves else "accepted", (edit,), why, (own, bundle)))
            kept = rest if leaves else kept
        return tuple(verdicts)

    def _leaves(self, found: Comparison, edit: Edit) -> bool:
        """Say whether a member of an accepted bundle goes: the rest is better, or (if asked) no worse, without it."""
        if found.outcome is Outcome.BETTER:
            return True
        return self.companions == "useful" and edit.op is not Op.DELETE and found.enough and found.estimate >= 0

    async def _accept_test(
        self, question: _Question, current: Library, edits: tuple[Edit, ...], touch: Touched
    ) -> Comparison:
        candidate = current.with_edits(edits)
        found = await self._compare(question, current, candidate, touch, edits, accept=1 / self.alpha.level)
        self.alpha = self.alpha.after(found.outcome is Outcome.BETTER)
        return found

    async def _compare(
        self,
        question: _Question,
        current: Library,
        candidate: Library,
        touch: Touched,
        edits: tuple[Edit, ...],
        *,
        accept: float,
    ) -> Comparison:
        words = [(edit.op.value, edit.ids, edit.text) for edit in edits]
        key = repr((self.seed, question.library.name, question.library.version, words))
        trial, design = question.trial, self.design
        return await compare(trial, self.rewards, current, candidate, touch, key=key, design=design, accept=accept)

    async def _touched(self, edit: Edit, library: Library, trial: Trial) -> Touched:
        pool = trial.problems
        found = touched(edit, library, pool)
        score_changes = self.score_changes or changes_of(trial)
        if found.how == "word" or score_changes is None:
            return found
        changes = await score_changes(library, library.with_edits((edit,)), pool)
        by_id = {problem.id: change for problem, change in zip(pool, changes, strict=True)}
        return touched(edit, library, pool, lambda problem: by_id[problem.id])
