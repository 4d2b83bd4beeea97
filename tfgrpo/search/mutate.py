"""One proposal: run a parent on a minibatch, reflect on what it did, and try the child on the same minibatch.

`reflect` shows one rollout of each problem to one reflection, as GEPA does. `groups` contrasts the rollouts of each
problem with each other and consolidates what the contrasts propose, as the line of `tfgrpo.learning.loop` does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from experience_db import Edit, Library, Source
from tfgrpo.boundary import failure_of
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.learning.batch import BatchConditions, run_batch
from tfgrpo.learning.gate_step import known_effects
from tfgrpo.learning.run import Run, learning_sampling
from tfgrpo.lessons.consolidate import consolidate, within_budget
from tfgrpo.lessons.dataset_vocabulary import EVERYTHING_SECRET, DatasetVocabulary
from tfgrpo.lessons.edits import check_edits
from tfgrpo.lessons.leakage import REMEDY, leak_reason
from tfgrpo.lessons.request_edits import ask_edits
from tfgrpo.lessons.review import decided_before, hold_for_review, screen
from tfgrpo.lessons.summarize import Effects, lesson_variables
from tfgrpo.methods.method import EMPTY_MEMORY, accuracy
from tfgrpo.prompting.transcript import cut_to_tokens, transcript
from tfgrpo.replies import ParsedEdits
from tfgrpo.rollout import Graded, measure
from tfgrpo.search.acceptance import Acceptance
from tfgrpo.types import Failure, Group, GroupStatus, Problem, Proposal, Verdict

TOLD = 6
"""Refused edits of a parent that its next reflection is told of, the newest."""


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


@dataclass(frozen=True, slots=True)
class Attempt:
    """One rollout as the reflection template sees it."""

    index: int
    question: str
    text: str
    reward: float
    feedback: str


def mutation_of(run: Run) -> str:
    """Return `reflect` or `groups`: as configured, else as the prompt set can."""
    return run.config.search.mutation or run.teacher.prompts.settings.reflect


async def propose(run: Run, task: MutationTask, accept: Acceptance) -> Child:
    """Make one child and try it; a used-up budget is a value, so that other proposals may end.

    Raises:
        EndpointError: the endpoint refuses every call.
    """
    try:
        child = await (_from_groups if mutation_of(run) == "groups" else _from_reflection)(run, task)
        child = screen_child(run, child)
        return await _tried(run, child, accept) if child.proposals and not child.stopped else child
    except BudgetReached as error:
        return Child(task, stopped=str(error))


def screen_child(run: Run, child: Child) -> Child:
    """Take out what scanners refuse and what waits for a person: neither is part of a candidate."""
    decided = decided_before(run.store, run.library.name, run.id, child.task.step)
    found = screen(child.proposals, run.rules, decided)
    held = hold_for_review([Verdict("accepted", (p.edit,), "proposed, and not measured") for p in found.held])
    return replace(child, proposals=found.clean, dropped=(*child.dropped, *found.verdicts, *held))


async def _from_reflection(run: Run, task: MutationTask) -> Child:
    cases = [(problem, task.epoch) for problem in task.problems]
    graded = await measure(run.actor, task.library, cases, learning_sampling(run.config), "rollout")
    groups = tuple(_single(run, p, g, task.library.version) for p, g in zip(task.problems, graded, strict=True))
    for group in groups:
        if run.actor.on_group is not None:
            run.actor.on_group(group)
    child = Child(task, groups, before=tuple(g.reward for g in graded))
    if skipped := skip_reason(child.before, run):
        return replace(child, skipped=skipped)
    known = known_effects(run, task.library, task.step)
    attempts = reflection_attempts(run, task.problems, graded)
    try:
        prompt = run.teacher.prompts.render(
            "reflect/mutation",
            attempts=attempts,
            lessons=lesson_variables(task.library, known),
            rejected=[{"text": e.text or "", "reason": v.reason} for v in task.told for e in v.edits],
            max_edits=run.config.lessons.per_group,
            max_words=run.config.lessons.max_words,
        )
        parsed = await ask_edits(run.teacher, "reflect", prompt, max_edits=run.config.lessons.per_group)
    except EndpointError:
        raise
    except (ProviderError, MalformedReply) as error:
        return replace(child, failures=(failure_of(error),))
    return check_reflection(run, child, parsed, known)


def skip_reason(rewards: Sequence[float], run: Run) -> str:
    """Say why a minibatch has nothing to reflect on; '' when it has."""
    known = [r for r in rewards if not math.isnan(r)]
    if not known:
        return "no rollout could be graded"
    if run.config.search.skip_perfect and len(known) == len(rewards) and min(known) >= run.config.search.perfect:
        return "every rollout is perfect"
    return ""


def _single(run: Run, problem: Problem, graded: Graded, version: int) -> Group:
    """Return one rollout as a group; it teaches unless it is perfect."""
    status = GroupStatus.KEPT if graded.reward < run.config.search.perfect else GroupStatus.FLAT
    status = GroupStatus.FAILED if math.isnan(graded.reward) else status
    return Group(problem, (graded.rollout,), (graded.score,), (graded.reward,), (0.0,), status, version)


def reflection_attempts(run: Run, problems: Sequence[Problem], graded: Sequence[Graded]) -> tuple[Attempt, ...]:
    """Return the graded rollouts as the template sees them, each within its share of tokens."""
    known = [(p, g) for p, g in zip(problems, graded, strict=True) if not math.isnan(g.reward)]
    share = run.config.lessons.attempt_tokens // max(len(known), 1)
    found = []
    for number, (problem, each) in enumerate(known, 1):
        said = transcript(each.rollout.messages, tokens=share) or each.rollout.answer
        told = [each.score.why] if each.score.why else []
        if run.config.lessons.ground_truth and problem.answer is not None:
            told.append(f"Reference answer, for your judgement only: {problem.answer}")
        found.append(Attempt(number, problem.question, cut_to_tokens(said, share), each.reward, "\n".join(told)))
    return tuple(found)


def check_reflection(run: Run, child: Child, parsed: ParsedEdits, known: Effects) -> Child:
    """Give the edits of a reflection their sources and put them through the checks in code."""
    task, template = child.task, run.teacher.prompts.hash("reflect/mutation")
    graded = [g for g in child.groups if g.status is not GroupStatus.FAILED]
    edits = []
    for edit, named in zip(parsed.edits, parsed.attempts, strict=True):
        behind = [graded[n - 1] for n in named if 0 < n <= len(graded)] or graded
        sources = tuple(
            Source(g.problem.id, (g.rollouts_G[0].index,), run.id, task.step, run.teacher.model, template)
            for g in {g.problem.id: g for g in behind}.values()
        )
        tainted = any(g.rollouts_G[0].tainted for g in graded)
        edits.append(replace(edit, sources=sources, tainted=tainted))
    found = check_edits(edits, task.library.lessons, max_words=run.config.lessons.max_words)
    dropped = [Verdict("rejected", (edit,), reason) for edit, reason in found.dropped]
    kept: list[Proposal] = []
    for edit in found.kept:
        leak = leak_in_edit(edit, task.problems, run.teacher.public)
        if leak:
            dropped.append(Verdict("rejected", (edit,), f"{leak}; {REMEDY}"))
        else:
            kept.append(Proposal(edit))
    fitting, full = within_budget(task.library, kept, run.config.lessons.budget_tokens, known)
    return replace(child, proposals=fitting, dropped=(*dropped, *full), failures=parsed.malformed)


def leak_in_edit(edit: Edit, problems: Sequence[Problem], public: DatasetVocabulary = EVERYTHING_SECRET) -> str | None:
    """Say which answer or text of the minibatch an edit gives away; None when it is clean."""
    return next((leak for p in problems if edit.text and (leak := leak_reason(edit.text, p, public))), None)


async def _from_groups(run: Run, task: MutationTask) -> Child:
    sampling = learning_sampling(run.config)
    known = known_effects(run, task.library, task.step)
    given = BatchConditions(
        run.actor,
        run.teacher,
        run.config,
        task.library,
        sampling,
        task.epoch,
        task.step,
        task.told,
        known,
        EMPTY_MEMORY,
    )
    taught = await run_batch(given, task.problems)
    proposals = [
        replace(p, weight=g.weight)
        for g, c in zip(taught.groups_P, taught.contrasts_P, strict=True)
        for p in c.proposals
    ]
    dropped = tuple(v for c in taught.contrasts_P for v in c.dropped)
    failures = tuple(f for c in taught.contrasts_P for f in c.failures)
    before = tuple(r for g in taught.groups_P for r in accuracy(g))
    child = Child(task, taught.groups_P, before=before, dropped=dropped, failures=failures)
    spent = [s.failure for g in taught.groups_P for s in g.scores_G if s.failure]
    if cut := next((f.message for f in (*spent, *failures) if f.kind == "budget"), ""):
        return replace(child, stopped=cut)
    if not proposals:
        return replace(child, skipped=skip_reason(before, run) or "no contrast proposed anything")
    merged = await consolidate(run.teacher, task.library, proposals, known)
    if cut := next((f.message for f in merged.failures if f.kind == "budget"), ""):
        return replace(child, stopped=cut)
    failures, dropped = (*failures, *merged.failures), (*dropped, *merged.dropped)
    return replace(child, proposals=merged.proposals, dropped=dropped, failures=failures)


async def _tried(run: Run, child: Child, accept: Acceptance) -> Child:
    """Run the child where its parent ran: same problems, same seeds."""
    cases = [(g.problem, r.index) for g in child.groups for r in g.rollouts_G]
    try:
        graded = await measure(run.actor, child.library, cases, learning_sampling(run.config), "rollout")
    except BudgetReached as error:
        return replace(child, stopped=str(error))
    after = tuple(g.reward for g in graded)
    return replace(child, after=after, refused=accept(child.before, after))
