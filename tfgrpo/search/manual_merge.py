"""`tfgrpo lessons merge`: the merge of a search, asked for by a person and without a test of its result."""

from __future__ import annotations

from dataclasses import dataclass, replace

from experience_db import Library, Store
from tfgrpo.errors import UsageError
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.search.merge_ancestors import ancestors
from tfgrpo.search.merge_conflicts import FinishedMerge, merge_libraries


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """Two versions to merge; of one library, or of two."""

    a: Library
    b: Library
    ancestor: Library | None
    """The newest version that both come from; None for two libraries."""

    @property
    def same(self) -> bool:
        """Whether both are versions of one library."""
        return self.a.name == self.b.name


def merge_request(store: Store, a: Library, b: Library) -> MergeRequest:
    """Find what two versions have in common.

    Raises:
        UsageError: one of them comes from the other, so there is nothing to merge.
    """
    if a.name != b.name:
        above = a.next_id
        renumbered = tuple(replace(x, id=above + n) for n, x in enumerate(b.lessons))
        return MergeRequest(a, replace(b, lessons=renumbered, next_id=above + len(renumbered)), None)
    parents = parents_of(store, a.name)
    lines = [ancestors(parents, side.version) | {side.version} for side in (a, b)]
    if a.version in lines[1] or b.version in lines[0]:
        newer = max(a.version, b.version)
        raise UsageError(f"version {newer} comes from the other one: there is nothing to merge; see `lessons diff`")
    return MergeRequest(a, b, store.library(a.name, max(lines[0] & lines[1])))


def parents_of(store: Store, name: str) -> tuple[tuple[int, ...], ...]:
    """Return what each version comes from: its lineage, else the version before it."""
    known = {origin.version: origin.origins for origin in store.lineage(name)}
    numbers = [version.number for version in store.versions(name)]
    return tuple(known.get(n, (n - 1,) if n else ()) for n in numbers)


async def merge_versions(
    store: Store, wanted: MergeRequest, *, prefer: str = "", teacher: Teacher | None = None
) -> FinishedMerge:
    """Merge what was asked for.

    Raises:
        UsageError: a lesson that both sides changed, and neither evidence, a model nor a preference to decide it.
    """
    base = () if wanted.ancestor is None else wanted.ancestor.lessons
    sides = (base, wanted.a.lessons, wanted.b.lessons)
    found = await merge_libraries(store, wanted.a.name, sides, better=prefer or "a", teacher=teacher)
    open_ = [j.conflict.id for j in found.judged if j.how == "better side"]
    if open_ and not prefer:
        listed = ", ".join(map(str, open_))
        raise UsageError(
            f"both sides changed lesson {listed}, and no measurement decides; give --prefer a or --prefer b, or "
            "--model for words that hold both"
        )
    return found


def commit_merge(store: Store, wanted: MergeRequest, found: FinishedMerge) -> Library:
    """Make the merge the newest version of the first side's library."""
    head = store.library(wanted.a.name)
    lessons, above = [], head.next_id
    for lesson in found.lessons:
        strange = not wanted.same and lesson.id >= wanted.a.next_id
        lessons.append(replace(lesson, id=above) if strange else lesson)
        above += strange
    goal = replace(head, lessons=tuple(lessons), next_id=above)
    origins = (wanted.a.version, wanted.b.version) if wanted.same else (wanted.a.version,)
    other = str(wanted.b.version) if wanted.same else f"{wanted.b.name}@{wanted.b.version}"
    note = f"merge of {wanted.a.version} and {other}"
    return store.branch(goal, parent=head.version, origins=origins, kind="merge", note=note)
