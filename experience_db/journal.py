"""The journal: every model and tool call, kept by the hash of its request, so that nothing is paid twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from experience_db.codec import sha256, to_json
from experience_db.database import Database
from experience_db.errors import CorruptStore
from experience_db.records import Call, RoleUsage
from experience_db.texts import Texts

_PUT = (
    "INSERT INTO calls (key, role, model, request, reply, prompt_tokens, completion_tokens, cached_tokens, usd,"
    " seconds, run, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
)

AT_ONCE = 200
"""Calls whose texts are read together."""
HIDDEN = "hidden"
"""Of a recorded reply: whether a key was taken out of it, so that it must not be graded in place of the real one."""


class Journal:
    """Calls by key, on the table `calls` of a store. What `put` returns from is committed."""

    def __init__(self, store: Database) -> None:
        self._store = store
        self._texts = Texts(store)

    @staticmethod
    def key(request: Mapping[str, Any]) -> str:
        """Hex SHA-256 of the request's canonical JSON: sorted keys, compact, UTF-8."""
        return sha256(request)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the recorded reply, or None; raises ValueError where it cannot be read."""
        row = self._store._row("SELECT reply FROM calls WHERE key = ?", key)
        try:
            return None if row is None else self._texts.from_json([row["reply"]])[0]
        except CorruptStore as error:
            raise ValueError(str(error)) from error

    def put(  # noqa: PLR0913  the fields of one Call
        self,
        key: str,
        *,
        role: str,
        model: str,
        request: Mapping[str, Any],
        reply: Mapping[str, Any],
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        cached_tokens: int = 0,
        usd: float | None = None,
        seconds: float = 0.0,
        run: str | None = None,
    ) -> bool:
        """Record a call; False when the key has a record already, which then stays.

        `usd` is None when the price is not known. The request must hold no keys or tokens of access. Raises
        UnknownRun, StoreReadOnly, StoreFull.
        """
        tokens = (prompt_tokens, completion_tokens, cached_tokens)
        return self.put_many([Call(key, role, model, request, reply, *tokens, usd, seconds, run)]) > 0

    def hurried(self) -> AbstractContextManager[None]:
        """Inside, `put` raises StoreBusy at once instead of waiting; see `Database.hurried`."""
        return self._store.hurried()

    def forget(self, key: str) -> None:
        """Drop a record that cannot be used; what its call cost is then counted when it is made again."""
        self._store._write("DELETE FROM calls WHERE key = ?", key)

    def spent(self, run: str, role: str | None = None) -> tuple[int, int, float]:
        """Calls, tokens and US dollars that a run used up, tries in vain included; agents and tools pay their own.

        The record of a try in vain stands for as many calls as its request names. With `role`, those of that role
        alone.
        """
        of_run = "FROM calls WHERE run = ?1 AND model NOT LIKE 'agent:%' AND model NOT LIKE 'tool:%'"
        of_role = "(?2 IS NULL OR role = ?2 OR role = 'failed:' || ?2)"
        row = self._store._row(
            "SELECT count(*), coalesce(sum(prompt_tokens + completion_tokens), 0), coalesce(sum(usd), 0.0)"
            f" {of_run} AND {of_role}",
            run,
            role,
        )
        # Only these are read whole.
        more = self._store._row(
            f"SELECT coalesce(sum(coalesce(json_extract(request, '$.calls'), 1) - 1), 0) {of_run} AND {of_role}"
            " AND role >= 'failed:' AND role < 'failed;'",
            run,
            role,
        )
        return (int(row[0] + more[0]), int(row[1]), float(row[2])) if row and more else (0, 0, 0.0)

    def put_many(self, calls: Iterable[Call]) -> int:
        """Record many calls in one transaction; returns how many were new. Raises what `put` raises."""
        with self._store.atomic():
            return sum(map(self._put, calls))

    def usage(self, run: str | None = None) -> dict[str, RoleUsage]:
        """What the calls of each role consumed, of one run or of all; replayed calls cost nothing and don't count."""
        sums = (
            "count(*), sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens),"
            " CASE WHEN count(*) = count(usd) THEN sum(usd) END, sum(seconds)"
        )
        of_run, values = ("", ()) if run is None else ("WHERE run = ?", (run,))
        sql = f"SELECT role, {sums} FROM calls {of_run} GROUP BY role ORDER BY role"  # noqa: S608  the parts are ours
        rows = self._store._rows(sql, *values)
        return {row["role"]: RoleUsage(*row) for row in rows}

    def longest(self, run: str) -> dict[str, tuple[int, int]]:
        """Of each role of a run, how many calls were answered, and the completion tokens of the longest answer."""
        rows = self._store._rows(
            "SELECT role, count(*), max(completion_tokens) FROM calls WHERE run = ? AND role NOT LIKE 'failed:%'"
            " AND model NOT LIKE 'agent:%' AND model NOT LIKE 'tool:%' GROUP BY role",
            run,
        )
        return {row[0]: (int(row[1]), int(row[2] or 0)) for row in rows}

    def calls(self, run: str | None = None, role: str | None = None) -> Iterator[Call]:
        """Recorded calls in the order they were made, of one run and one role when named."""
        # Two statements: with `?1 IS NULL OR run = ?1` SQLite reads the calls of all runs.
        of_all = "SELECT * FROM calls WHERE ?1 IS NULL AND (?2 IS NULL OR role = ?2) ORDER BY rowid"
        of_one = "SELECT * FROM calls WHERE run = ?1 AND (?2 IS NULL OR role = ?2) ORDER BY rowid"
        rows = self._store._rows(of_all if run is None else of_one, run, role)
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            said = iter(self._texts.from_json([row[name] for row in some for name in ("request", "reply")]))
            for row in some:
                columns = {name: row[name] for name in row.keys() if name != "created"}  # noqa: SIM118  Row iterates values
                yield Call(**{**columns, "request": next(said), "reply": next(said)})

    def __len__(self) -> int:
        row = self._store._row("SELECT count(*) FROM calls")
        return row[0] if row else 0

    def _marked(self, reply: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a reply; one that the store takes a key out of says so, as it is no longer what was said."""
        hide = self._store.hide
        if hide is None:
            return reply
        text = to_json(reply)
        return reply if hide(text) == text else {**reply, HIDDEN: True}

    def _put(self, call: Call) -> bool:
        cursor = self._store._write(
            _PUT,
            call.key,
            call.role,
            call.model,
            self._texts.to_json(call.request),
            self._texts.to_json(self._marked(call.reply)),
            call.prompt_tokens,
            call.completion_tokens,
            call.cached_tokens,
            call.usd,
            call.seconds,
            call.run or None,
            self._store.clock(),
        )
        return cursor.rowcount > 0
