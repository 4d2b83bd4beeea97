"""Reflections on a minibatch: what they are asked, and the checks that their edits pass.

Each component that a proposal rewrites gets a reflection of its own. One about the library is one question about all
attempts, or, as GEPA's ComBEE has it, one about each share of them and a call that brings the edits together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from experience_db import Edit, Op, Source
from experience_db.prompt_parts import part_text, parts_of
from tfgrpo.boundary import failure_of
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.learning.gate_step import known_effects
from tfgrpo.learning.run import Run
from tfgrpo.lessons.consolidate import consolidate, within_budget
from tfgrpo.lessons.dataset_vocabulary import EVERYTHING_SECRET, DatasetVocabulary
from tfgrpo.lessons.edits import check_edits
from tfgrpo.lessons.leakage import REMEDY, leak_reason
from tfgrpo.lessons.request_edits import ask_edits
from tfgrpo.lessons.summarize import Effects, lesson_variables
from tfgrpo.prompting.transcript import cut_to_tokens, transcript
from tfgrpo.replies import ParsedEdits
from tfgrpo.rollout import Graded
from tfgrpo.search.components import LIBRARY, current_words, in_words
from tfgrpo.search.proposal import Child
from tfgrpo.types import GroupStatus, Problem, Proposal, Verdict


@dataclass(frozen=True, slots=True)
class Attempt:
    """One rollout as the reflection template sees it."""

    index: int
    question: str
    text: str
    reward: float
    feedback: str


async def reflect(run: Run, child: Child, graded: Sequence[Graded]) -> Child:
    """Return the child with what reflections on its parent's rollouts propose, one reflection for each component.

    Raises:
        EndpointError: the endpoint refuses every call.
    """
    known = known_effects(run, child.task.library, child.task.step)
    jobs = [partial(_on_component, run, child, graded, known, name) for name in child.task.components]
    told = await run.actor.executor.run(jobs)
    if cut := next((c.stopped for c in told if c.stopped), ""):
        return replace(child, stopped=cut)
    proposals = tuple(p for c in told for p in c.proposals)
    kept, full = within_budget(child.task.library, proposals, run.config.lessons.budget_tokens, known)
    dropped = (*(v for c in told for v in c.dropped), *full)
    return replace(child, proposals=kept, dropped=dropped, failures=tuple(f for c in told for f in c.failures))


async def _on_component(run: Run, child: Child, graded: Sequence[Graded], known: Effects, name: str) -> Child:
    """Return what is proposed for one component; a used-up budget is a value, so that the others may end."""
    try:
        if name != LIBRARY:
            return await _on_part(run, child, graded, known, name)
        if run.config.search.reflection == "once":
            return await _on_library(run, child, graded, known)
        return await _by_shares(run, child, graded, known)
    except BudgetReached as error:
        return replace(child, stopped=str(error))


async def _on_library(run: Run, child: Child, graded: Sequence[Graded], known: Effects) -> Child:
    config, task = run.config.lessons, child.task
    prompt = run.teacher.prompts.render(
        "reflect/mutation",
        attempts=reflection_attempts(run, task.problems, graded),
        lessons=lesson_variables(task.library, known),
        rejected=_refused(child),
        max_edits=config.per_group,
        max_words=config.max_words,
    )
    try:
        parsed = await ask_edits(run.teacher, "reflect", prompt, max_edits=config.per_group)
    except EndpointError:
        raise
    except (ProviderError, MalformedReply) as error:
        return replace(child, failures=(failure_of(error),))
    return check_reflection(run, child, parsed, known, "reflect/mutation", config.max_words)


async def _by_shares(run: Run, child: Child, graded: Sequence[Graded], known: Effects) -> Child:
    """Reflect on shares of the minibatch, as many as the root of its size, and bring together what they propose."""
    count = math.isqrt(len(graded))
    parts = [range(i, len(graded), count) for i in range(count)]
    shares = [
        replace(
            child,
            task=replace(child.task, problems=tuple(child.task.problems[i] for i in part)),
            groups=tuple(child.groups[i] for i in part),
        )
        for part in parts
    ]
    jobs = [
        partial(_share, run, share, [graded[i] for i in part], known) for share, part in zip(shares, parts, strict=True)
    ]
    told = await run.actor.executor.run(jobs)
    if cut := next((c.stopped for c in told if c.stopped), ""):
        return replace(child, stopped=cut)
    proposals = [p for c in told for p in c.proposals]
    merged = await consolidate(run.teacher, child.task.library, proposals, known)
    if cut := next((f.message for f in merged.failures if f.kind == "budget"), ""):
        return replace(child, stopped=cut)
    return replace(
        child,
        proposals=merged.proposals,
        dropped=(*(v for c in told for v in c.dropped), *merged.dropped),
        failures=(*(f for c in told for f in c.failures), *merged.failures),
    )


async def _share(run: Run, share: Child, graded: Sequence[Graded], known: Effects) -> Child:
    if skip_reason([g.reward for g in graded], run):
        return share
    try:
        return await _on_library(run, share, graded, known)
    except BudgetReached as error:
        return replace(share, stopped=str(error))


async def _on_part(run: Run, child: Child, graded: Sequence[Graded], known: Effects, name: str) -> Child:
    """Return the child with other words for a part of the prompt, as the lesson that stands for it."""
    task, most = child.task, run.config.search.part_words
    prompt = run.teacher.prompts.render(
        "reflect/part",
        part=in_words(name),
        current=current_words(run, task.library, name),
        attempts=reflection_attempts(run, task.problems, graded),
        lessons=lesson_variables(task.library, known),
        rejected=_refused(child),
        max_words=most,
    )
    asked = replace(run.teacher, config=replace(run.teacher.config, max_words=most))
    try:
        parsed = await ask_edits(asked, "reflect", prompt, max_edits=1)
    except EndpointError:
        raise
    except (ProviderError, MalformedReply) as error:
        return replace(child, failures=(failure_of(error),))
    held = parts_of(task.library.lessons).get(name)
    op, ids = (Op.ADD, ()) if held is None else (Op.UPDATE, (held.id,))
    edits = tuple(replace(e, op=op, ids=ids, text=part_text(name, e.text)) for e in parsed.edits if e.text)
    # The words that say what is replaced are not the model's.
    room = most + len(part_text(name, "").split())
    return check_reflection(run, child, replace(parsed, edits=edits), known, "reflect/part", room)


def _refused(child: Child) -> list[dict[str, str]]:
    return [{"text": e.text or "", "reason": v.reason} for v in child.task.told for e in v.edits]


def skip_reason(rewards: Sequence[float], run: Run) -> str:
    """Say why a minibatch has nothing to reflect on; '' when it has."""
    known = [r for r in rewards if not math.isnan(r)]
    if not known:
        return "no rollout could be graded"
    if run.config.search.skip_perfect and len(known) == len(rewards) and min(known) >= run.config.search.perfect:
        return "every rollout is perfect"
    return ""


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


def check_reflection(
    run: Run, child: Child, parsed: ParsedEdits, known: Effects, template: str, max_words: int
) -> Child:
    """Give the edits of a reflection their sources and put them through the checks in code."""
    task, origin = child.task, run.teacher.prompts.hash(template)
    graded = [g for g in child.groups if g.status is not GroupStatus.FAILED]
    edits = []
    for edit, named in zip(parsed.edits, parsed.attempts, strict=True):
        behind = [graded[n - 1] for n in named if 0 < n <= len(graded)] or graded
        sources = tuple(
            Source(g.problem.id, (g.rollouts_G[0].index,), run.id, task.step, run.teacher.model, origin)
            for g in {g.problem.id: g for g in behind}.values()
        )
        tainted = any(g.rollouts_G[0].tainted for g in graded)
        edits.append(replace(edit, sources=sources, tainted=tainted))
    found = check_edits(edits, task.library.lessons, max_words=max_words)
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
