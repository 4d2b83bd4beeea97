"""From the proposals of a batch to one consistent list of edits.

`batch` asks one model call to reconcile all proposals with the library; `each` asks one call per proposal, weakest
support first, so that the best supported has the last word. Whatever the model says, the same checks in code follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experience_db import Edit, Library
from tfgrpo.boundary import failure_of
from tfgrpo.edits import check_edits, compose, join_duplicates
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.summarize import Teacher, ask_edits, numbered, shown
from tfgrpo.types import Failure, Proposal, Verdict


@dataclass(frozen=True, slots=True)
class Consolidated:
    """The edits of a batch, and what was lost on the way."""

    proposals: tuple[Proposal, ...] = ()
    """One consistent list: each lesson touched at most once."""
    dropped: tuple[Verdict, ...] = ()
    failures: tuple[Failure, ...] = ()


async def consolidate(teacher: Teacher, library: Library, proposals: Sequence[Proposal]) -> Consolidated:
    """Reconcile `proposals` with each other and with the library.

    A model that fails here costs its own judgement only: the proposals then pass the checks in code as they are.
    """
    joined = join_duplicates(proposals)
    if not joined:
        return Consolidated()
    mode = teacher.config.consolidate or teacher.prompts.settings.consolidate
    return await (_each if mode == "each" else _batch)(teacher, library, joined)


async def _batch(teacher: Teacher, library: Library, joined: tuple[Proposal, ...]) -> Consolidated:
    if len(joined) == 1 and not library.lessons:
        return _checked(teacher, library, joined)
    prompt = teacher.prompts.render(
        "consolidate/batch",
        lessons=shown(library),
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
    kept = tuple(_credited(edit, joined) for edit in parsed.edits)
    result = _checked(teacher, library, kept)
    return replace(result, failures=parsed.malformed)


async def _each(teacher: Teacher, library: Library, joined: tuple[Proposal, ...]) -> Consolidated:
    working = library
    failures: list[Failure] = []
    dropped: list[Verdict] = []
    for proposal in sorted(joined, key=lambda p: p.support):
        prompt = teacher.prompts.render("consolidate/each", lessons=shown(working), proposal=proposal.edit)
        try:
            parsed = await ask_edits(teacher, "consolidate", prompt, max_edits=1)
        except EndpointError:
            raise
        except (ProviderError, MalformedReply, BudgetReached) as error:
            failures.append(failure_of(error))
            continue
        failures.extend(parsed.malformed)
        edits = [replace(e, sources=proposal.edit.sources, tainted=proposal.edit.tainted) for e in parsed.edits]
        checked = check_edits(edits, working.lessons, max_words=teacher.config.max_words)
        dropped.extend(Verdict("rejected", (edit,), reason) for edit, reason in checked.dropped)
        working = working.with_edits(checked.kept)
    support = {_words(p.edit): p.support for p in joined}
    net = tuple(Proposal(edit, support.get(_words(edit), 1)) for edit in compose(library.lessons, working.lessons))
    return Consolidated(net, tuple(dropped), tuple(failures))


def _checked(teacher: Teacher, library: Library, proposals: Sequence[Proposal]) -> Consolidated:
    by_edit = {id(p.edit): p for p in proposals}
    checked = check_edits([p.edit for p in proposals], library.lessons, max_words=teacher.config.max_words)
    kept = tuple(by_edit[id(edit)] for edit in checked.kept)
    return Consolidated(kept, tuple(Verdict("rejected", (edit,), reason) for edit, reason in checked.dropped))


def _credited(edit: Edit, joined: Sequence[Proposal]) -> Proposal:
    """Give an edit the sources of the proposals it names, else of those with the same words or lessons, else of all."""
    named = [p for p in joined if _words(p.edit) == _words(edit) or (edit.ids and p.edit.ids == edit.ids)]
    behind = named or list(joined)
    sources = tuple(dict.fromkeys(s for p in behind for s in p.edit.sources))
    tainted = any(p.edit.tainted for p in behind)
    return Proposal(replace(edit, sources=sources, tainted=tainted), sum(p.support for p in named) or 1)


def _words(edit: Edit) -> str:
    return " ".join((edit.text or "").casefold().split())
