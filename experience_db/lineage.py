"""Candidates beside the line: versions that go on from any earlier one, and who came from whom.

Numbers of versions stay one line, so that every version is still what its edits make of the one before it. What a
candidate comes from is a fact of its own, kept in `lineage`: its parents, which are versions too, and how it was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from experience_db.errors import StaleVersion
from experience_db.history import Change, change_between
from experience_db.libraries import Libraries
from experience_db.library import Library
from experience_db.records import AppliedEdit, Edit, Lesson, Op, Origin

NO_EDITS: Mapping[int, Edit] = {}


class Lineage(Libraries):
    """The part of the store that keeps pools of candidates."""

    def branch(
        self,
        goal: Library,
        *,
        parent: int,
        origins: Sequence[int],
        kind: str,
        why: Mapping[int, Edit] = NO_EDITS,
        run: str | None = None,
        step: int | None = None,
        note: str = "",
    ) -> Library:
        """Make the next version hold exactly the lessons of `goal`, and remember what it comes from.

        Args:
            goal: the lessons wanted. Ids from the newest version's `next_id` on are new lessons.
            parent: the newest version as the caller knows it.
            origins: the versions that the candidate was made from.
            kind: how: `mutation`, `pooled`, `merge`, `subset`, `best`, ...
            why: the edit behind a lesson that is new, reworded or gone, by lesson id.
            run: who made it.
            step: in which step.
            note: why the version exists, in a few words.

        Raises:
            StaleVersion: the library has moved on since `parent`.
        """
        with self.atomic():
            head = self.library(goal.name)
            if head.version != parent:
                raise StaleVersion(goal.name, parent, head.version)
            change = plan_branch(head, goal, why, note)
            made = self._advance(head, change, note, (run, step))
            for position, origin in enumerate(origins):
                self._insert(
                    "lineage",
                    library=goal.name,
                    version=made.version,
                    position=position,
                    origin=self._known_version(goal.name, origin),
                    kind=kind,
                    run=run or None,
                    step=step,
                )
            return made

    def lineage(self, name: str, run: str | None = None) -> tuple[Origin, ...]:
        """Return what each candidate of a library (or of one run) comes from, oldest first."""
        self._known_version(name)
        rows = self._rows(
            "SELECT * FROM lineage WHERE library = ?1 AND (?2 IS NULL OR run = ?2) ORDER BY version, position",
            name, run,
        )  # fmt: skip
        found: dict[int, Origin] = {}
        for row in rows:
            known = found.get(row["version"]) or Origin(row["version"], (), row["kind"], row["run"] or "", row["step"])
            found[row["version"]] = replace(known, origins=(*known.origins, row["origin"]))
        return tuple(found.values())


def plan_branch(head: Library, goal: Library, why: Mapping[int, Edit], reason: str) -> Change:
    """Plan the version after `head` whose lessons are those of `goal`.

    What is not in `goal` leaves, new lessons are added, and the others are put back as they stand in `goal`.
    """
    version, now = head.version + 1, {lesson.id: lesson for lesson in head}
    wanted = {lesson.id: lesson for lesson in goal}
    new = [i for i in wanted if i >= head.next_id]
    if new != list(range(head.next_id, head.next_id + len(new))):
        new = []
    fresh = {i: replace(wanted[i], born=version, changed=version) for i in new}
    planned = [
        (Edit(Op.DELETE, ids=(i,), reason=why[i].reason if i in why else reason), i, False)
        for i in now
        if i not in wanted
    ]
    planned += [(_edit(Op.ADD, lesson, why, reason), i, False) for i, lesson in fresh.items()]
    planned += [
        (_edit(Op.UPDATE, lesson, why, reason), i, True)
        for i, lesson in wanted.items()
        if i not in fresh and now.get(i) != lesson
    ]
    edits = tuple(AppliedEdit(version, n, edit, i, restored=back) for n, (edit, i, back) in enumerate(planned))
    next_id = max([head.next_id, *(i + 1 for i in wanted)])
    return change_between(head.lessons, (wanted | fresh).values(), edits, next_id, goal.template)


def _edit(op: Op, lesson: Lesson, why: Mapping[int, Edit], reason: str) -> Edit:
    told = why[lesson.id].reason if lesson.id in why else reason
    return Edit(op, lesson.text, () if op is Op.ADD else (lesson.id,), told, lesson.sources, lesson.tainted)
