"""Evidence: what was measured about lessons and versions. It is only ever added to."""

from __future__ import annotations

from collections.abc import Sequence

from experience_db.codec import evidence_of, to_json
from experience_db.database import Database
from experience_db.errors import UnknownLibrary, UnknownVersion
from experience_db.records import Evidence, Version


class EvidenceTable(Database):
    """The part of the store that knows which versions there are and what was measured about them."""

    def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a library, oldest first."""
        self._known_version(name)
        rows = self._rows("SELECT * FROM versions WHERE library = ? ORDER BY version", name)
        return tuple(
            Version(name, r["version"], r["parent"], r["created"], r["run"] or "", r["step"], r["note"], r["digest"])
            for r in rows
        )

    def add_evidence(
        self,
        name: str,
        evidence: Sequence[Evidence],
        *,
        version: int | None = None,
        run: str | None = None,
        step: int | None = None,
    ) -> None:
        """Keep measurements of a version (the newest when none is named).

        The same measurement again from the same step of a run is kept once. A run that is not named here is taken
        from the evidence itself. Raises UnknownLibrary or UnknownVersion.
        """
        with self.atomic():
            number = self._known_version(name, version)
            for item in evidence:
                self._insert_evidence(name, number, item, run, step)

    def evidence(self, name: str, lesson_id: int | None = None, *, version: int | None = None) -> tuple[Evidence, ...]:
        """Measurements of a library, oldest first; of one lesson or one version when named."""
        self._known_version(name, version)
        rows = self._rows(
            "SELECT * FROM evidence WHERE library = ?1 AND (?2 IS NULL OR version = ?2) AND (?3 IS NULL"
            " OR ?3 IN (SELECT value FROM json_each(lesson_ids))) ORDER BY id",
            name, version, lesson_id,
        )  # fmt: skip
        return tuple(map(evidence_of, rows))

    def _insert_evidence(self, name: str, version: int, item: Evidence, run: str | None, step: int | None) -> None:
        columns = {
            "library": name,
            "version": version,
            "lesson_ids": to_json(item.lesson_ids),
            "kind": item.kind,
            "estimate": item.estimate,
            "low": item.low,
            "high": item.high,
            "n": item.n,
            "verdict": item.verdict,
            "reason": item.reason,
            "detail": to_json(item.detail),
            "run": run or item.run or None,
            "step": item.step if step is None else step,
        }
        self._insert_once("evidence", columns)

    def _insert_once(self, table: str, columns: dict[str, object]) -> int:
        """Insert unless the same step of the same run recorded just this before; returns the row id."""
        if columns["run"] is not None:
            same = " AND ".join(f"{name} IS ?" for name in columns)
            known = self._row(f"SELECT id FROM {table} WHERE {same}", *columns.values())  # noqa: S608  names are ours
            if known is not None:
                return int(known["id"])
        return self._insert(table, **columns, created=self.clock())

    def _head(self, name: str) -> int | None:
        row = self._row("SELECT max(version) AS head FROM versions WHERE library = ?", name)
        return row["head"] if row else None

    def _known_version(self, name: str, version: int | None = None) -> int:
        """The version asked for, or the newest; raises UnknownLibrary or UnknownVersion."""
        head = self._head(name)
        if head is None:
            known = ", ".join(row["name"] for row in self._rows("SELECT name FROM libraries ORDER BY name"))
            raise UnknownLibrary(f"{self.path} has no library {name!r}; it has: {known or 'none yet'}")
        if version is not None and not 0 <= version <= head:
            raise UnknownVersion(f"library {name!r} has no version {version}; it has 0 to {head}")
        return head if version is None else version
