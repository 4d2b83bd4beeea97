"""Whether a database is whole: pages, schema, references, search index, and every version against its edits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from experience_db.codec import digest
from experience_db.database import translated_errors
from experience_db.errors import CorruptStore, StoreError
from experience_db.history import replay_edits
from experience_db.libraries import APPLIED, Libraries
from experience_db.records import Lesson
from experience_db.schema_steps import STEPS
from experience_db.texts import REFERRING, stored_references

MADE = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
"""What a schema is made of."""
RECORD = ("table", "_sqlite_migrations")
"""Where sqlite-utils writes which steps were taken."""


class Verification(Libraries):
    """The part of the store that checks all the others."""

    def verify(self) -> tuple[str, ...]:
        """What is wrong with the database, one sentence each; empty when all is well. Nothing is changed."""
        try:
            faults_found = [
                *self._damage(),
                *self._altered(),
                *self._dangling(),
                *self._unindexed(),
                *self._lost_texts(),
            ]
            for name in self.libraries():
                faults_found += self._rewritten(name)
        except CorruptStore as error:
            return (str(error),)
        return tuple(faults_found)

    def require_sound(self) -> None:
        """Check what costs little: pages, schema and references.

        Raises:
            CorruptStore: something is wrong; the message names the first fault.
        """
        for fault in (*self._damage("quick_check"), *self._altered(exactly=False), *self._dangling()):
            raise CorruptStore(f"{fault}; `tfgrpo db check` tells everything that is wrong, a backup puts it right")

    def _damage(self, pragma: str = "integrity_check") -> Iterator[str]:
        for row in self._rows(f"PRAGMA {pragma}"):
            if row[0] != "ok":
                yield f"{self.path}: {row[0]}"

    def _altered(self, *, exactly: bool = True) -> Iterator[str]:
        """Compare tables, indexes, triggers and views with those of a new database; what others added is theirs."""
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
            if exactly:
                from experience_db.migrations import migrate  # noqa: PLC0415  sqlite-utils loads numpy where it finds it

                migrate(fresh)
            else:
                for step in STEPS:
                    step(fresh)
            wanted = {RECORD: ""} | {(row[0], row[1]): row[2] for row in fresh.execute(MADE)}
        found = {(row[0], row[1]): row[2] for row in self._rows(MADE)}
        for (kind, name), sql in wanted.items():
            if (kind, name) not in found:
                yield f"{self.path}: the {kind} {name} is missing"
            elif exactly and found[kind, name] != sql:
                yield f"{self.path}: the {kind} {name} is not as this release makes it"

    def _dangling(self) -> Iterator[str]:
        for row in self._rows("PRAGMA foreign_key_check"):
            yield f"{self.path}: row {row['rowid']} of {row['table']} names a row of {row['parent']} that is not there"

    def _unindexed(self) -> Iterator[str]:
        """FTS5 checks its index by an INSERT that writes nothing, so a read-only store leaves it out."""
        if self.readonly:
            return
        try:
            with translated_errors(self.path):
                self._write("INSERT INTO lessons_fts(lessons_fts, rank) VALUES ('integrity-check', 1)")
        except StoreError:
            yield f"{self.path}: the search index does not agree with the lessons"

    def _lost_texts(self) -> Iterator[str]:
        kept = {row[0] for row in self._rows("SELECT id FROM texts")}
        for table, columns in REFERRING.items():
            for column in columns:
                for row in self._connection.execute(f"SELECT rowid, {column} FROM {table}"):  # noqa: S608  ours
                    if not kept.issuperset(stored_references(row[1])):
                        yield f"{self.path}: row {row[0]} of {table} names a text that is not there"

    def _rewritten(self, name: str) -> Iterator[str]:
        """Compare each version with what its edits make, and with the digest taken when it was written."""
        replay = {v: (lessons, next_id) for v, lessons, next_id in replay_edits(self._rows(APPLIED, name, 1 << 60))}
        lessons: tuple[Lesson, ...] = ()
        next_id = 1
        for version in self.versions(name):
            lessons, next_id = replay.get(version.number, (lessons, next_id))
            stored = self.library(name, version.number)
            where = f"{self.path}: version {version.number} of library {name!r}"
            if (stored.lessons, stored.next_id) != (lessons, next_id):
                yield f"{where} is not what its edits make"
            if digest(stored.lessons, stored.template, like=version.digest) != version.digest:
                yield f"{where} is not what was written"
