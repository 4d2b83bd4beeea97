"""Why did these attempts win? One group in, proposed edits out: the semantic advantage of Training-Free GRPO.

Source: Training-Free GRPO, arXiv 2510.08191, section 3. The default asks one contrast per group; `stages = "four"` asks
the published stages: a summary of each rollout, the contrast, then operations against the library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from experience_db import Evidence, Library, Source
from tfgrpo.boundary import failure_of
from tfgrpo.config.lessons import LessonsConfig
from tfgrpo.edit_scores import planning_advantages, planning_sentences
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError, TfgrpoError
from tfgrpo.lessons.edits import check_edits
from tfgrpo.lessons.grader_words import said_by_graders, share_said
from tfgrpo.lessons.leakage import REMEDY, leak_reason
from tfgrpo.lessons.request_edits import ask_edits, ask_proposals
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.methods.label_free import majority
from tfgrpo.prompting.transcript import CHARS_PER_TOKEN, cut_to_tokens, transcript
from tfgrpo.replies import ParsedEdits
from tfgrpo.types import Failure, Group, GroupStatus, Message, Proposal, Request, Verdict

Effects = Mapping[int, Evidence]
"""Newest measured effect by lesson id."""
NO_EFFECTS: Effects = {}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One rollout as the contrast template sees it."""

    index: int
    """1-based number in the prompt."""
    reward: float | None
    """None where learning goes without labels."""
    advantage: float
    text: str
    feedback: str
    scores: tuple[tuple[str, float | None], ...] = ()
    summary: str = ""
    tokens: int = 0
    """What the rollout cost in completion tokens."""
    steps: tuple[tuple[int, float | None, float], ...] = ()
    """Number, reward (None where there is none) and advantage of each step, where the method credits steps."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """What one group taught, and what went wrong on the way."""

    proposals: tuple[Proposal, ...] = ()
    dropped: tuple[Verdict, ...] = ()
    """Edits that the checks in code refused, with the reason."""
    failures: tuple[Failure, ...] = ()
    asked: tuple[str, ...] = ()
    """The objective of each question that was asked, '' for the whole reward; () where there was nothing to ask."""


def joined(parts: Sequence[Contrast]) -> Contrast:
    """Return what several questions about one group taught, as one contrast."""
    return Contrast(
        tuple(p for part in parts for p in part.proposals),
        tuple(v for part in parts for v in part.dropped),
        tuple(f for part in parts for f in part.failures),
        tuple(name for part in parts for name in part.asked),
    )


async def contrast(
    teacher: Teacher,
    group: Group,
    library: Library,
    *,
    step: int = 0,
    rejected: Sequence[Verdict] = (),
    effects: Effects = NO_EFFECTS,
) -> Contrast:
    """Ask what separated the better rollouts of `group` from the worse ones.

    Returns an empty contrast for groups that have nothing to teach. A reply that cannot be used, or a provider
    failure, costs this group and is returned as a failure.
    """
    template = template_for(teacher.config, group)
    if template is None:
        return Contrast()
    try:
        told = contrast_variables(teacher.config, group, (), library, rejected, effects) | teacher.objectives
        tokens = teacher.attempt_tokens(teacher.prompts.render(template, **told))
        attempts = await numbered_attempts(teacher, group, tokens)
        prompt = teacher.prompts.render(template, **told | {"attempts": attempts})
        parsed = await ask_proposals(
            teacher, prompt, ids=[lesson.id for lesson in library], about=f"{group.problem.id} {step}"
        )
        if parsed.edits and asks_operations(teacher):
            parsed = await _operations(teacher, group, library, parsed, effects)
    except EndpointError:
        raise
    except (ProviderError, MalformedReply, BudgetReached) as error:
        return Contrast(failures=(failure_of(error),), asked=(group.objective,))
    return _checked(teacher, group, library, parsed, (teacher.prompts.hash(template), step, rejected))


def asks_operations(teacher: Teacher) -> bool:
    """Whether the published operations stage follows; a set that consolidates one by one does the same job there."""
    own = teacher.prompts.has("operations/group") and teacher.prompts.settings.consolidate == "batch"
    return teacher.config.stages == "four" and own


def template_for(config: LessonsConfig, group: Group) -> str | None:
    """Name of the template this group is asked with; None when it has nothing to teach."""
    if group.status is GroupStatus.KEPT and config.labels == "none":
        return "contrast/group"
    if group.status is GroupStatus.KEPT and group.objective == "tokens":
        return "contrast/all_right"
    if group.status is GroupStatus.KEPT:
        signs = _signs(group)
        # A critic's group may be all better, or all worse, than was expected of the problem.
        return "contrast/group" if len(signs) > 1 else f"contrast/all_{'right' if True in signs else 'wrong'}"
    if group.status is not GroupStatus.FLAT:
        return None
    won = max(r for r in group.rewards_G if not math.isnan(r)) > 0.5
    if won:
        return "contrast/all_right" if config.all_right else None
    return "contrast/all_wrong" if config.all_wrong else None


def _signs(group: Group) -> set[bool]:
    """Whether something better than expected teaches, or something worse; of several rollouts each step counts."""
    shown = teaching_rollouts(group)
    if group.step_advantages_G and len(shown) > 1:
        return {a > 0 for i in shown for a in group.step_advantages_G[i]}
    return {group.advantages_G[i] > 0 for i in shown}


async def numbered_attempts(teacher: Teacher, group: Group, tokens: int) -> tuple[Attempt, ...]:
    """Return the graded rollouts as attempts, numbered from 1, each within its equal share of so many tokens."""
    graded = teaching_rollouts(group)
    share = tokens // max(len(graded), 1)
    attempts = []
    for number, i in enumerate(graded, 1):
        cost = group.rollouts_G[i].usage.completion_tokens
        steps = steps_of(group, i)
        text = transcript(group.rollouts_G[i].messages, numbered=bool(steps)) or group.rollouts_G[i].answer
        if group.grams:
            text = planning_first(text, group.advantages_G[i], group.grams, teacher.config.alpha)
        why, named = group.scores_G[i].why, named_scores(group, i)
        reward, advantage = group.rewards_G[i], group.advantages_G[i]
        attempts.append(Attempt(number, reward, advantage, text, why, named, tokens=cost, steps=steps))
    if teacher.config.labels == "none":
        attempts = [replace(a, reward=None, advantage=0.0, feedback="", scores=(), steps=()) for a in attempts]
    elif not teacher.config.contrast:
        attempts = [replace(a, reward=0.0, advantage=0.0, feedback="", scores=(), steps=()) for a in attempts]
    long = any(len(a.text) > share * CHARS_PER_TOKEN for a in attempts)
    if teacher.summaries == "always" or (teacher.summaries == "when-long" and long):
        jobs = [partial(_summary, teacher, group, attempt, tokens) for attempt in attempts]
        told = await teacher.executor.run(jobs)
        if failed := next((each for each in told if isinstance(each, TfgrpoError)), None):
            raise failed
        attempts = [each for each in told if isinstance(each, Attempt)]
    return tuple(replace(a, text=_fitted(group, a, share)) for a in attempts)


def _fitted(group: Group, attempt: Attempt, tokens: int) -> str:
    """Return the text of an attempt within its budget; results of tools are shortened before anything else."""
    rollout = group.rollouts_G[teaching_rollouts(group)[attempt.index - 1]]
    whole = bool(attempt.summary or group.grams)
    said = "" if whole else transcript(rollout.messages, numbered=bool(attempt.steps), tokens=tokens)
    return cut_to_tokens(said or attempt.text, tokens)


def teaching_rollouts(group: Group) -> tuple[int, ...]:
    """Return the positions of the rollouts that teach, in the order in which they are shown."""
    if group.shown is not None:
        return group.shown
    return tuple(i for i, reward in enumerate(group.rewards_G) if not math.isnan(reward))


def named_scores(group: Group, i: int) -> tuple[tuple[str, float | None], ...]:
    """Return the scores of a rollout by grader; with GDPO each is followed by its own advantage."""
    score = group.scores_G[i]
    if not score.parts:
        return ((score.name, group.rewards_G[i]),) if score.name else ()
    own = group.grader_advantages_G[i] if group.grader_advantages_G else {}
    named: list[tuple[str, float | None]] = []
    for part in score.parts:
        named.append((part.name, part.value))
        if part.name in own:
            named.append((f"{part.name}, advantage", own[part.name]))
    return tuple(named)


def steps_of(group: Group, i: int) -> tuple[tuple[int, float | None, float], ...]:
    """Return number, reward and advantage of each step of a rollout; () for a single step, which is the whole."""
    advantages = group.step_advantages_G[i] if group.step_advantages_G else ()
    if len(advantages) < 2:
        return ()
    rewards = group.scores_G[i].steps or (math.nan,) * len(advantages)
    pairs = zip(rewards, advantages, strict=True)
    return tuple((t, None if math.isnan(r) else r, a) for t, (r, a) in enumerate(pairs, 1))


def planning_first(text: str, advantage: float, grams: Sequence[str], alpha: float) -> str:
    """Return the sentences with strategic grams first, each with its weight A + alpha |A|, then the others.

    Source: HICRA, arXiv 2509.03646: success on planning is amplified, blame for it dampened.
    """
    marked = planning_sentences(text, grams)
    (weights,) = planning_advantages([advantage], [[int(plan) for _, plan in marked]], alpha=alpha)
    plans = [f"[plan {w:+.2f}] {said}" for (said, plan), w in zip(marked, weights, strict=True) if plan]
    return "\n".join([*plans, *(said for said, plan in marked if not plan)]) if plans else text


async def _summary(teacher: Teacher, group: Group, attempt: Attempt, tokens: int) -> Attempt | TfgrpoError:
    """Return the attempt retold, or what went wrong: the calls of its siblings are paid for and shall end first."""
    prompt = teacher.prompts.render(
        "summarize/rollout",
        problem=group.problem,
        attempt=replace(attempt, text=_fitted(group, attempt, tokens)),
        reference=reference_for(teacher.config, group),
        max_words=150,
        **teacher.objectives,
    )
    request = Request("summarize", teacher.model, (_user(prompt),), teacher.sampling, attempt=0)
    try:
        reply = await teacher.backend.complete(request)
    except (ProviderError, BudgetReached) as error:
        return error
    summary = reply.text.strip()
    return replace(attempt, summary=summary, text=summary)


def contrast_variables(
    config: LessonsConfig,
    group: Group,
    attempts: Sequence[Attempt],
    library: Library,
    rejected: Sequence[Verdict],
    effects: Effects,
) -> dict[str, Any]:
    """Return what every contrast template gets."""
    return {
        "problem": group.problem,
        "objective": group.objective,
        "attempts": attempts,
        "reference": reference_for(config, group),
        "majority": majority(group.rollouts_G) if config.labels == "none" else "",
        "lessons": lesson_variables(library, effects),
        "rejected": refused_lines(rejected),
        "max_edits": config.per_group,
        "max_words": config.max_words,
    }


def refused_lines(rejected: Sequence[Verdict]) -> list[dict[str, str]]:
    """Return refused edits as templates see them: text and reason."""
    return [{"text": e.text or "", "reason": v.reason} for v in rejected for e in v.edits]


def reference_for(config: LessonsConfig, group: Group) -> str | None:
    """Return the reference answer that the summarizer may see; None where it is hidden."""
    return group.problem.answer if config.ground_truth and config.labels != "none" else None


def lesson_variables(library: Library, effects: Effects) -> list[dict[str, Any]]:
    """Return the lessons as templates see them: id, text and, once measured, the effect in words."""
    return [{"id": x.id, "text": x.text, "effect": effect_in_words(effects.get(x.id))} for x in library.lessons]


def effect_in_words(evidence: Evidence | None) -> str:
    """Return an effect as `+0.12 [+0.03, +0.21]`; '' where nothing was measured."""
    if evidence is None or evidence.estimate is None:
        return ""
    interval = f" [{evidence.low:+.2f}, {evidence.high:+.2f}]" if None not in (evidence.low, evidence.high) else ""
    return f"{evidence.estimate:+.2f}{interval}"


async def _operations(
    teacher: Teacher, group: Group, library: Library, found: ParsedEdits, effects: Effects
) -> ParsedEdits:
    prompt = teacher.prompts.render(
        "operations/group",
        problem=group.problem,
        lessons=lesson_variables(library, effects),
        proposals=numbered_proposals([Proposal(edit) for edit in found.edits]),
        max_words=teacher.config.max_words,
        **teacher.objectives,
    )
    operations = await ask_edits(teacher, "operations", prompt, max_edits=None, ids=[x.id for x in library])
    # Its numbers name the new lessons, not the attempts: those stay what the contrast said.
    attempts = tuple(
        tuple(dict.fromkeys(a for n in named if 0 < n <= len(found.attempts) for a in found.attempts[n - 1]))
        for named in operations.attempts
    )
    return replace(operations, attempts=attempts, malformed=(*found.malformed, *operations.malformed))


async def paraphrase(teacher: Teacher, text: str) -> str | None:
    """Return a lesson in other words, for measuring what wording alone does; None when the model gives none."""
    prompt = teacher.prompts.render("paraphrase/lesson", lesson=text, max_words=teacher.config.max_words)
    try:
        reply = await teacher.backend.complete(Request("paraphrase", teacher.model, (_user(prompt),), teacher.sampling))
    except EndpointError:
        raise
    except ProviderError:
        return None
    told = reply.text.strip()
    return told if told and told != text and len(told.split()) <= 2 * teacher.config.max_words else None


def numbered_proposals(proposals: Sequence[Proposal]) -> list[dict[str, Any]]:
    """Return proposals as templates see them, numbered from 1."""
    return [
        {
            "number": number,
            "op": p.edit.op.value,
            "ids": list(p.edit.ids),
            "text": p.edit.text or "",
            "reason": p.edit.reason,
            "support": p.support,
            "problems": sorted({s.problem_id for s in p.edit.sources}),
        }
        for number, p in enumerate(proposals, 1)
    ]


Origin = tuple[str, int, Sequence[Verdict]]
"""Hash of the template that asked, the step, and the refused edits that were shown."""


def checked_over(
    teacher: Teacher,
    groups: Sequence[Group],
    library: Library,
    parsed: ParsedEdits,
    origin: Origin,
    lost: Sequence[Failure] = (),
) -> Contrast:
    """Check edits that rest on several groups, numbered from 1 as the model saw them; one that names none rests on all.

    Every group is looked at for leaks, whether it is named or not: the model has read them all.
    """
    behind = [
        [groups[n - 1] for n in dict.fromkeys(named) if 0 < n <= len(groups)] or list(groups)
        for named in parsed.attempts
    ]
    rests = [[(g, tuple(g.rollouts_G[i].index for i in teaching_rollouts(g))) for g in own] for own in behind]
    found = _passed(teacher, groups, library, parsed, rests, origin)
    return replace(found, failures=(*lost, *parsed.malformed), asked=("",))


def _checked(teacher: Teacher, group: Group, library: Library, parsed: ParsedEdits, origin: Origin) -> Contrast:
    graded = [group.rollouts_G[i].index for i in teaching_rollouts(group)]
    shown = [tuple(graded[n - 1] for n in own if 0 < n <= len(graded)) or tuple(graded) for own in parsed.attempts]
    found = _passed(teacher, [group], library, parsed, [[(group, own)] for own in shown], origin)
    return replace(found, failures=parsed.malformed, asked=(group.objective,))


def _passed(
    teacher: Teacher,
    groups: Sequence[Group],
    library: Library,
    parsed: ParsedEdits,
    rests: Sequence[Sequence[tuple[Group, tuple[int, ...]]]],
    origin: Origin,
) -> Contrast:
    """Return the edits that pass the checks in code; `rests` are the groups of each, and the rollouts that show it."""
    template, step, rejected = origin
    # Words of a stranger in the prompt: those of the attempts, and those of refused edits that are shown.
    tainted = any(r.tainted for g in groups for r in g.rollouts_G) or any(e.tainted for v in rejected for e in v.edits)
    edits = []
    for edit, own in zip(parsed.edits, rests, strict=True):
        sources = tuple(Source(g.problem.id, shown, teacher.run, step, teacher.model, template) for g, shown in own)
        edits.append(replace(edit, sources=sources, tainted=tainted))
    checked = check_edits(edits, library.lessons, max_words=teacher.config.max_words)
    kept, dropped = [], [Verdict("rejected", (edit,), reason) for edit, reason in checked.dropped]
    said = said_by_graders(teacher.config, groups)
    for edit in checked.kept:
        leaks = (leak_reason(edit.text, g.problem, teacher.public) for g in groups if edit.text)
        if leak := next(filter(None, leaks), None):
            dropped.append(Verdict("rejected", (edit,), f"{leak}; {REMEDY}"))
        else:
            kept.append(Proposal(edit, echo=share_said(edit.text, said)))
    return Contrast(tuple(kept), tuple(dropped))


def _user(text: str) -> Message:
    return {"role": "user", "content": text}
