"""What becomes of the children that a step accepted: each for itself, or their lessons pooled into one candidate.

Siblings do not see each other's lessons while they are made. Pooling joins them afterwards, by three-way merges against
the parents they came from, so that width costs no depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from experience_db import Edit, Lesson, Library, Op
from experience_db.prompt_parts import one_of_each_part
from tfgrpo.lessons.edits import fit_budget, join_duplicates, normalise
from tfgrpo.search.merge_three_way import Conflict, merge_lessons, with_lesson
from tfgrpo.search.proposal import Child


@dataclass(frozen=True, slots=True)
class CandidatePlan:
    """A candidate that is to be scored: its lessons under their final ids, and why each of them changed."""

    library: Library
    """Its `version` is the one that it will be stored as."""
    parents: tuple[int, ...]
    """Indices in the pool; the first is the one it is compared with."""
    kind: str
    why: dict[int, Edit]
    """The edit behind each lesson that it adds, rewords or drops against its first parent."""
    edits: tuple[Edit, ...] = ()
    """The proposals that it holds, as they were made."""


@dataclass(frozen=True, slots=True)
class UnnumberedCandidate:
    """A candidate before its lessons have final ids: new ones carry ids from `head.next_id` on, with gaps."""

    base: Library
    lessons: tuple[Lesson, ...]
    parents: tuple[int, ...]
    kind: str
    edits: tuple[Edit, ...]


def candidates_from(
    accepted: Sequence[Child], means: Sequence[float], mode: str, budget_tokens: int
) -> tuple[UnnumberedCandidate, ...]:
    """Return the candidates that a step's accepted children make, most promising first.

    Args:
        accepted: the children, in the order of their proposals.
        means: held-out means of the pool, for choosing the parent that pooling starts from.
        mode: `pooled`, `separate` or `both`.
        budget_tokens: size limit of a library; a pool that exceeds it drops lessons.
    """
    alone = tuple(
        UnnumberedCandidate(
            c.task.library, c.library.lessons, (c.task.parent,), "mutation", tuple(p.edit for p in c.proposals)
        )
        for c in accepted
    )
    if len(accepted) < 2 or mode == "separate":
        return alone
    joined = pool_lessons(accepted, means, budget_tokens)
    return (joined,) if mode == "pooled" else (joined, *alone)


def pool_lessons(accepted: Sequence[Child], means: Sequence[float], budget_tokens: int) -> UnnumberedCandidate:
    """Join the lessons of all children: the largest gain first, and first come where two change one lesson."""
    first = accepted[0].task.library.next_id
    ranked = sorted(accepted, key=lambda c: -c.gain)
    base = max(ranked, key=lambda c: means[c.task.parent]).task
    lessons, above = base.library.lessons, first
    for child in ranked:
        theirs, above = _shifted(child.library.lessons, first, above)
        merged = merge_lessons(child.task.library.lessons, lessons, theirs)
        lessons = merged.lessons
        for conflict in merged.conflicts:
            lessons = with_lesson(lessons, _standing(conflict))
    # Siblings may each have written a part that their parents had not: what gained most was given the lowest id.
    lessons = one_of_each_part(lessons)
    dropped = set(fit_budget(lessons, budget_tokens, {}))
    kept = tuple(x for x in lessons if x.id not in dropped)
    parents = tuple(dict.fromkeys([base.parent, *(c.task.parent for c in ranked)]))
    edits = join_duplicates([p for c in ranked for p in c.proposals])
    return UnnumberedCandidate(base.library, kept, parents, "pooled", tuple(p.edit for p in edits))


def _standing(conflict: Conflict) -> Lesson | None:
    """What the pool has already stays, be it words or a deletion."""
    return conflict.a


def _shifted(lessons: Sequence[Lesson], first: int, above: int) -> tuple[tuple[Lesson, ...], int]:
    """Give new lessons ids that no sibling has: siblings counted from the same id on."""
    own = [x.id for x in lessons if x.id >= first]
    ids = {old: above + n for n, old in enumerate(own)}
    return tuple(replace(x, id=ids.get(x.id, x.id)) for x in lessons), above + len(own)


def assign_ids(drawn: Iterable[UnnumberedCandidate], head: Library) -> tuple[CandidatePlan, ...]:
    """Give every candidate its version number and its new lessons their final ids, in order."""
    goals: list[CandidatePlan] = []
    first, above, version = head.next_id, head.next_id, head.version
    for sketch in drawn:
        version += 1
        fresh = [x for x in sketch.lessons if x.id >= first]
        ids = {x.id: above + n for n, x in enumerate(fresh)}
        above += len(fresh)
        lessons = tuple(
            replace(x, id=ids[x.id], born=version, changed=version) if x.id in ids else x for x in sketch.lessons
        )
        library = replace(sketch.base, version=version, lessons=lessons, next_id=above)
        goals.append(CandidatePlan(library, sketch.parents, sketch.kind, _why(sketch, lessons), sketch.edits))
    return tuple(goals)


def _why(sketch: UnnumberedCandidate, lessons: Sequence[Lesson]) -> dict[int, Edit]:
    """Find the edit behind each difference to the first parent: by its words, else by the lesson that it names."""
    before = {x.id: x for x in sketch.base}
    changed = [x for x in lessons if before.get(x.id) is None or before[x.id].text != x.text]
    gone = [i for i in before if i not in {x.id for x in lessons}]
    by_words = {normalise(e.text): e for e in reversed(sketch.edits) if e.text}
    by_id = {i: e for e in reversed(sketch.edits) for i in e.ids}
    why = {x.id: by_words.get(normalise(x.text)) or by_id.get(x.id) for x in changed}
    why |= {i: by_id.get(i) or Edit(Op.DELETE, ids=(i,), reason="makes room") for i in gone}
    return {i: edit for i, edit in why.items() if edit is not None}
