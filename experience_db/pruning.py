"""Making room: the texts of runs that have ended go, and what is known by them stays.

What stays: libraries, edits, evidence, reports; of a run its steps, settings and figures, what each call cost, each
rollout's answer (the end of a long one), scores and reward; and, in full, the groups and contrasts that an edit names
as its source. What goes: the requests and replies of the journal, from which such a run could go on or be made again
without asking, and the conversations of all other rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experience_db.errors import RunConflict, StoreBusy
from experience_db.runs import Runs
from experience_db.texts import IN_ONE_QUERY, REFERRING, SHORTEST, Texts, stored_references
from experience_db.upkeep import Upkeep

PRUNED = "pruned:"
"""Before the key of a call whose texts are gone: it counts what was spent, and answers nothing."""
_SOURCES = (
    "CREATE TEMP TABLE sources AS SELECT DISTINCT json_extract(source.value, '$.run') AS run,"
    " json_extract(source.value, '$.step') AS step, json_extract(source.value, '$.problem_id') AS problem_id"
    " FROM edits, json_each(edits.sources) AS source"
)
_CALLS = (
    "run IN (SELECT id FROM chosen) AND key NOT LIKE 'pruned:%' AND role NOT LIKE 'failed:%'"
    " AND NOT (role = 'contrast' AND run IN (SELECT run FROM sources))"
)
"""Which calls lose their texts."""
_ROLLOUTS = (
    "group_id IN (SELECT id FROM groups WHERE run IN (SELECT id FROM chosen)"
    " AND (run, step, problem_id) NOT IN (SELECT run, step, problem_id FROM sources))"
    " AND (messages, more) <> ('[]', '{}')"
)
"""Which rollouts do."""
KEPT = 120
"""Characters that stay of an answer that is a text of its own: its end, where most say what they found."""
_LOSING = {"calls": _CALLS, "rollouts": _ROLLOUTS}


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went, or what would."""

    runs: tuple[str, ...]
    """Ids of the runs that were looked at."""
    calls: int
    """Calls that lose their texts."""
    rollouts: int
    """Rollouts that lose their conversation."""
    texts: int
    """Long texts that nothing names any more."""
    bytes: int
    """What all of it takes in the file, about; `vacuum` gives the room back."""


class Pruning(Upkeep, Runs):
    """The part of the store that takes texts of old runs out."""

    def prune(self, runs: Sequence[str], *, dry: bool = True) -> Pruned:
        """Take the texts of some runs out, or tell what that would free.

        Args:
            runs: ids; none may be going on.
            dry: change nothing.

        Raises:
            UnknownRun, StoreReadOnly.
            RunConflict: one of them has not ended.
            StoreBusy: somebody writes a library of this file.
        """
        for name in self.libraries():
            if not dry and (by := self.claimed_by(name)):
                raise StoreBusy(f"{by} is writing library {name!r} of {self.path}; wait until it has ended")
        for id in runs:
            if self.run(id).status == "running":
                raise RunConflict(f"run {id!r} has not ended; its journal is what it goes on from")
        try:
            self._choose(runs)
            found = self._counted(runs)
            if not dry:
                with self.atomic():
                    self._take_out()
            return found
        finally:
            for table in ("chosen", "sources", "kept"):
                self._rows(f"DROP TABLE IF EXISTS temp.{table}")

    def _choose(self, runs: Sequence[str]) -> None:
        self._rows("CREATE TEMP TABLE chosen (id TEXT PRIMARY KEY)")
        for id in runs:
            self._rows("INSERT OR IGNORE INTO temp.chosen VALUES (?)", id)
        self._rows(_SOURCES)
        self._rows("CREATE TEMP TABLE kept (id INTEGER PRIMARY KEY)")
        for table, columns in REFERRING.items():
            sql = f"SELECT {' || '.join(columns)} FROM {table} WHERE NOT ({_LOSING[table]})"  # noqa: S608  ours
            # Row by row: the texts of a large file are not held at once.
            for row in self._connection.execute(sql):
                self._connection.executemany(
                    "INSERT OR IGNORE INTO temp.kept VALUES (?)", ((each,) for each in stored_references(row[0]))
                )

    def _counted(self, runs: Sequence[str]) -> Pruned:
        size = "coalesce(sum(length(CAST({} AS BLOB)) + length(CAST({} AS BLOB))), 0)"
        counts, sizes = [], []
        for table, columns in REFERRING.items():
            sql = f"SELECT count(*), {size.format(*columns)} FROM {table} WHERE {_LOSING[table]}"  # noqa: S608  ours
            row = self._row(sql)
            counts.append(row[0] if row else 0)
            sizes.append(row[1] if row else 0)
        texts = self._row(
            "SELECT count(*), coalesce(sum(length(CAST(body AS BLOB)) + 40), 0) FROM texts"
            " WHERE id NOT IN (SELECT id FROM temp.kept)"
        )
        many, more = (texts[0], texts[1]) if texts else (0, 0)
        return Pruned(tuple(runs), counts[0], counts[1], many, sum(sizes) + more)

    def _take_out(self) -> None:
        texts = Texts(self)
        rows = self._rows(f"SELECT id, answer FROM rollouts WHERE {_ROLLOUTS} AND answer LIKE '{{\"$text\":%'")  # noqa: S608
        rows += self._rows(f"SELECT id, answer FROM rollouts WHERE {_ROLLOUTS} AND length(answer) >= {SHORTEST}")  # noqa: S608
        for start in range(0, len(rows), IN_ONE_QUERY):
            some = rows[start : start + IN_ONE_QUERY]
            ends = [f"... {text[-KEPT:]}" for text in texts.from_columns([row["answer"] for row in some])]
            self._write_many(
                "UPDATE rollouts SET answer = ? WHERE id = ?", [(e, r["id"]) for e, r in zip(ends, some, strict=True)]
            )
        self._write(f"UPDATE rollouts SET messages = '[]', more = '{{}}' WHERE {_ROLLOUTS}")  # noqa: S608  ours
        self._write(
            f"UPDATE calls SET key = '{PRUNED}' || rowid || ':' || substr(key, 1, 12),"  # noqa: S608  ours
            f" request = '{{}}', reply = '{{}}' WHERE {_CALLS}"
        )
        self._write("DELETE FROM texts WHERE id NOT IN (SELECT id FROM temp.kept)")
