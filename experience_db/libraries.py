"""Libraries and their versions: edits go in, versions come out, and nothing that was is ever lost.

The rows of `edits` are the truth. `lessons` holds, for reading, each wording with the versions it stood in
(`since` up to but not including `until`); `rebuild` makes any version from the edits alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, cast

from experience_db.claims import Claims
from experience_db.codec import (
    RESTORE,
    SUM,
    applied_of,
    digest,
    edit_columns,
    edit_of,
    lesson_of,
    moved_digest,
    sources_json,
    to_json,
)
from experience_db.errors import InvalidName, StaleVersion
from experience_db.evidence import EvidenceTable
from experience_db.history import Change, plan_edits, plan_restore, replay_edits
from experience_db.library import DEFAULT_TEMPLATE, Library, check_template
from experience_db.records import AppliedEdit, Diff, Edit, Evidence, Lesson
from experience_db.stored_lessons import StoredLessons

if TYPE_CHECKING:
    from experience_db.store import Store

Origin = tuple[str | None, int | None]
"""The run that makes a version and the step of it, where there is one."""
_NAME = re.compile(r"[^\s@][^\n@]{0,199}")
_STANDS = "(since <= {0} AND (until IS NULL OR until > {0}))"
APPLIED = "SELECT * FROM edits WHERE library = ? AND version <= ? ORDER BY version, position"


class Libraries(EvidenceTable, Claims):
    """The part of the store that keeps libraries."""

    def create_library(self, name: str, template: str | None = None) -> Library:
        """Return the newest version of a library; a new one starts as version 0, empty, with this template.

        Raises InvalidName or BadTemplate.
        """
        if not _NAME.fullmatch(name):
            raise InvalidName(f"{name!r} cannot name a library; use 1 to 200 characters without '@' or line breaks")
        template = DEFAULT_TEMPLATE if template is None else template
        check_template(template)
        with self.atomic():
            if self._head(name) is None:
                self._insert("libraries", name=name, created=self.clock())
                self._insert_version(Library(name, 0, (), template, 1), digest((), template), None, "new", (None, None))
            return self.library(name)

    def libraries(self) -> tuple[str, ...]:
        """Names of all libraries, sorted."""
        return tuple(row["name"] for row in self._rows("SELECT name FROM libraries ORDER BY name"))

    def library(self, name: str, version: int | None = None) -> Library:
        """Return one version, the newest when none is named; raises UnknownLibrary or UnknownVersion."""
        number = self._known_version(name, version)
        row = self._rows("SELECT * FROM versions WHERE library = ? AND version = ?", name, number)[0]
        lessons: Any = StoredLessons(cast("Store", self), name, number, row["digest"])
        return Library(name, number, lessons, row["template"], row["next_lesson_id"])

    def commit(
        self,
        library_name: str,
        edits: Sequence[Edit],
        *,
        parent: int,
        run: str | None = None,
        step: int | None = None,
        note: str = "",
        evidence: Sequence[Evidence] = (),
        template: str | None = None,
    ) -> Library:
        """Make the next version from edits, together with the evidence for it; one transaction.

        Without edits (and without a new template) there is no new version: `parent` is returned and the evidence is
        kept for it. The same commit again from the same step of a run returns the version that it made the first
        time, so a resumed run may repeat it.

        Raises:
            StaleVersion: The library has moved on since `parent`.
            InvalidEdit, ConflictingEdits, UnknownLesson: As `apply_edits`; nothing is stored.
            BadTemplate: The template cannot be rendered.
        """
        with self.atomic():
            made = self._made_before(library_name, edits, parent, run, step)
            if made is None:
                made = self._commit(library_name, edits, parent, template, note, (run, step))
            for item in evidence:
                self._insert_evidence(library_name, made.version, item, run, step)
            return made

    def rollback(self, name: str, to: int, *, run: str | None = None, note: str = "") -> Library:
        """Make a new version that equals an old one, lesson for lesson; history only grows.

        A lesson deleted since comes back under its old id.
        """
        note = note or f"rollback to {to}"
        with self.atomic():
            head, goal = self.library(name), self.library(name, to)
            return self._advance(head, plan_restore(head, goal.lessons, goal.template, note), note, (run, None))

    def log(self, name: str) -> tuple[AppliedEdit, ...]:
        """Every applied edit, oldest first."""
        return tuple(map(applied_of, self._rows(APPLIED, name, self._known_version(name))))

    def diff(self, name: str, a: int, b: int, *, limit: int | None = None, offset: int = 0) -> Diff:
        """Return what changed from version `a` to version `b`: at most `limit` lessons by id, after `offset` of them.

        Only what differs is read, and of that only what is told.
        """
        for number in (a, b):
            self._known_version(name, number)
        moved = self._rows(
            "SELECT sum(id * old) AS old, sum(id * NOT old) AS new, count(*) OVER () AS total FROM ("  # noqa: S608  ours
            f"SELECT id, lesson_id, text, {_STANDS.format('?2')} AS old FROM lessons"
            f" WHERE library = ?1 AND {_STANDS.format('?2')} != {_STANDS.format('?3')}"
            ") GROUP BY lesson_id HAVING count(*) = 1 OR min(text) != max(text) ORDER BY lesson_id LIMIT ?4 OFFSET ?5",
            name, a, b, -1 if limit is None else limit, offset,
        )  # fmt: skip
        sql = "SELECT * FROM lessons WHERE id IN (SELECT value FROM json_each(?))"
        ids = [row[side] for row in moved for side in ("old", "new")]
        read = {row["id"]: lesson_of(row) for row in self._rows(sql, to_json(ids))}
        pairs = [(read.get(row["old"]), read.get(row["new"])) for row in moved]
        return Diff(
            added=tuple(new for old, new in pairs if new and not old),
            removed=tuple(old for old, new in pairs if old and not new),
            changed=tuple((old, new) for old, new in pairs if old and new),
            total=moved[0]["total"] if moved else 0,
        )

    def rebuild(self, name: str, version: int | None = None) -> Library:
        """Make a version from the edits alone, without looking at the table of lessons."""
        number = self._known_version(name, version)
        lessons: tuple[Lesson, ...] = ()
        next_id = 1
        for _, lessons, next_id in replay_edits(self._rows(APPLIED, name, number)):  # noqa: B007  the last one counts
            pass
        return Library(name, number, lessons, self.library(name, number).template, next_id)

    def _commit(
        self,
        name: str,
        edits: Sequence[Edit],
        parent: int,
        template: str | None,
        note: str,
        origin: Origin,
    ) -> Library:
        known = self.library(name, parent)
        template = known.template if template is None else template
        if not edits and template == known.template:
            return known
        head = self.library(name)
        if head.version != parent:
            raise StaleVersion(name, parent, head.version)
        check_template(template)
        return self._advance(head, plan_edits(head, edits, template), note, origin)

    def _made_before(
        self, name: str, edits: Sequence[Edit], parent: int, run: str | None, step: int | None
    ) -> Library | None:
        """The version that this very commit made already, when a resumed run repeats it."""
        if not run or not edits:
            return None
        made = self._row(
            "SELECT version FROM versions WHERE library = ? AND parent = ? AND run = ? AND step IS ?",
            name, parent, run, step,
        )  # fmt: skip
        if made is None:
            return None
        rows = self._rows("SELECT * FROM edits WHERE library = ? AND version = ? ORDER BY position", name, made[0])
        return self.library(name, made[0]) if tuple(map(edit_of, rows)) == tuple(edits) else None

    def _advance(
        self,
        head: Library,
        change: Change,
        note: str,
        origin: Origin,
        settles: Sequence[int] = (),
    ) -> Library:
        """Write the version after `head`, its edits (which may settle waiting ones, in order) and its lessons."""
        self._require_unclaimed(head.name)
        made = Library(head.name, head.version + 1, (), change.template, change.next_id)
        self._insert_version(made, self._digest_after(head, change), head.version, note, origin)
        come = {lesson.id: lesson for lesson in change.come}
        for applied, settled in zip_longest(change.edits, settles):
            self._insert_applied(made, applied, come.get(applied.lesson_id), settled, origin)
        self._move_lessons(made, change)
        return self.library(made.name, made.version)

    def _digest_after(self, head: Library, change: Change) -> str:
        sql = "SELECT digest FROM versions WHERE library = ? AND version = ?"
        before: str = self._rows(sql, head.name, head.version)[0]["digest"]
        if not before.startswith(SUM):
            before = digest(head.lessons, head.template)
        return moved_digest(before, change.gone, change.come, change.template)

    def _insert_version(self, made: Library, mark: str, parent: int | None, note: str, origin: Origin) -> None:
        self._insert(
            "versions",
            library=made.name,
            version=made.version,
            parent=parent,
            note=note,
            run=origin[0] or None,
            step=origin[1],
            created=self.clock(),
            template=made.template,
            next_lesson_id=made.next_id,
            digest=mark,
        )

    def _insert_applied(
        self, made: Library, applied: AppliedEdit, now: Lesson | None, settles: int | None, origin: Origin
    ) -> None:
        columns = edit_columns(applied.edit)
        if applied.restored and now is not None:
            columns |= {"op": RESTORE, "restored_born": now.born, "restored_changed": now.changed}
        self._insert(
            "edits",
            library=made.name,
            status="applied",
            version=made.version,
            position=applied.position,
            lesson_id=applied.lesson_id,
            verdict="",
            base_version=made.version - 1,
            settles=settles,
            run=origin[0] or None,
            step=origin[1],
            created=self.clock(),
            **columns,
        )

    def _move_lessons(self, made: Library, change: Change) -> None:
        """Bring the table of lessons to the next version: close the wordings that left, add the new ones."""
        for lesson in change.gone:
            self._write(
                "UPDATE lessons SET until = ? WHERE library = ? AND lesson_id = ? AND until IS NULL",
                made.version, made.name, lesson.id,
            )  # fmt: skip
        for lesson in change.come:
            self._insert(
                "lessons",
                library=made.name,
                lesson_id=lesson.id,
                text=lesson.text,
                since=made.version,
                born=lesson.born,
                changed=lesson.changed,
                tainted=int(lesson.tainted),
                sources=sources_json(lesson.sources),
            )
