"""From the proposals of a batch to one consistent list of edits.

`join` puts equal proposals together and leaves the rest to the gate, the best supported first; `none` not even that.
`batch` asks one model call to reconcile all proposals with the library; `each` asks one call per proposal, weakest
support first. The model may merge wordings. It may not choose between claims that differ: those go on as rivals, which
share a subject, and the gate decides. Whatever the model says, the same checks in code follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from experience_db import Edit, Library, Op
from tfgrpo.boundary import failure_of
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.lessons.edits import check_edits, fit_budget, join_duplicates, net_edits, normalise
from tfgrpo.lessons.request_edits import ask_edits
from tfgrpo.lessons.rivals import (
    NOTHING,
    Topics,
    contradict,
    first_of_each_subject,
    rivals,
    says_all,
    with_subjects,
)
from tfgrpo.lessons.summarize import NO_EFFECTS, Effects, lesson_variables, numbered_proposals
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.replies import ParsedEdits
from tfgrpo.types import Failure, Proposal, Verdict


@dataclass(frozen=True, slots=True)
class Consolidated:
    """The edits of a batch, and what was lost on the way."""

    proposals: tuple[Proposal, ...] = ()
    """Edits that fit together, but for rivals: of those with the same `subject` at most one may enter."""
    dropped: tuple[Verdict, ...] = ()
    failures: tuple[Failure, ...] = ()


async def consolidate(
    teacher: Teacher,
    library: Library,
    proposals: Sequence[Proposal],
    effects: Effects = NO_EFFECTS,
    topics: Topics = NOTHING,
) -> Consolidated:
    """Reconcile `proposals` with each other and with the library.

    A model that fails here costs its own judgement only: the proposals then pass the checks in code as they are.
    """
    mode = teacher.consolidate
    joined = tuple(proposals) if mode == "none" else join_duplicates(proposals)
    if not joined:
        return Consolidated()
    if teacher.lines:
        joined = tuple(replace(p, edit=replace(p.edit, reason=p.edit.reason or _said_by(p))) for p in joined)
    if mode in ("none", "join"):
        found = _best(teacher, library, joined)
    else:
        found = await (_each if mode == "each" else _batch)(teacher, library, joined, effects, topics)
    named = with_subjects(library, found.proposals, topics)
    kept, refused = within_budget(library, named, teacher.config.budget_tokens, effects)
    return replace(found, proposals=kept, dropped=(*found.dropped, *refused))


def _said_by(proposal: Proposal) -> str:
    """Return the reason for a line, which comes without words of its own."""
    return "one group wrote this line" if proposal.support == 1 else f"{proposal.support} groups wrote this line"


def _best(teacher: Teacher, library: Library, joined: Sequence[Proposal]) -> Consolidated:
    """Order proposals by support and weight; those beyond `lessons.candidates` wait for another step.

    Most lines of a small model have the support of one group, and a gate has room for a few: of these, those go first
    that say what the graders said.
    """
    ordered = sorted(joined, key=lambda p: (-p.support * p.weight, -p.echo))
    most = teacher.config.candidates or len(ordered)
    found = _checked(teacher, library, ordered)
    kept, later = found.proposals[:most], found.proposals[most:]
    untested = [Verdict("untested", (p.edit,), f"{most} proposals of the batch have more support") for p in later]
    return Consolidated(kept, (*found.dropped, *untested))


async def _batch(
    teacher: Teacher, library: Library, joined: tuple[Proposal, ...], effects: Effects, topics: Topics
) -> Consolidated:
    if len(joined) == 1 and not library.lessons:
        return _checked(teacher, library, joined)
    prompt = teacher.prompts.render(
        "consolidate/batch",
        lessons=lesson_variables(library, effects),
        proposals=numbered_proposals(joined),
        budget_tokens=teacher.config.budget_tokens,
        max_words=teacher.config.max_words,
        **teacher.objectives,
    )
    try:
        parsed = await ask_edits(teacher, "consolidate", prompt, max_edits=None, ids=[x.id for x in library])
    except EndpointError:
        raise
    except (ProviderError, MalformedReply, BudgetReached) as error:
        return replace(_checked(teacher, library, joined), failures=(failure_of(error),))
    merged = [_credited(edit, named, joined, topics) for edit, named in zip(parsed.edits, parsed.attempts, strict=True)]
    behind = [
        [edit for edit, named in zip(parsed.edits, parsed.attempts, strict=True) if number in named]
        for number in range(1, len(joined) + 1)
    ]
    back, verdicts = _left_out(library, joined, merged, behind, topics)
    result = _checked(teacher, library, (*merged, *back))
    return replace(result, dropped=(*result.dropped, *verdicts), failures=parsed.malformed)


@dataclass(slots=True)
class _Working:
    """What one call per proposal left so far."""

    library: Library
    """With the edits that contest nothing of this batch."""
    rivals: list[Proposal] = field(default_factory=list)
    """Edits that advise otherwise than an earlier one of this batch, in terms of the library at the start."""
    behind: dict[int, list[Edit]] = field(default_factory=dict)
    """The edits that each proposal, by its place, became."""
    dropped: list[Verdict] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


async def _each(
    teacher: Teacher, library: Library, joined: tuple[Proposal, ...], effects: Effects, topics: Topics
) -> Consolidated:
    working, seen = _Working(library), False
    for place in sorted(range(len(joined)), key=lambda i: joined[i].support * joined[i].weight):
        proposal = joined[place]
        parsed = await _asked(teacher, working.library, proposal, effects)
        working.failures.extend(parsed.malformed)
        origin = proposal.edit
        edits = [
            replace(e, sources=origin.sources, tainted=_tainted(e, [proposal], seen), reason=origin.reason)
            for e in parsed.edits
        ]
        checked = check_edits(edits, working.library.lessons, max_words=teacher.config.max_words)
        working.dropped.extend(Verdict("rejected", (edit,), reason) for edit, reason in checked.dropped)
        working.behind[place] = [*checked.kept, *(edit for edit, _ in checked.dropped)]
        for edit in checked.kept:
            _entered(working, library, proposal, edit, topics)
        seen = seen or any(edit.tainted for edit in checked.kept)
    support = {normalise(p.edit.text or ""): p.support for p in joined}
    net = [
        Proposal(edit, support.get(normalise(edit.text or ""), 1))
        for edit in net_edits(library.lessons, working.library.lessons)
    ]
    every = [*net, *working.rivals]
    back, verdicts = _left_out(library, joined, every, [working.behind[i] for i in range(len(joined))], topics)
    result = _checked(teacher, library, join_duplicates((*every, *back)))
    dropped = (*working.dropped, *result.dropped, *verdicts)
    return Consolidated(result.proposals, dropped, tuple(working.failures))


async def _asked(teacher: Teacher, working: Library, proposal: Proposal, effects: Effects) -> ParsedEdits:
    """Ask how one proposal enters; a model that fails lets it enter as it is."""
    prompt = teacher.prompts.render(
        "consolidate/each",
        lessons=lesson_variables(working, effects),
        proposal=proposal.edit,
        max_words=teacher.config.max_words,
        **teacher.objectives,
    )
    try:
        return await ask_edits(teacher, "consolidate", prompt, max_edits=1, ids=[x.id for x in working])
    except EndpointError:
        raise
    except (ProviderError, MalformedReply, BudgetReached) as error:
        return ParsedEdits((proposal.edit,), (failure_of(error),))


def _entered(working: _Working, library: Library, proposal: Proposal, edit: Edit, topics: Topics) -> None:
    """Let an edit enter, or put it beside those it would overwrite: that is for the gate to decide."""
    old = {lesson.id: lesson.text for lesson in library}
    now = {lesson.id: lesson.text for lesson in working.library}
    contested = [i for i in edit.ids if old.get(i) != now.get(i)]
    merges = edit.text is not None and all(says_all(edit.text, now[i], topics) for i in contested)
    if not contested or merges:
        working.library = working.library.with_edits((edit,))
        return
    ids = tuple(i for i in edit.ids if i in old)
    if edit.text is None and not ids:
        return
    op = edit.op if edit.text is None else (Op.ADD, Op.UPDATE, Op.MERGE)[min(len(ids), 2)]
    working.rivals.append(Proposal(replace(edit, op=op, ids=ids), proposal.support, proposal.weight))


def _left_out(
    library: Library,
    joined: Sequence[Proposal],
    merged: Sequence[Proposal],
    behind: Sequence[Sequence[Edit]],
    topics: Topics,
) -> tuple[list[Proposal], list[Verdict]]:
    """Find the claims that consolidation lost: those that go to the gate all the same, and a verdict on the others.

    A model may merge wordings; where it chose between claims that differ, the one it left out comes back as a rival.
    A claim left out without a rival comes back when several groups asked for it; else it is untested, and said so.
    """
    back, verdicts = [], []
    edits = [p.edit for p in merged]
    for proposal, mine in zip(joined, behind, strict=True):
        edit = proposal.edit
        if _stands(edit, [*edits, *mine], topics):
            continue
        active = [x.text for x in library if edit.text is not None and x.id not in edit.ids]
        if any(says_all(text, edit.text or "", topics) for text in active):
            verdicts.append(Verdict("rejected", (edit,), "the library says so already"))
            continue
        against = any(rivals(edit, other, topics) for other in (*edits, *mine))
        dropped = proposal.support > 1 or any(contradict(edit.text or "", text, topics) for text in active)
        if against or (dropped and not mine):
            back.append(proposal)
        elif not mine:
            verdicts.append(Verdict("untested", (edit,), "left out when the proposals of the batch were consolidated"))
    return back, verdicts


def _stands(edit: Edit, others: Sequence[Edit], topics: Topics) -> bool:
    """Whether the claim of an edit stands in one of `others`, in its own words or in a merge of wordings."""
    if edit.text is None:
        return any(other.text is None and set(edit.ids) <= set(other.ids) for other in others)
    return any(other.text is not None and says_all(other.text, edit.text, topics) for other in others)


def _checked(teacher: Teacher, library: Library, proposals: Sequence[Proposal]) -> Consolidated:
    """Check each edit; those that touch a lesson which an earlier one touches stay, as its rivals."""
    by_edit = {id(p.edit): p for p in proposals}
    words = teacher.config.max_words
    checked = check_edits([p.edit for p in proposals], library.lessons, max_words=words)
    alone = {
        id(edit)
        for edit, _ in checked.dropped
        if edit.ids and check_edits([edit], library.lessons, max_words=words).kept
    }
    kept_ids = {id(edit) for edit in checked.kept} | alone
    kept = tuple(p for i, p in by_edit.items() if i in kept_ids)
    refused = tuple(Verdict("rejected", (edit,), reason) for edit, reason in checked.dropped if id(edit) not in alone)
    return Consolidated(kept, refused)


def _credited(edit: Edit, named: Sequence[int], joined: Sequence[Proposal], topics: Topics) -> Proposal:
    """Give an edit the sources of the proposals it names, else of those with the same words or lessons, else of all.

    Proposals that advise otherwise are no sources, whatever the model says it made of them: they stand in the reason.
    """
    behind = [joined[n - 1] for n in named if 0 < n <= len(joined)]
    words = normalise(edit.text or "")
    behind = behind or [p for p in joined if normalise(p.edit.text or "") == words or edit.ids == p.edit.ids != ()]
    asked = [p for p in behind or joined if not _advises_otherwise(p.edit, edit, topics)]
    support = sum(p.support for p in asked if behind) or 1
    weight = sum(p.support * p.weight for p in asked) / support if asked and behind else 1.0
    sources = tuple(dict.fromkeys(s for p in asked for s in p.edit.sources))
    tainted = _tainted(edit, behind or list(joined), any(p.edit.tainted for p in joined))
    reason = "; ".join(filter(None, [edit.reason, *_dissent(edit, joined, topics)]))
    return Proposal(replace(edit, sources=sources, tainted=tainted, reason=reason), support, weight)


def _advises_otherwise(asked: Edit, edit: Edit, topics: Topics) -> bool:
    """Whether somebody who asked for one edit would not have asked for the other."""
    if asked.text is None or edit.text is None:
        return (asked.text is None) != (edit.text is None)
    return contradict(asked.text, edit.text, topics) and not says_all(edit.text, asked.text, topics)


def _dissent(edit: Edit, joined: Sequence[Proposal], topics: Topics) -> list[str]:
    """Return which proposals of the batch advised otherwise than an edit, with their problems."""
    if edit.text is None:
        return []
    against = [p.edit for p in joined if p.edit.text is not None and _advises_otherwise(p.edit, edit, topics)]
    problems = [", ".join(dict.fromkeys(s.problem_id for s in other.sources)) or "no problem" for other in against]
    return [f"otherwise advised by {who}: {other.text}" for other, who in zip(against, problems, strict=True)]


def _tainted(edit: Edit, behind: Sequence[Proposal], seen: bool) -> bool:
    """Whether words of strangers may be in an edit: the model that wrote it saw some, and nobody clean said the same.

    Which proposals an edit rests on is the model's own word, and a model can be talked into naming the wrong one.
    """
    if any(p.edit.tainted for p in behind):
        return True
    words = {normalise(p.edit.text or "") for p in behind}
    return seen and normalise(edit.text or "") not in words


def within_budget(
    library: Library, proposals: Sequence[Proposal], budget_tokens: int, effects: Effects
) -> tuple[tuple[Proposal, ...], tuple[Verdict, ...]]:
    """Make room: where the new library would be too large, what has the lowest measured effect per token leaves.

    Returns:
        The proposals with a DELETE for every lesson that leaves, and a verdict for every proposal that does not fit.
    """
    kept = list(proposals)
    values = {i: e.estimate for i, e in effects.items() if e.estimate is not None}
    candidate = library.with_edits([p.edit for p in first_of_each_subject(kept)])
    asked: dict[str, list[Proposal]] = {}
    for proposal in kept:
        asked.setdefault(normalise(proposal.edit.text or ""), []).append(proposal)
    text = {lesson.id: normalise(lesson.text) for lesson in candidate.lessons}
    old, refused, leaves = {lesson.id for lesson in library.lessons}, [], []
    # Each is looked up once: an imported library may have to lose thousands.
    for leaving in fit_budget(candidate.lessons, budget_tokens, values):
        if same := asked.get(text[leaving]):
            about = same.pop(0)
            kept.remove(about)
            refused.append(Verdict("untested", (about.edit,), f"the library is full at {budget_tokens} tokens"))
        elif leaving in old:
            # It leaves for the others; should one of them wait for a person, so does this.
            tainted = any(p.edit.tainted for p in kept)
            reason = f"makes room in {budget_tokens} tokens: lowest measured effect per token"
            leaves.append(Proposal(Edit(Op.DELETE, None, (leaving,), reason, tainted=tainted)))
    kept += leaves
    return tuple(kept), tuple(refused)
