"""Questions that somebody asks who walks through a database page by page: one page of rows, and how many there are.

Every answer is bounded by `limit`, and no question reads the messages of rollouts but the one for a single group, so
that a database of 100,000 rollouts answers like a small one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experience_db.claims import Claims
from experience_db.codec import applied_of
from experience_db.lessons import unapplied_of
from experience_db.records import AppliedEdit, UnappliedEdit

RUN_SORTS = {
    "newest": "started DESC, rowid DESC",
    "oldest": "started, rowid",
    "name": "name, started",
    "effect": "json_extract(summary, '$.heldout.diff') DESC NULLS LAST, started DESC",
}
"""How a list of runs can be ordered."""
GROUP_SORTS = {
    "order": "step, id",
    "best": "reward DESC NULLS LAST, step, id",
    "worst": "reward ASC NULLS LAST, step, id",
}
"""How a list of groups can be ordered."""
_SETTLED = "(SELECT settles FROM edits WHERE settles IS NOT NULL)"
_RUNS = (
    "FROM runs WHERE (?1 = '' OR instr(lower(name || ' ' || id || ' ' || coalesce(library, '') || ' ' || dataset),"
    " lower(?1))) AND (?2 = '' OR status = ?2) AND (?3 = '' OR kind = ?3) AND (?4 = '' OR library = ?4)"
)
_GROUPS = (
    "FROM groups WHERE run = ?1 AND (?2 IS NULL OR step = ?2) AND (?3 = '' OR status = ?3)"
    " AND (?4 = '' OR instr(lower(problem_id || ' ' || coalesce(json_extract(problem, '$.question'), '')), lower(?4)))"
)


@dataclass(frozen=True, slots=True)
class Rows:
    """One page of an answer."""

    rows: tuple[Mapping[str, Any], ...]
    total: int
    """Rows of the whole answer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a group: an edit that names it among its sources."""

    library: str
    applied: AppliedEdit | None
    """The edit where it made a version."""
    unapplied: UnappliedEdit | None
    """The edit where it made none."""


class Pages(Claims):
    """The part of the store that answers page by page."""

    def library_rows(self, waits: str = "") -> tuple[Mapping[str, Any], ...]:
        """Each library: `name`, `version`, `lessons`, `waiting`, `changed` (seconds since the epoch), sorted by name.

        Args:
            waits: how the reason of an edit begins that is counted as waiting; empty counts all undecided ones.
        """
        rows = self._rows(
            "SELECT name, head.version AS version, head.created AS changed,"  # noqa: S608  no value of strangers
            " (SELECT count(*) FROM lessons WHERE library = name AND until IS NULL) AS lessons,"
            " (SELECT count(*) FROM edits WHERE library = name AND version IS NULL AND status = 'undecided'"
            f" AND substr(verdict, 1, length(?1)) = ?1 AND id NOT IN {_SETTLED}) AS waiting"
            " FROM libraries JOIN versions AS head ON head.library = name"
            " AND head.version = (SELECT max(version) FROM versions WHERE library = name) ORDER BY name",
            waits,
        )  # fmt: skip
        return tuple(map(dict, rows))

    def run_rows(
        self,
        *,
        search: str = "",
        status: str = "",
        kind: str = "",
        library: str = "",
        sort: str = "newest",
        limit: int = 50,
        offset: int = 0,
    ) -> Rows:
        """Runs without their configuration.

        Each has `id name kind status library dataset model started finished before after diff lessons`; `before after
        diff` are of the held-out measurement.

        Args:
            search: part of the name, id, library or dataset, in any case.
            status: as it is recorded; a run whose process was killed is still recorded as `running`.
            kind: `learn`, `eval`, ...
            library: a whole name.
            sort: a key of RUN_SORTS.
            limit: most rows of a page.
            offset: rows before it.
        """
        given = (search, status, kind, library)
        total = self._rows(f"SELECT count(*) {_RUNS}", *given)[0][0]
        rows = self._rows(
            "SELECT id, name, kind, status, library, dataset, started, finished,"
            " json_extract(config, '$.model') AS model, json_extract(summary, '$.lessons') AS lessons,"
            " json_extract(summary, '$.heldout.before') AS before, json_extract(summary, '$.heldout.after') AS after,"
            " json_extract(summary, '$.heldout.diff') AS diff"
            f" {_RUNS} ORDER BY {RUN_SORTS[sort]} LIMIT ?5 OFFSET ?6",
            *given, limit, offset,
        )  # fmt: skip
        return Rows(tuple(map(dict, rows)), total)

    def run_words(self) -> Mapping[str, tuple[str, ...]]:
        """Which `status` and `kind` the runs have, each sorted."""
        return {
            name: tuple(row[0] for row in self._rows(f"SELECT DISTINCT {name} FROM runs ORDER BY 1"))  # noqa: S608
            for name in ("status", "kind")
        }

    def run_counts(self, run: str) -> Mapping[str, int]:
        """How many groups a run has by status."""
        rows = self._rows("SELECT status, count(*) AS many FROM groups WHERE run = ? GROUP BY status", run)
        return {row["status"]: row["many"] for row in rows}

    def group_rows(
        self,
        run: str,
        *,
        step: int | None = None,
        status: str = "",
        search: str = "",
        sort: str = "order",
        limit: int = 50,
        offset: int = 0,
    ) -> Rows:
        """Groups of a run without their messages: `step problem_id question status version rewards`.

        Args:
            run: its id.
            step: only this one.
            status: `kept`, `flat`, ...
            search: part of the problem's id or question, in any case.
            sort: a key of GROUP_SORTS.
            limit: most rows of a page.
            offset: rows before it.
        """
        given = (run, step, status, search)
        total = self._rows(f"SELECT count(*) {_GROUPS}", *given)[0][0]
        reward = "(SELECT avg(reward) FROM rollouts WHERE group_id = groups.id)" if sort != "order" else "NULL"
        rows = self._rows(
            "SELECT step, problem_id, json_extract(problem, '$.question') AS question, status, version,"  # noqa: S608
            f" {reward} AS reward,"
            " (SELECT json_group_array(reward) FROM (SELECT reward FROM rollouts WHERE group_id = groups.id"
            " ORDER BY rollout)) AS rewards"
            f" {_GROUPS} ORDER BY {GROUP_SORTS[sort]} LIMIT ?5 OFFSET ?6",
            *given, limit, offset,
        )  # fmt: skip
        return Rows(tuple({**dict(row), "rewards": json.loads(row["rewards"])} for row in rows), total)

    def step_rewards(self, run: str) -> Mapping[int, tuple[float, ...]]:
        """Mean reward of each graded group of a run, by step."""
        rows = self._rows(
            "SELECT step, avg(reward) AS mean FROM groups JOIN rollouts ON group_id = groups.id"
            " WHERE run = ? AND reward IS NOT NULL GROUP BY groups.id ORDER BY groups.id",
            run,
        )
        found: dict[int, list[float]] = {}
        for row in rows:
            found.setdefault(row["step"], []).append(row["mean"])
        return {step: tuple(means) for step, means in sorted(found.items())}

    def neighbours(self, run: str, step: int, problem_id: str) -> tuple[tuple[int, str] | None, tuple[int, str] | None]:
        """The groups before and after one, as (step, problem id); None at either end."""
        here = self._row("SELECT id FROM groups WHERE run = ? AND step = ? AND problem_id = ?", run, step, problem_id)
        if here is None:
            return None, None
        place = (run, step, here["id"])
        sql = "SELECT step, problem_id FROM groups WHERE run = ? AND (step, id)"
        before = self._row(f"{sql} < (?, ?) ORDER BY step DESC, id DESC LIMIT 1", *place)
        after = self._row(f"{sql} > (?, ?) ORDER BY step, id LIMIT 1", *place)
        return _place_of(before), _place_of(after)

    def outcomes(self, run: str, step: int, problem_id: str) -> tuple[Outcome, ...]:
        """Edits of a run that rest on one group, oldest first."""
        rows = self._rows(
            "SELECT * FROM edits WHERE run = ?1 AND EXISTS (SELECT 1 FROM json_each(edits.sources) AS source"  # noqa: S608
            " WHERE json_extract(source.value, '$.run') = ?1 AND json_extract(source.value, '$.step') = ?2"
            f" AND json_extract(source.value, '$.problem_id') = ?3) AND id NOT IN {_SETTLED} ORDER BY id",
            run, step, problem_id,
        )  # fmt: skip
        return tuple(map(_outcome_of, rows))

    def edits_of_run(self, run: str, limit: int = 200) -> tuple[Outcome, ...]:
        """Edits of a run that made a version, oldest first, at most `limit`."""
        rows = self._rows("SELECT * FROM edits WHERE run = ? AND version IS NOT NULL ORDER BY id LIMIT ?", run, limit)
        return tuple(map(_outcome_of, rows))

    def problems_side_by_side(self, a: str, b: str, *, limit: int = 50, offset: int = 0) -> Rows:
        """Problems that two runs attempted, those that differ most first: `problem_id a b diff`, mean rewards."""
        means = (
            "SELECT problem_id, avg(reward) AS mean FROM groups JOIN rollouts ON group_id = groups.id"
            " WHERE run = {} AND reward IS NOT NULL GROUP BY problem_id"
        )
        both = (
            f"WITH one AS ({means.format('?1')}), other AS ({means.format('?2')})"  # noqa: S608
            " SELECT one.problem_id, one.mean AS a, other.mean AS b, other.mean - one.mean AS diff"
            " FROM one JOIN other USING (problem_id)"
        )
        rows = self._rows(f"{both} ORDER BY abs(diff) DESC, problem_id", a, b)
        return Rows(tuple(map(dict, rows[offset : offset + limit])), len(rows))


def _place_of(row: sqlite3.Row | None) -> tuple[int, str] | None:
    return None if row is None else (row["step"], row["problem_id"])


def _outcome_of(row: sqlite3.Row) -> Outcome:
    if row["version"] is None:
        return Outcome(row["library"], None, unapplied_of(row))
    return Outcome(row["library"], applied_of(row), None)
