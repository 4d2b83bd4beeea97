"""The default gate: an edit enters when paired held-out rollouts show, at its own level, that it helps.

How a verdict comes about, in the order of this file; `comparison.py`, `sequential.py` and `harm.py` hold the rest:

1. Of rivals, edits that exclude each other, a race chooses one for the test; the others stay `untested`. Words that
   would replace those of a lesson race too, and get no test if they fall far behind the library as it is.
2. The edit's own test (`comparison.py`, which feeds `sequential.py`) on the problems that it touches, against the
   library with everything accepted so far. Each accepted edit has passed a test of its own; none rides in with others.
3. An edit that helped also meets problems it does not touch (`harm.py`); if it harms there, it does not enter.
4. Edits that failed alone and touch the same problems are tried together; if that helps, each must be missed by the
   others, again in a test of its own.

`undecided` is kept: its problems' differences are its capital, and the next test of the same edit carries them on. Such
a test has two ways to accept, its own signs and E over all tests, so each has half of its level.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from experience_db import Edit, Evidence, Library, Op
from tfgrpo.datasets.overlap import clusters
from tfgrpo.errors import UsageError
from tfgrpo.gates.alpha import Alpha
from tfgrpo.gates.base import Rewards, Trial, fingerprint, pool_for, tell
from tfgrpo.gates.comparison import LEAST, Comparison, Design, Question, compare
from tfgrpo.gates.harm import FIRST, SECOND, VISITS, Elsewhere, check_elsewhere
from tfgrpo.gates.log_prob_changes import changes_of
from tfgrpo.gates.objectives import weigh, with_scores
from tfgrpo.gates.rival_race import race_rivals, replaces, rival_groups
from tfgrpo.gates.sequential import Answer, Plan
from tfgrpo.gates.touch import Touched, touched, union
from tfgrpo.gates.verdicts import gate_evidence, reason, verdict_of
from tfgrpo.types import Problem, Proposal, Verdict

IDLE = "not worth it: the library stays as it is"
SHARED = 0.5
"""Share of their touched problems that edits must have in common to be tried together."""
CROWD = 3
"""Rivals from which on a winner that was chosen on the very problems of its test has half of the level: the choice
favoured what suits these problems."""
MEMBERS = 1_000
"""Seed indices from here on belong to members of what helped together."""


class ScoreChanges(Protocol):
    """Finds the touched problems of edits that name none."""

    async def __call__(self, current: Library, candidate: Library, problems: Sequence[Problem]) -> tuple[float, ...]:
        """Return per problem |change of log p| of one stored rollout; nan where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class _Call:
    """What all tests of one call share."""

    library: Library
    """As it was before the call."""
    tests: int
    """Tests of the run before the call."""
    proposals: Sequence[Proposal]
    trial: Trial
    touches: Mapping[int, Touched]


@dataclass(frozen=True, slots=True)
class _Tested:
    """One edit's own test, and what came of it."""

    found: Comparison
    verdict: Verdict


@dataclass(slots=True)
class PairedGate:
    """Sequential paired test of each edit; keeps rewards, spent alpha and open questions over the gates of a run."""

    seed: int = 0
    """The run's seed; with library, version and edit it fixes the order of the problems."""
    design: Design = field(default_factory=Design)
    alpha: Alpha = field(default_factory=Alpha)
    objectives: tuple[str, ...] = ()
    """Names of objectives that are weighed one by one; empty tests the run's reward."""
    score_changes: ScoreChanges | None = None
    """Finds touched problems of edits that name none; without it the trial is asked, where that can score."""
    rewards: Rewards = field(default_factory=Rewards)
    capital: dict[str, Comparison] = field(default_factory=dict)
    """Tests that came to no answer, by their edit."""
    races: bool = True
    """That rivals may be put to this gate together."""

    async def __call__(self, library: Library, proposals: Sequence[Proposal], trial: Trial) -> tuple[Verdict, ...]:
        """Return one verdict per proposal; the edits of accepted ones fit together as one batch.

        The first evidence of a tested edit is its own test (kind `gate`). An ADD has no lesson id yet, its evidence
        leaves `lesson_ids` empty. Raises UsageError when the trial has no problems or its rewards leave [0, 1], and
        whatever `Library.with_edits` and the trial raise.
        """
        if not proposals:
            return ()
        self.objectives = with_scores(self.objectives, trial)
        if not trial.problems:
            raise UsageError("the paired gate has no held-out problems; give --heldout, or use --gate open")
        unchanged = fingerprint(library)
        live = [i for i, p in enumerate(proposals) if fingerprint(library.with_edits((p.edit,))) != unchanged]
        touches = {i: await self._touched(proposals[i], library, trial) for i in live}
        call, current = _Call(library, self.alpha.tests, proposals, trial, touches), library
        verdicts, failed = dict[int, Verdict](), dict[int, Comparison]()
        races = rival_groups([proposals[i] for i in live])
        for done, group in enumerate(races, 1):
            first, left, race_evidence, reserved = await self._winner([live[i] for i in group], current, call)
            verdicts |= left
            if first in left:
                continue
            raced = 1 if reserved else len(group)
            crowded = raced + max(proposals[live[i]].beaten for i in group) >= CROWD
            tested = await self._test(first, current, call, reserved, share=0.5 if crowded else 1.0)
            verdicts[first] = replace(tested.verdict, evidence=(*tested.verdict.evidence, *race_evidence))
            tell(trial, tested.verdict, len(races) - done)
            if tested.verdict.decision == "accepted":
                current = current.with_edits((proposals[first].edit,))
            elif tested.found.answer in (Answer.OPEN, Answer.NO_WORTH) and tested.found.pairs:
                failed[first] = tested.found
        verdicts |= await self._together(failed, current, call)
        idle = {i: Verdict("rejected", (p.edit,), IDLE) for i, p in enumerate(proposals) if i not in verdicts}
        return tuple((verdicts | idle)[i] for i in range(len(proposals)))

    def recall(self, evidence: Iterable[Evidence]) -> None:
        """Take up the tests of earlier runs that came to no answer; `evidence` is in the order it was stored."""
        for found in evidence:
            edits, sums = found.detail.get("edit") or [], found.detail.get("capital") or {}
            if found.kind != "gate" or found.detail.get("role") != "single" or len(edits) != 1:
                continue
            ((op, ids, text),) = edits
            name = _name(Edit(Op(op), text, tuple(ids)))
            self.capital.pop(name, None)
            if found.verdict == "undecided" and sums:
                known = {unit: (float(total), int(n)) for unit, (total, n) in sums.items()}
                passes = int(found.detail["passes"])
                self.capital[name] = Comparison(Plan().start(), Touched((), "all"), sums=known, passes=passes)

    def undone(self, edits: int) -> None:
        """Count so many accepted edits of the last epoch as not accepted, because the epoch was undone.

        All that it let in leaves, so what stays in was tested at a level that only what stays in had raised.
        """
        self.alpha = replace(self.alpha, accepted=max(0, self.alpha.accepted - edits))

    async def _winner(
        self, rivals: Sequence[int], current: Library, call: _Call
    ) -> tuple[int, dict[int, Verdict], tuple[Evidence, ...], frozenset[str]]:
        """Return which of the rivals gets the test, verdicts for the others, and what the race cost and keeps.

        Words that would replace others race too, against the library as it is; where all fall far behind it, the best
        of them is among the others.
        """
        against = not self.objectives
        if len(rivals) == 1 and not (against and replaces(call.proposals[rivals[0]])):
            return rivals[0], {}, (), frozenset()
        pool = union([call.touches[i] for i in rivals], call.trial.problems).problems
        those = [call.proposals[i] for i in rivals]
        found = await race_rivals(
            those, current, pool, clusters(pool), call.trial, self.rewards, self.design, against=against
        )
        left, able = {}, [place for place in found.order if place not in found.behind]
        first = (able or found.order)[0]
        for place, i in enumerate(rivals):
            edit, said = call.proposals[i].edit, found.evidence(place, call.proposals[i].edit)
            if place in found.behind:
                left[i] = Verdict("rejected", (edit,), found.told_behind(place), (replace(said, verdict="rejected"),))
            elif place != first:
                left[i] = Verdict("untested", (edit,), f"untested: {said.reason}; it may come again", (said,))
        return rivals[first], left, (found.evidence(first, those[first].edit),), found.reserved

    async def _test(
        self, place: int, current: Library, call: _Call, reserved: frozenset[str], *, share: float
    ) -> _Tested:
        """Put one edit to its own test at a `share` of the level, and if it helps to problems elsewhere."""
        proposal, touch = call.proposals[place], call.touches[place]
        edit, pool = proposal.edit, pool_for(call.trial, proposal)
        units = clusters(pool)
        capital = _restricted(self.capital.get(_name(edit)), {units.get(p.id, p.id) for p in pool})
        kept = tuple(p for p in touch.problems if units.get(p.id, p.id) not in reserved)
        question = Question(
            current, current.with_edits((edit,)), replace(touch, problems=kept), self._key(current, edit), units,
            capital,
        )  # fmt: skip
        plan = self._plan(question, share)
        if len(question.members) < LEAST:
            why = f"undecided: it touches {len(question.members)} held-out problems, too few for any verdict"
            return _Tested(Comparison(plan.start(), touch), Verdict("undecided", (edit,), why))
        verdict: Verdict
        if self.objectives:
            weighed = await weigh(call.trial, self.rewards, question, self.design, plan, self.objectives)
            found, verdict = weighed.main, weighed.verdict(edit)
        else:
            found = await compare(call.trial, self.rewards, question, self.design, plan)
            verdict = verdict_of(edit, found)
        if verdict.decision == "accepted":
            verdict = _unless_harmful(verdict, await self._elsewhere(edit, found, question, pool, call))
        self.alpha = self.alpha.after(verdict.decision == "accepted")
        self.capital.pop(_name(edit), None)
        if verdict.decision == "undecided" and not self.objectives:
            self.capital[_name(edit)] = found
        return _Tested(found, verdict)

    async def _elsewhere(
        self, edit: Edit, own: Comparison, question: Question, pool: tuple[Problem, ...], call: _Call
    ) -> Elsewhere | None:
        """Look for harm elsewhere, against the library before the call: edits of one call share its rollouts."""
        before, first, second = call.library, FIRST + call.tests, SECOND + VISITS * self.alpha.tests
        asked = replace(question, current=before, candidate=before.with_edits((edit,)), key=self._key(before))
        return await check_elsewhere(own, asked, pool, call.trial, self.rewards, self.design, first, second)

    async def _together(self, failed: Mapping[int, Comparison], current: Library, call: _Call) -> dict[int, Verdict]:
        """Try edits that failed alone and touch the same problems together; if that helps, each must be missed.

        The first test pays like any other; the members of what helped each pay for their own.
        """
        verdicts: dict[int, Verdict] = {}
        for group in _overlapping(failed):
            edits = tuple(call.proposals[i].edit for i in group)
            pool = union([call.touches[i] for i in group], call.trial.problems)
            question = Question(
                current, current.with_edits(edits), pool, self._key(current, *edits), clusters(pool.problems)
            )
            whole = await compare(call.trial, self.rewards, question, self.design, self._plan(question))
            self.alpha = self.alpha.after(accepted=False)
            if whole.answer is not Answer.HELPS:
                continue
            said = gate_evidence(whole, edits, "together", reason(whole), "undecided")
            found = await self._missed(group, question, call)
            for i, verdict in found.items():
                verdicts[i] = replace(verdict, evidence=(*verdict.evidence, said))
        return verdicts

    async def _missed(self, group: Sequence[int], question: Question, call: _Call) -> dict[int, Verdict]:
        """Test each member of what helped together against the rest without it, on rollouts of its own.

        Either all pass or none enters: what was shown is what they do for each other.
        """
        verdicts = {}
        for i in group:
            edit = call.proposals[i].edit
            rest = question.current.with_edits(tuple(call.proposals[j].edit for j in group if j != i))
            start = Comparison(self._plan(question).start(), call.touches[i], passes=MEMBERS)
            own = Question(rest, question.candidate, call.touches[i], self._key(rest, edit), question.units, start)
            found = await compare(call.trial, self.rewards, own, self.design, self._plan(own))
            self.alpha = self.alpha.after(accepted=False)
            verdicts[i] = verdict_of(edit, found, "together")
        if any(v.decision != "accepted" for v in verdicts.values()):
            return {i: _stays_out(v) for i, v in verdicts.items()}
        # Only what enters may raise the levels of later tests; before the last of the group that is not known.
        self.alpha = replace(self.alpha, accepted=self.alpha.accepted + len(verdicts))
        return verdicts

    def _plan(self, question: Question, share: float = 1.0) -> Plan:
        carried = question.earlier is not None and bool(question.earlier.pooled) and not self.objectives
        level = self.alpha.level / 2 if carried else self.alpha.level
        return self.design.plan(question.touched, len(question.members), share * level)

    def _key(self, current: Library, *edits: Edit) -> str:
        return repr((self.seed, current.name, current.version, [_name(edit) for edit in edits]))

    async def _touched(self, proposal: Proposal, library: Library, trial: Trial) -> Touched:
        edit, pool = proposal.edit, pool_for(trial, proposal)
        found = touched(edit, library, pool)
        score_changes = self.score_changes or changes_of(trial)
        if found.how == "word" or score_changes is None:
            return found
        changes = await score_changes(library, library.with_edits((edit,)), pool)
        by_id = {problem.id: change for problem, change in zip(pool, changes, strict=True)}
        return touched(edit, library, pool, lambda problem: by_id[problem.id])


def _restricted(earlier: Comparison | None, units: Collection[str]) -> Comparison | None:
    """Return an open test with only those problems that may prove the edit today.

    What has become a source of the edit, a learning problem or one that carries the untouched figure speaks no more.
    """
    if earlier is None:
        return None
    known = {unit: sums for unit, sums in earlier.pooled.items() if unit in units}
    return replace(earlier, sums=known, earlier={})


def _name(edit: Edit) -> str:
    return repr((edit.op.value, edit.ids, edit.text))


def _unless_harmful(verdict: Verdict, away: Elsewhere | None) -> Verdict:
    """Return the verdict on an edit that passed its own test, in view of what it did elsewhere."""
    if away is None:
        return verdict
    (edit,), (own,) = verdict.edits, verdict.evidence
    other = gate_evidence(away.comparison, (edit,), "elsewhere", away.words, "undecided")
    if not away.harmful:
        return replace(verdict, evidence=(own, other))
    why = f"harmful elsewhere: {away.words}; {verdict.reason}"
    return Verdict("rejected", (edit,), why, (replace(own, verdict="rejected", reason=why), other))


def _stays_out(verdict: Verdict) -> Verdict:
    if verdict.decision != "accepted":
        return verdict
    why = f"undecided: helps together with an edit that did not prove itself; {verdict.reason}"
    return Verdict("undecided", verdict.edits, why, tuple(replace(e, verdict="undecided") for e in verdict.evidence))


def _overlapping(failed: Mapping[int, Comparison]) -> list[list[int]]:
    """Return pairs or larger groups of failed edits that are known to touch mostly the same problems."""
    ids = {i: {p.id for p in f.touched.problems} for i, f in failed.items() if f.touched.how != "all"}
    groups: list[list[int]] = []
    for i, own in ids.items():
        near = next((g for g in groups if len(own & ids[g[0]]) >= SHARED * max(len(own), len(ids[g[0]]))), None)
        if near is None:
            groups.append([i])
        else:
            near.append(i)
    return [g for g in groups if len(g) > 1]
