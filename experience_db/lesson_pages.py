"""Questions of somebody who walks through a large library: light rows of all its lessons, the rest of one page.

A light row has no sources and an unasked effect no detail, so that 100,000 lessons are filtered and sorted at once;
what a page shows of its own few lessons is read in full.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from experience_db.codec import evidence_of, lesson_of
from experience_db.evidence import EvidenceTable
from experience_db.lessons import unapplied_of
from experience_db.records import Evidence, Lesson, UnappliedEdit, Version, rank_of
from experience_db.stored_lessons import IN_VERSION

_MEASURED = (
    "FROM evidence WHERE library = ?1 AND version <= ?2 AND estimate IS NOT NULL AND verdict IN ('', 'accepted')"
    " AND lesson_ids != '[]'"
)
_WAITING = (
    "FROM edits WHERE version IS NULL AND status = 'undecided' AND (?1 = '' OR library = ?1)"
    " AND substr(verdict, 1, length(?2)) = ?2 AND id NOT IN (SELECT settles FROM edits WHERE settles IS NOT NULL)"
)


class LightLesson(NamedTuple):
    """What a list of lessons is filtered and sorted by."""

    id: int
    text: str
    changed: int
    tainted: bool


class LightEffect(NamedTuple):
    """What a list says of a measurement."""

    estimate: float
    low: float | None
    high: float | None
    lesson_ids: Sequence[int]
    rank: int
    """See `rank_of`."""


class LessonPages(EvidenceTable):
    """The part of the store that answers about libraries page by page."""

    def version_number(self, name: str, version: int | None = None) -> int:
        """Return the version asked for, or the newest, as a number; raises UnknownLibrary or UnknownVersion."""
        return self._known_version(name, version)

    def versions_near(self, name: str, version: int, near: int) -> tuple[Version, ...]:
        """The first version, the newest, and those at most `near` from one, oldest first."""
        head = self._known_version(name, version)
        rows = self._rows(
            "SELECT version, parent, created, run, step, note, digest FROM versions WHERE library = ?1"
            " AND (version IN (0, ?2) OR version BETWEEN ?3 AND ?4) ORDER BY version",
            name, self._known_version(name), head - near, head + near,
        )  # fmt: skip
        return tuple(
            Version(name, r["version"], r["parent"], r["created"], r["run"] or "", r["step"], r["note"], r["digest"])
            for r in rows
        )

    def light_lessons(self, name: str, version: int | None = None) -> list[LightLesson]:
        """Every lesson of a version without its sources, by id."""
        sql = f"SELECT lesson_id, text, changed, tainted FROM lessons WHERE {IN_VERSION} ORDER BY lesson_id"  # noqa: S608
        return list(map(LightLesson._make, self._rows(sql, name, self._known_version(name, version))))

    def some_lessons(self, name: str, version: int, ids: Collection[int]) -> dict[int, Lesson]:
        """Those lessons of a version, by id."""
        sql = f"SELECT * FROM lessons WHERE {IN_VERSION} AND lesson_id IN (SELECT value FROM json_each(?3))"  # noqa: S608
        return {row["lesson_id"]: lesson_of(row) for row in self._rows(sql, name, version, json.dumps(list(ids)))}

    def light_effects(self, name: str, version: int, lessons: Sequence[LightLesson]) -> dict[int, LightEffect]:
        """What speaks for the present words of those lessons of a version that were measured; see `effect_of`."""
        changed = {lesson.id: lesson.changed for lesson in lessons}
        best: dict[int, LightEffect] = {}
        sql = f"SELECT version, kind, lesson_ids, estimate, low, high {_MEASURED} ORDER BY id"
        rows = self._rows(sql, name, version)
        # One text is read faster than thousands.
        ids_of_rows = json.loads(f"[{','.join([row[2] for row in rows])}]")
        for row, ids in zip(rows, ids_of_rows, strict=True):
            measured, kind, _, estimate, low, high = row
            found = LightEffect(estimate, low, high, ids, rank_of(kind, ids))
            for i in ids:
                if measured >= changed.get(i, version + 1) and (i not in best or found.rank >= best[i].rank):
                    best[i] = found
        return best

    def effect_bounds(self, name: str, version: int) -> tuple[float | None, ...]:
        """The outermost of all that was measured about lessons until a version; None where nothing was."""
        sql = f"SELECT min(estimate), min(low), max(estimate), max(high) {_MEASURED}"
        return tuple(self._rows(sql, name, version)[0])

    def uses_of(self, name: str, ids: Collection[int]) -> dict[int, int]:
        """How many rollouts had each of some lessons in their prompt."""
        rows = self._rows(
            "SELECT lesson_id, sum(shown) AS shown FROM lesson_uses WHERE library = ?"
            " AND lesson_id IN (SELECT value FROM json_each(?)) GROUP BY lesson_id",
            name, json.dumps(list(ids)),
        )  # fmt: skip
        return {row["lesson_id"]: row["shown"] for row in rows}

    def lessons_beside(self, name: str, lesson_id: int) -> tuple[int | None, int | None]:
        """The lessons before and after an id in the newest version; None at either end."""
        sql = f"SELECT lesson_id FROM lessons WHERE {IN_VERSION} AND lesson_id"  # noqa: S608
        given = (name, self._known_version(name), lesson_id)
        before = self._row(f"{sql} < ?3 ORDER BY lesson_id DESC LIMIT 1", *given)
        after = self._row(f"{sql} > ?3 ORDER BY lesson_id LIMIT 1", *given)
        return (before[0] if before else None), (after[0] if after else None)

    def waiting_count(self, library: str = "", begins: str = "") -> Mapping[str, int]:
        """How many undecided edits whose reason begins so wait, by library; of one library alone when named."""
        sql = f"SELECT library, count(*) AS n {_WAITING} GROUP BY library ORDER BY library"
        return {row["library"]: row["n"] for row in self._rows(sql, library, begins)}

    def waiting_page(self, library: str, begins: str, limit: int, offset: int) -> dict[str, list[UnappliedEdit]]:
        """One page of the undecided edits of a library ('' for all), oldest first, by library."""
        sql = f"SELECT * {_WAITING} ORDER BY library, id LIMIT ?3 OFFSET ?4"
        found: dict[str, list[UnappliedEdit]] = {}
        for row in self._rows(sql, library, begins, limit, offset):
            found.setdefault(row["library"], []).append(unapplied_of(row))
        return found

    def evidence_of_steps(self, name: str, steps: Collection[tuple[str, int | None]]) -> tuple[Evidence, ...]:
        """What some steps of runs measured about a library, oldest first."""
        rows = self._rows(
            "SELECT * FROM evidence WHERE library = ?1 AND EXISTS (SELECT 1 FROM json_each(?2) AS step"
            " WHERE json_extract(step.value, '$[0]') = run AND json_extract(step.value, '$[1]') IS evidence.step)"
            " ORDER BY id",
            name, json.dumps(sorted(set(steps), key=str)),
        )  # fmt: skip
        return tuple(map(evidence_of, rows))
