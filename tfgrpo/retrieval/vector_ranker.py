"""Ranks lessons by the cosine of their vectors with that of the question."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from experience_db import Lesson, Library, Store
from tfgrpo.retrieval.embedders import Embedder, Floats

LEAST = 0.15
"""Cosine below which a lesson is not near."""


@dataclass(slots=True)
class VectorRanker:
    """Looks at every lesson: exact, and for 100,000 lessons of 256 numbers one pass over 100 MB of memory."""

    embedder: Embedder
    store: Store | None = None
    """Keeps the vectors of a model that is not cheap, so that no text is embedded twice; None, or one open for reading,
    keeps them in memory alone."""
    least: float = LEAST
    _tables: list[tuple[Sequence[Lesson], Sequence[int], Floats]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, library: Library, question: str, most: int) -> list[int]:
        """Return lesson ids, nearest first. Raises EndpointError."""
        with self._lock:
            ids, table = self._table(library)
            asked = self._vectors([question])
        if not len(ids):
            return []
        nearness = table @ asked[0]
        near = np.argpartition(-nearness, min(most, len(ids)) - 1)[:most]
        order = sorted(near.tolist(), key=lambda row: (-float(nearness[row]), ids[row]))
        return [ids[row] for row in order if nearness[row] >= self.least]

    def _table(self, library: Library) -> tuple[Sequence[int], Floats]:
        """The ids and unit vectors of a version; those of the last few are kept."""
        lessons = library.lessons
        for known, ids, table in self._tables:
            if known is lessons:
                return ids, table
        made = [lesson.id for lesson in lessons], self._rows([lesson.text for lesson in lessons])
        self._tables.append((lessons, *made))
        del self._tables[:-4]
        return made

    def _rows(self, texts: Sequence[str]) -> Floats:
        """Unit vectors of a version's texts; those that the version before it had are copied."""
        if not self._tables:
            return self._vectors(texts)
        lessons, _, table = self._tables[-1]
        rows = {lesson.text: row for row, lesson in enumerate(lessons)}
        new = [text for text in texts if text not in rows]
        if not len(table) or len(new) == len(texts):
            return self._vectors(texts)
        found = np.empty((len(texts), table.shape[1]), np.float32)
        places = np.array([rows.get(text, -1) for text in texts])
        found[places >= 0] = table[places[places >= 0]]
        if new:
            found[places < 0] = self._vectors(new)
        return found

    def _vectors(self, texts: Sequence[str]) -> Floats:
        """Unit vectors of texts; those that the store knows are taken from there."""
        if self.embedder.cheap and texts:
            return _units(self.embedder(texts))
        marks = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
        known = self.store.vectors(self.embedder.name, marks) if self.store is not None else {}
        missing = {mark: text for mark, text in zip(marks, texts, strict=True) if mark not in known}
        if missing:
            rows = self.embedder(list(missing.values())).astype("<f4")
            made = {mark: row.tobytes() for mark, row in zip(missing, rows, strict=True)}
            if self.store is not None and not self.store.readonly:
                self.store.add_vectors(self.embedder.name, made)
            known |= made
        if not texts:
            return np.zeros((0, 0), np.float32)
        found = np.frombuffer(b"".join(known[mark] for mark in marks), "<f4").reshape(len(texts), -1)
        return _units(found)


def _units(found: Floats) -> Floats:
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.where(norms > 0, norms, 1), np.float32)
