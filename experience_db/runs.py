"""Runs as they happened: their steps, which lessons were shown, and what evaluations measured."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from experience_db.claims import Claims
from experience_db.codec import to_json
from experience_db.errors import RunConflict, UnknownRun
from experience_db.evidence import EvidenceTable
from experience_db.journal import Journal
from experience_db.records import Evaluation, RoleUsage, Run, RunStep


class Runs(EvidenceTable, Claims):
    """The part of the store that keeps runs."""

    def start_run(
        self,
        id: str,
        *,
        name: str,
        kind: str,
        fingerprint: str,
        config: Mapping[str, Any],
        library: str | None,
        base_version: int | None,
        dataset: str,
    ) -> Run:
        """Record that a run begins, or goes on: the same id and fingerprint again sets it back to `running`.

        Raises RunConflict when that id ran with another fingerprint, UnknownLibrary or UnknownVersion.
        """
        with self.atomic():
            if library is not None:
                self._known_version(library, base_version)
            known = self._row("SELECT fingerprint FROM runs WHERE id = ?", id)
            if known is not None and known["fingerprint"] != fingerprint:
                raise RunConflict(f"run {id!r} exists with another configuration or dataset; take another run id")
            if known is not None:
                self._write("UPDATE runs SET status = 'running', finished = NULL WHERE id = ?", id)
            else:
                self._insert(
                    "runs", id=id, name=name, kind=kind, status="running", library=library, base_version=base_version,
                    dataset=dataset, fingerprint=fingerprint, config=to_json(config), summary="{}",
                    started=self.clock(),
                )  # fmt: skip
            return self.run(id)

    def finish_run(self, id: str, status: str, summary: Mapping[str, Any]) -> Run:
        """Record how a run ended: `finished`, `budget`, `interrupted` or `failed`; raises UnknownRun."""
        with self.atomic():
            self.run(id)
            self._write(
                "UPDATE runs SET status = ?, summary = ?, finished = ? WHERE id = ?",
                status, to_json(summary), self.clock(), id,
            )  # fmt: skip
            return self.run(id)

    def run(self, id: str) -> Run:
        """Return one run; raises UnknownRun."""
        row = self._row("SELECT * FROM runs WHERE id = ?", id)
        if row is None:
            raise UnknownRun(f"{self.path} has no run {id!r}; `tfgrpo runs list` names those it has")
        return _run_of(row)

    def runs(self) -> tuple[Run, ...]:
        """All runs, in the order they started."""
        return tuple(map(_run_of, self._rows("SELECT * FROM runs ORDER BY started, rowid")))

    def find_run(self, name: str) -> Run | None:
        """Return the latest run of that name, or None."""
        row = self._row("SELECT * FROM runs WHERE name = ? ORDER BY started DESC, rowid DESC", name)
        return None if row is None else _run_of(row)

    def record_step(
        self,
        run: str,
        index: int,
        *,
        epoch: int,
        version_before: int,
        version_after: int,
        summary: Mapping[str, Any],
    ) -> None:
        """Record one batch of a run; the same step again replaces the record. Raises UnknownRun."""
        self._write(
            "INSERT OR REPLACE INTO steps (run, step, epoch, version_before, version_after, summary, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            run, index, epoch, version_before, version_after, to_json(summary), self.clock(),
        )  # fmt: skip

    def steps(self, run: str, step: int | None = None) -> tuple[RunStep, ...]:
        """The recorded steps of a run, in order; of one step when named."""
        rows = self._rows("SELECT * FROM steps WHERE run = ?1 AND (?2 IS NULL OR step = ?2) ORDER BY step", run, step)
        names = [name for name in RunStep.__dataclass_fields__ if name != "summary"]
        return tuple(RunStep(**{name: r[name] for name in names}, summary=json.loads(r["summary"])) for r in rows)

    def record_uses(self, library: str, shown: Mapping[int, int], *, run: str, step: int) -> None:
        """Record how many rollouts of a step had each lesson in their prompt: lesson id -> count."""
        self._write_many(
            "INSERT OR REPLACE INTO lesson_uses (library, lesson_id, run, step, shown) VALUES (?, ?, ?, ?, ?)",
            [(library, lesson_id, run, step, count) for lesson_id, count in shown.items()],
        )

    def uses(self, library: str, run: str | None = None) -> dict[int, int]:
        """How many rollouts had each lesson in their prompt, in one run or in all: lesson id -> count."""
        rows = self._rows(
            "SELECT lesson_id, sum(shown) AS shown FROM lesson_uses WHERE library = ?1 AND (?2 IS NULL OR run = ?2)"
            " GROUP BY lesson_id ORDER BY lesson_id",
            library, run,
        )  # fmt: skip
        return {row["lesson_id"]: row["shown"] for row in rows}

    def record_evaluation(self, evaluation: Evaluation) -> None:
        """Record a measured mean; the same run, library version, dataset, control and k again replaces it."""
        e = evaluation
        same = (e.run, e.library, e.version, e.dataset, e.control, e.k)
        with self.atomic():
            self._write(
                "DELETE FROM evaluations WHERE run = ? AND library IS ? AND version IS ? AND dataset = ?"
                " AND control = ? AND k = ?",
                *same,
            )
            self._insert(
                "evaluations", run=e.run, library=e.library, version=e.version, dataset=e.dataset, model=e.model,
                control=e.control, k=e.k, problems=e.problems, mean=e.mean, low=e.low, high=e.high,
                summary=to_json(e.summary), created=self.clock(),
            )  # fmt: skip

    def evaluations(self, library: str | None = None, *, run: str | None = None) -> tuple[Evaluation, ...]:
        """Recorded evaluations in the order they were made, of one library or one run when named."""
        rows = self._rows(
            "SELECT * FROM evaluations WHERE (?1 IS NULL OR library = ?1) AND (?2 IS NULL OR run = ?2) ORDER BY id",
            library, run,
        )  # fmt: skip
        names = [name for name in Evaluation.__dataclass_fields__ if name != "summary"]
        return tuple(
            Evaluation(**{name: row[name] for name in names}, summary=json.loads(row["summary"])) for row in rows
        )

    def record_endpoint_fact(self, endpoint: str, model: str, name: str, value: str) -> None:
        """Keep what a probe of an endpoint found out, in place of what was known."""
        self._write(
            "INSERT OR REPLACE INTO endpoint_facts (endpoint, model, name, value, created) VALUES (?, ?, ?, ?, ?)",
            endpoint, model, name, value, self.clock(),
        )  # fmt: skip

    def endpoint_fact(self, endpoint: str, model: str, name: str) -> str | None:
        """Return what was found out about an endpoint and model, or None."""
        sql = "SELECT value FROM endpoint_facts WHERE endpoint = ? AND model = ? AND name = ?"
        row = self._row(sql, endpoint, model, name)
        return None if row is None else row["value"]

    def usage(self, run: str | None = None) -> dict[str, RoleUsage]:
        """What the calls of each role consumed, of one run or of all; see `Journal.usage`."""
        return Journal(self).usage(run)


def _run_of(row: sqlite3.Row) -> Run:
    columns = {name: row[name] for name in Run.__dataclass_fields__}
    return Run(**columns | {"config": json.loads(row["config"]), "summary": json.loads(row["summary"])})
