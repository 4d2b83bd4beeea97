"""Evidence: what was measured about lessons and versions. It is only ever added to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from experience_db.codec import evidence_of, to_json
from experience_db.database import Database
from experience_db.errors import UnknownLibrary, UnknownVersion
from experience_db.records import BROUGHT, Evidence, Version, effect_of, own_words

USUAL = 0.1
"""Size of effects that lessons have, as a standard deviation: what is known before anything was measured."""


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
        if lesson_id is not None:
            about = self.evidence_about(name, (lesson_id,))[lesson_id]
            return tuple(item for item in about if version is None or item.version == version)
        rows = self._rows(
            "SELECT * FROM evidence WHERE library = ?1 AND (?2 IS NULL OR version = ?2) ORDER BY id", name, version
        )
        return tuple(map(evidence_of, rows))

    def evidence_about(self, name: str, lesson_ids: Iterable[int]) -> dict[int, tuple[Evidence, ...]]:
        """Return what was ever measured about each of some lessons, oldest first; of the others nothing is read."""
        self._known_version(name)
        ids = list(lesson_ids)
        named = (
            "SELECT lesson_id, evidence FROM evidence_lessons WHERE library = ?"
            " AND lesson_id IN (SELECT value FROM json_each(?)) ORDER BY evidence"
        )
        pairs = [(row["lesson_id"], row["evidence"]) for row in self._rows(named, name, json.dumps(ids))]
        sql = "SELECT * FROM evidence WHERE id IN (SELECT value FROM json_each(?))"
        read = {row["id"]: evidence_of(row) for row in self._rows(sql, json.dumps([e for _, e in pairs]))}
        found: dict[int, list[Evidence]] = {i: [] for i in ids}
        for lesson_id, e in pairs:
            found[lesson_id].append(read[e])
        return {i: tuple(told) for i, told in found.items()}

    def effects(self, name: str, lesson_ids: Iterable[int], *, version: int | None = None) -> dict[int, float]:
        """Return the effect that speaks for each of some lessons, shrunk by how unsure it is; others are left out.

        A measured difference d with standard error s counts as d t^2 / (t^2 + s^2), the mean of what it leaves one to
        believe (normal prior around nothing, t = 0.1): a large figure of a few problems is worth less than a middling
        one of many. s is the width of the 95% interval / 3.92, or 1 / sqrt(n) where no interval was kept. What came
        with an import was not measured here and does not count.
        """
        found = {}
        until = self._known_version(name, version)
        changed = (
            "SELECT changed FROM lessons WHERE library = ?1 AND lesson_id = ?2 AND since <= ?3 ORDER BY since DESC"
        )
        for i, measured in self.evidence_about(name, lesson_ids).items():
            row = self._row(f"{changed} LIMIT 1", name, i, until) if measured else None
            seen = [e for e in measured if (e.version or 0) <= until and BROUGHT not in e.detail]
            speaks = effect_of(own_words(seen, row["changed"])) if row is not None else None
            if speaks is not None and speaks.estimate is not None:
                found[i] = _shrunk(speaks)
        return found

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


def _shrunk(item: Evidence) -> float:
    """The measured effect as far as it can be believed."""
    if item.low is not None and item.high is not None:
        variance = ((item.high - item.low) / 3.92) ** 2
    else:
        variance = 1 / max(item.n, 1)
    return (item.estimate or 0.0) * USUAL**2 / (USUAL**2 + variance)
