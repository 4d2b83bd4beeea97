"""From the proposals of a batch to one consistent list of edits.

`batch` asks one model call to reconcile all proposals with the library; `each` asks one call per proposal, weakest
support first, so that the best supported has the last word. Whatever the model says, the same checks in code follow.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from experience_db import Edit, Library, Op
from tfgrpo.boundary import failure_of
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.lessons.edits import check_edits, compose, fit_budget, join_duplicates, normalise
from tfgrpo.lessons.summarize import NO_EFFECTS, Effects, Teacher, ask_edits, numbered, shown
from tfgrpo.replies import ParsedEdits
from tfgrpo.types import Failure, Proposal, Verdict


@dataclass(frozen=True, slots=True)
class Consolidated:
    """The edits of a batch, and what was lost on the way."""

    proposals: tuple[Proposal, ...] = ()
    """One consistent list: each lesson touched at most once."""
    dropped: tuple[Verdict, ...] = ()
    failures: tuple[Failure, ...] = ()


async def consolidate(
    teacher: Teacher, library: Library, proposals: Sequence[Proposal], effects: Effects = NO_EFFECTS
) -> Consolidated:
    """Reconcile `proposals` with each other and with the library.

    A model that fails here costs its own judgement only: the proposals then pass the checks in code as they are.
    """
    joined = join_duplicates(proposals)
    if not joined:
        return Consolidated()
    mode = teacher.config.consolidate or teacher.prompts.settings.consolidate
    found = await (_each if mode == "each" else _batch)(teacher, library, joined, effects)
    kept, refused = within_budget(library, found.proposals, teacher.config.budget_tokens, effects)
    return replace(found, proposals=kept, dropped=(*found.dropped, *refused))


async def _batch(teacher: Teacher, library: Library, joined: tuple[Proposal, ...], effects: Effects) -> Consolidated:
    if len(joined) == 1 and not library.lessons:
        return _checked(teacher, library, joined)
    prompt = teacher.prompts.render(
        "consolidate/batch",
        lessons=shown(library, effects),
        proposals=numbered(joined),
        budget_tokens=teacher.config.budget_tokens,
        max_words=teacher.config.max_words,
    )
    try:
        parsed = await ask_edits(teacher, "consolidate", prompt, max_edits=None)
    except EndpointError:
        raise
    except (ProviderError, MalformedReply, BudgetReached) as error:
        return replace(_checked(teacher, library, joined), failures=(failure_of(error),))
    merged = [_credited(edit, named, joined) for edit, named in zip(parsed.edits, parsed.attempts, strict=True)]
    result = _checked(teacher, library, merged)
    taken = {n - 1 for named in parsed.attempts for n in named}
    return replace(result, dropped=(*result.dropped, *_left_out(joined, merged, taken)), failures=parsed.malformed)


async def _each(teacher: Teacher, library: Library, joined: tuple[Proposal, ...], effects: Effects) -> Consolidated:
    working = library
    failures: list[Failure] = []
    dropped: list[Verdict] = []
    named: set[int] = set()
    seen = False
    for proposal in sorted(joined, key=lambda p: p.support * p.weight):
        prompt = teacher.prompts.render(
            "consolidate/each",
            lessons=shown(working, effects),
            proposal=proposal.edit,
            max_words=teacher.config.max_words,
        )
        origin = proposal.edit
        try:
            parsed = await ask_edits(teacher, "consolidate", prompt, max_edits=1)
        except EndpointError:
            raise
        except (ProviderError, MalformedReply, BudgetReached) as error:
            parsed = ParsedEdits((origin,), (failure_of(error),))
        failures.extend(parsed.malformed)
        edits = [
            replace(e, sources=origin.sources, tainted=_tainted(e, [proposal], seen), reason=origin.reason)
            for e in parsed.edits
        ]
        checked = check_edits(edits, working.lessons, max_words=teacher.config.max_words)
        dropped.extend(Verdict("rejected", (edit,), reason) for edit, reason in checked.dropped)
        named |= {joined.index(proposal)} if checked.dropped else set()
        working = working.with_edits(checked.kept)
        seen = seen or any(edit.tainted for edit in checked.kept)
    support = {normalise(p.edit.text or ""): p.support for p in joined}
    net = [
        Proposal(edit, support.get(normalise(edit.text or ""), 1)) for edit in compose(library.lessons, working.lessons)
    ]
    return Consolidated(tuple(net), (*dropped, *_left_out(joined, net, named)), tuple(failures))


def _left_out(joined: Sequence[Proposal], merged: Sequence[Proposal], taken: Collection[int]) -> list[Verdict]:
    """Say of every proposal that is in no edit that it was left out: none vanishes in silence."""
    words = {normalise(p.edit.text or "") for p in merged} - {""}
    ids = {i for p in merged for i in p.edit.ids}
    return [
        Verdict("rejected", (p.edit,), "left out when the proposals of the batch were consolidated")
        for number, p in enumerate(joined)
        if number not in taken and normalise(p.edit.text or "") not in words and not ids & set(p.edit.ids)
    ]


def _checked(teacher: Teacher, library: Library, proposals: Sequence[Proposal]) -> Consolidated:
    by_edit = {id(p.edit): p for p in proposals}
    checked = check_edits([p.edit for p in proposals], library.lessons, max_words=teacher.config.max_words)
    kept = tuple(by_edit[id(edit)] for edit in checked.kept)
    return Consolidated(kept, tuple(Verdict("rejected", (edit,), reason) for edit, reason in checked.dropped))


def _credited(edit: Edit, named: Sequence[int], joined: Sequence[Proposal]) -> Proposal:
    """Give an edit the sources of the proposals it names, else of those with the same words or lessons, else of all."""
    behind = [joined[n - 1] for n in named if 0 < n <= len(joined)]
    words = normalise(edit.text or "")
    behind = behind or [p for p in joined if normalise(p.edit.text or "") == words or edit.ids == p.edit.ids != ()]
    support = sum(p.support for p in behind) or 1
    weight = sum(p.support * p.weight for p in behind) / support if behind else 1.0
    behind = behind or list(joined)
    sources = tuple(dict.fromkeys(s for p in behind for s in p.edit.sources))
    tainted = _tainted(edit, behind, any(p.edit.tainted for p in joined))
    return Proposal(replace(edit, sources=sources, tainted=tainted), support, weight)


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
    candidate = library.with_edits([p.edit for p in kept])
    refused, old = [], {lesson.id for lesson in library.lessons}
    for leaving in fit_budget(candidate.lessons, budget_tokens, values):
        lesson = candidate.lesson(leaving)
        about = next((p for p in kept if normalise(p.edit.text or "") == normalise(lesson.text)), None)
        if about is not None:
            kept.remove(about)
            refused.append(Verdict("rejected", (about.edit,), f"the library is full at {budget_tokens} tokens"))
        if leaving in old and about is None:
            reason = f"makes room in {budget_tokens} tokens: lowest measured effect per token"
            # It leaves for the others; should one of them wait for a person, so does this.
            tainted = any(p.edit.tainted for p in kept)
            kept.append(Proposal(Edit(Op.DELETE, None, (leaving,), reason, tainted=tainted)))
    return tuple(kept), tuple(refused)
