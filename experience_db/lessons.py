"""Single lessons: finding them, their whole story, and the edits that were not, or not yet, applied."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from experience_db.codec import applied_of, edit_columns, edit_of, lesson_of
from experience_db.errors import InvalidEdit, StaleVersion, UnknownEdit, UnknownLesson
from experience_db.history import plan_edits
from experience_db.libraries import Libraries
from experience_db.library import Library
from experience_db.records import Blame, Edit, Lesson, UnappliedEdit
from experience_db.stored_lessons import IN_VERSION
from experience_db.word_search import Within, best_rows

_STORY = (
    "SELECT * FROM edits INDEXED BY edits_of_lesson WHERE library = ?1 AND version IS NOT NULL AND lesson_id = ?2"
    " UNION "
    "SELECT * FROM edits INDEXED BY edits_merged WHERE library = ?1 AND version IS NOT NULL AND op = 'MERGE'"
    " AND ?2 IN (SELECT value FROM json_each(lesson_ids)) ORDER BY version, position"
)


class Lessons(Libraries):
    """The part of the store that answers questions about single lessons."""

    def search(
        self, name: str, query: str, limit: int = 10, *, version: int | None = None, least: float = 0.0
    ) -> tuple[Lesson, ...]:
        """Lessons of a version that share words with the query, best match first; any text is a safe query.

        `least` leaves out what scores less than this share of the best score.

        Where no word matches, as with formulas or scripts without spaces, lessons that contain the query as it
        stands are returned instead.
        """
        number = self._known_version(name, version)
        # Told in which order: else SQLite may read every lesson of the library to find these few.
        among = f"SELECT lessons.* FROM json_each(?3) CROSS JOIN lessons ON lessons.id = value WHERE {IN_VERSION}"  # noqa: S608  ours
        found: list[Lesson] = []
        # The index knows every wording of the library: ask for more until enough of them stand in this version.
        wanted, seen, within = limit, 0, self._words_of(name)
        while len(found) < limit:
            ids = best_rows(self._rows, "lessons_fts", query, wanted, least, within)
            here = {row["id"]: row for row in self._rows(among, name, number, json.dumps(ids[seen:]))}
            found += [lesson_of(here[i]) for i in ids[seen:] if i in here]
            if len(ids) < wanted:
                break
            wanted, seen = wanted * 4, wanted
        if not found and query.strip():
            rows = self._rows(
                f"SELECT * FROM lessons WHERE {IN_VERSION} AND instr(text, ?3) ORDER BY lesson_id LIMIT ?4",  # noqa: S608
                name, number, query.strip(), limit,
            )  # fmt: skip
            found = list(map(lesson_of, rows))
        return tuple(found[:limit])

    def _words_of(self, name: str) -> Within:
        """What narrows a search to the words of one library, and perhaps of others whose names begin alike.

        In a file of one library nothing has to be narrowed, which makes each word ten times as fast.
        """
        if len(self._rows("SELECT 1 FROM libraries LIMIT 2")) < 2:
            return lambda match: f"text : ({match})"
        quoted = name.replace('"', '""').replace("\0", " ")  # A query ends at its first NUL.
        whose = f'library : ^"{quoted}"'
        sql = "SELECT 1 FROM lessons_fts WHERE lessons_fts MATCH ? LIMIT 1"
        # A name of signs alone has no word in the index.
        begins = f"{whose} AND " if self._row(sql, whose) else ""
        return lambda match: f"{begins}text : ({match})"

    def blame(self, name: str, lesson_id: int) -> Blame:
        """The whole story of a lesson: its edits with their sources, its evidence; raises UnknownLesson."""
        head = self._known_version(name)
        edits = tuple(map(applied_of, self._rows(_STORY, name, lesson_id)))
        if not edits:
            raise UnknownLesson(
                f"library {name!r} never had a lesson {lesson_id}; `tfgrpo lessons list` shows those it has"
            )
        row = self._row(f"SELECT * FROM lessons WHERE {IN_VERSION} AND lesson_id = ?3", name, head, lesson_id)  # noqa: S608
        shown = self._row("SELECT sum(shown) FROM lesson_uses WHERE library = ? AND lesson_id = ?", name, lesson_id)
        present = lesson_of(row) if row else None
        return Blame(lesson_id, present, edits, self.evidence(name, lesson_id), (shown and shown[0]) or 0)

    def set_aside(
        self,
        name: str,
        edits: Sequence[Edit],
        *,
        status: str,
        reason: str,
        version: int,
        run: str | None = None,
        step: int | None = None,
    ) -> tuple[int, ...]:
        """Keep edits that made no version, `rejected` or `undecided`, with why; returns their numbers.

        The same edit again from the same step of a run is kept once.
        """
        if status not in {"rejected", "undecided"}:
            raise InvalidEdit(f"an edit is set aside as 'rejected' or 'undecided', not {status!r}")
        with self.atomic():
            self._known_version(name, version)
            return tuple(
                self._insert_once(
                    "edits",
                    {
                        "library": name,
                        "status": status,
                        "position": position,
                        "verdict": reason,
                        "base_version": version,
                        "run": run or None,
                        "step": step,
                        **edit_columns(edit),
                    },
                )
                for position, edit in enumerate(edits)
            )

    def unapplied(self, name: str, status: str | None = None) -> tuple[UnappliedEdit, ...]:
        """Edits that made no version, oldest first; those settled since are told by what settled them."""
        self._known_version(name)
        rows = self._rows(
            "SELECT * FROM edits WHERE library = ?1 AND version IS NULL AND (?2 IS NULL OR status = ?2)"
            " AND id NOT IN (SELECT settles FROM edits WHERE settles IS NOT NULL) ORDER BY id",
            name, status,
        )  # fmt: skip
        return tuple(map(unapplied_of, rows))

    def pending(self, name: str) -> tuple[UnappliedEdit, ...]:
        """Undecided edits that wait for a decision, oldest first."""
        return self.unapplied(name, "undecided")

    def proposed(self, name: str) -> dict[int, Edit]:
        """Return every edit that ever waited, by its number, whatever became of it; raises UnknownLibrary."""
        self._known_version(name)
        rows = self._rows("SELECT * FROM edits WHERE library = ? AND status = 'undecided' ORDER BY id", name)
        return {row["id"]: edit_of(row) for row in rows}

    def accept(self, name: str, ids: Sequence[int], *, parent: int, note: str = "review") -> Library:
        """Apply waiting edits after all, as one version; raises UnknownEdit, or as `commit` does."""
        with self.atomic():
            edits = [item.edit for item in self._waiting(name, ids)]
            head = self.library(name)
            if head.version != parent:
                raise StaleVersion(name, parent, head.version)
            return self._advance(head, plan_edits(head, edits, head.template), note, (None, None), ids)

    def reject(self, name: str, ids: Sequence[int], *, reason: str) -> None:
        """Decide against waiting edits; they stay on record as rejected. Raises UnknownEdit."""
        with self.atomic():
            for item in self._waiting(name, ids):
                self._insert(
                    "edits", library=name, status="rejected", position=0, verdict=reason, base_version=item.version,
                    settles=item.id, run=item.run or None, step=item.step, created=self.clock(),
                    **edit_columns(item.edit),
                )  # fmt: skip

    def _waiting(self, name: str, ids: Sequence[int]) -> list[UnappliedEdit]:
        waiting = {item.id: item for item in self.pending(name)}
        for i in ids:
            if i not in waiting:
                known = ", ".join(map(str, waiting)) or "none"
                raise UnknownEdit(f"no edit {i} of library {name!r} is waiting; waiting: {known}")
        return [waiting[i] for i in ids]


def unapplied_of(row: sqlite3.Row) -> UnappliedEdit:
    """Return a row of `edits` that made no version."""
    return UnappliedEdit(
        id=row["id"],
        edit=edit_of(row),
        status=row["status"],
        reason=row["verdict"],
        version=row["base_version"],
        run=row["run"] or "",
        step=row["step"],
        created=row["created"],
    )
