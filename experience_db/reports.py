"""Reports: what somebody who used a library says came of it. Kept apart from evidence, which is measured."""

from __future__ import annotations

import json

from experience_db.codec import to_json
from experience_db.errors import InvalidEdit
from experience_db.evidence import EvidenceTable
from experience_db.records import OUTCOMES, Report


class Reports(EvidenceTable):
    """The part of the store that keeps what users of a library report."""

    def add_report(self, name: str, report: Report, *, version: int | None = None) -> int:
        """Keep a report about a version (the newest when none is named) and return its number.

        Nothing is learned from it: it changes no lesson and no measured effect.

        Raises:
            UnknownLibrary: or UnknownVersion.
            InvalidEdit: an outcome that does not exist, or a reward outside of [0, 1].
        """
        if report.outcome not in OUTCOMES:
            raise InvalidEdit(f"an outcome is one of {', '.join(OUTCOMES)}, not {report.outcome!r}")
        if report.reward is not None and not 0 <= report.reward <= 1:
            raise InvalidEdit(f"a reported reward lies between 0 and 1, not at {report.reward!r}")
        with self.atomic():
            return self._insert(
                "reports",
                library=name,
                version=self._known_version(name, version),
                lesson_ids=to_json(report.lesson_ids),
                outcome=report.outcome,
                reward=report.reward,
                task=report.task,
                feedback=report.feedback,
                reporter=report.reporter,
                created=self.clock(),
            )

    def count_reports(self, name: str) -> int:
        """Return how many reports there are about a library."""
        row = self._row("SELECT count(*) FROM reports WHERE library = ?", name)
        return int(row[0]) if row is not None else 0

    def reports(self, name: str, lesson_id: int | None = None) -> tuple[Report, ...]:
        """Return the reports about a library, or those that name one lesson, oldest first; raises UnknownLibrary."""
        self._known_version(name)
        rows = self._rows(
            "SELECT * FROM reports WHERE library = ?1 AND (?2 IS NULL"
            " OR ?2 IN (SELECT value FROM json_each(lesson_ids))) ORDER BY id",
            name, lesson_id,
        )  # fmt: skip
        return tuple(
            Report(
                row["outcome"], row["reward"], tuple(json.loads(row["lesson_ids"])), row["task"], row["feedback"],
                row["reporter"], row["version"], row["id"], row["created"],
            )
            for row in rows
        )  # fmt: skip
