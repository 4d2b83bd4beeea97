"""Vectors of texts, so that no text is embedded twice by the same model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from experience_db.database import Database

BATCH = 10_000
"""Marks that are looked up at once."""


class Vectors(Database):
    """The part of the store that keeps vectors; a vector is the bytes of its float32 values, little-endian."""

    def vectors(self, model: str, marks: Sequence[str]) -> dict[str, bytes]:
        """Return those vectors that are known of a model, by the mark (a hash) of their text."""
        sql = "SELECT mark, vector FROM vectors WHERE model = ? AND mark IN (SELECT value FROM json_each(?))"
        found: dict[str, bytes] = {}
        for i in range(0, len(marks), BATCH):
            rows = self._rows(sql, model, json.dumps(marks[i : i + BATCH]))
            found.update((row["mark"], bytes(row["vector"])) for row in rows)
        return found

    def add_vectors(self, model: str, found: Mapping[str, bytes]) -> None:
        """Keep vectors of a model; one that is known stays as it is. Raises StoreReadOnly."""
        sql = "INSERT OR IGNORE INTO vectors (model, mark, vector) VALUES (?, ?, ?)"
        self._write_many(sql, [(model, mark, vector) for mark, vector in found.items()])
