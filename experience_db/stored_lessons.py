"""The lessons of a stored version, read when somebody needs them.

A version never changes, so it does not matter when it is read. A small one is read whole when it is opened; of a large
one only what is asked for, so that opening it, and changing one lesson of it, cost the same as for a small one.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from experience_db.codec import lesson_of
from experience_db.errors import StoreGone
from experience_db.records import Lesson

if TYPE_CHECKING:
    from experience_db.store import Store

SMALL = 2_000
"""Most lessons that are read at once when a version is opened."""
IN_VERSION = "lessons.library = ?1 AND since <= ?2 AND (until IS NULL OR until > ?2)"
"""Which rows of `lessons` stand in version ?2 of library ?1."""


class StoredLessons:
    """Lessons of one version in a file. Reading raises StoreGone when the file no longer holds that very version."""

    __slots__ = ("__weakref__", "_count", "_known", "_store", "digest", "name", "version")

    def __init__(self, store: Store, name: str, version: int, digest: str):
        self._store = store
        self.name = name
        self.version = version
        self.digest = digest
        self._known: tuple[Lesson, ...] | None = None
        self._count: int | None = None
        if not self._more_than(SMALL):
            self._known = self._read()

    @property
    def large(self) -> bool:
        """Whether the lessons are in the file alone, so far."""
        return self._known is None

    def __len__(self) -> int:
        if self._known is not None:
            return len(self._known)
        if self._count is None:
            sql = f"SELECT count(*) FROM lessons WHERE {IN_VERSION}"  # noqa: S608  a constant of ours
            self._count = int(self.store._rows(sql, self.name, self.version)[0][0])
        return self._count

    def all(self) -> tuple[Lesson, ...]:
        """Return every lesson, by id."""
        if self._known is None:
            self._known = self._read()
        return self._known

    def some(self, ids: Collection[int]) -> tuple[Lesson, ...]:
        """Return those lessons of `ids` that are there, by id."""
        if self._known is not None and len(self._known) <= SMALL:
            return tuple(lesson for lesson in self._known if lesson.id in ids)
        sql = f"SELECT * FROM lessons WHERE {IN_VERSION} AND lesson_id = ?3"  # noqa: S608  a constant of ours
        store = self.store
        found = (row for i in sorted(set(ids)) for row in store._rows(sql, self.name, self.version, i))
        return tuple(map(lesson_of, found))

    def search(self, query: str, limit: int, least: float = 0.0) -> tuple[Lesson, ...]:
        """Return lessons that share words with `query`, best match first; see `Store.search`."""
        return self.store.search(self.name, query, limit, version=self.version, least=least)

    def effects(self, ids: Iterable[int]) -> dict[int, float]:
        """Return the measured effect of those lessons that have one; see `Store.effects`."""
        return self.store.effects(self.name, ids, version=self.version)

    @property
    def store(self) -> Store:
        """The store, opened again for reading where it was closed. Raises StoreGone."""
        if self._store.closed and self._store.path != ":memory:":
            store = type(self._store).open(self._store.path, readonly=True)
            weakref.finalize(self, store.close)
            self._store = store
        sql = "SELECT digest FROM versions WHERE library = ? AND version = ?"
        found = self._store._row(sql, self.name, self.version)
        if found is None or found["digest"] != self.digest:
            raise StoreGone(
                f"{self._store.path} no longer holds version {self.version} of library {self.name!r} as it was opened; "
                "open the library again"
            )
        return self._store

    def _more_than(self, count: int) -> bool:
        sql = f"SELECT count(*) FROM (SELECT 1 FROM lessons WHERE {IN_VERSION} LIMIT ?3)"  # noqa: S608  ours
        return bool(self._store._rows(sql, self.name, self.version, count + 1)[0][0] > count)

    def _read(self) -> tuple[Lesson, ...]:
        sql = f"SELECT * FROM lessons WHERE {IN_VERSION} ORDER BY lesson_id"  # noqa: S608  a constant of ours
        return tuple(map(lesson_of, self.store._rows(sql, self.name, self.version)))
