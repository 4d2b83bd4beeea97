"""Which lessons a problem meets: the nearest ones, and of them those that are worth their room.

The whole library goes into every prompt unless somebody asks for a retrieval; whether one is better is for
`tfgrpo eval --retrieval` to say, on problems that taught nothing.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from experience_db.apply import in_prompt_order
from experience_db.library import Library
from experience_db.prompt_parts import parts_of
from experience_db.records import Lesson
from experience_db.word_search import best_rows

CHARS_PER_TOKEN = 4
"""As everywhere in the project where no tokenizer is at hand."""
CANDIDATES = 50
"""Lessons that are looked at for one problem, the nearest ones."""
FUSED = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Buettcher 2009)."""

Ranker = Callable[[Library, str, int], Sequence[int]]
"""(library, question, most) -> lesson ids, nearest first; lessons that have nothing to do with it are left out."""
Effects = Callable[[Library, Iterable[int]], Mapping[int, float]]
"""(library, lesson ids) -> measured effect of those that have one."""


@dataclass(slots=True)
class WordRanker:
    """Ranks lessons by their words (BM25, FTS5): a library in a file by its index, another one by one in memory."""

    least: float = 0.3
    """What scores less than this share of the best score is not near: it shares words that say little."""
    _indexes: list[tuple[tuple[Lesson, ...], sqlite3.Connection]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, library: Library, question: str, most: int) -> list[int]:
        """Return lesson ids, nearest first."""
        stored = library.stored
        if stored is not None and stored.large:
            return [lesson.id for lesson in stored.search(question, most, self.least)]
        with self._lock:
            index = self._index(library.lessons)
            run = lambda sql, *values: index.execute(sql, values).fetchall()  # noqa: E731
            return best_rows(run, "texts", question, most, self.least)

    def _index(self, lessons: tuple[Lesson, ...]) -> sqlite3.Connection:
        """The index of some lessons; those of the last few versions are kept."""
        for known, index in self._indexes:
            if known is lessons:
                return index
        index = sqlite3.connect(":memory:", check_same_thread=False)
        index.execute("CREATE VIRTUAL TABLE texts USING fts5(text, tokenize='porter unicode61 remove_diacritics 2')")
        index.executemany("INSERT INTO texts(rowid, text) VALUES (?, ?)", [(x.id, x.text) for x in lessons])
        self._indexes.append((lessons, index))
        if len(self._indexes) > 4:
            self._indexes.pop(0)[1].close()
        return index

    def __reduce__(self) -> tuple[type[WordRanker], tuple[float]]:
        """Travel without the indexes, which belong to this process."""
        return WordRanker, (self.least,)

    def __del__(self) -> None:
        """Close the indexes."""
        for _, index in self._indexes:
            index.close()


def stored_effects(library: Library, ids: Iterable[int]) -> Mapping[int, float]:
    """Return the measured effects that the library's own file holds; none for a library made in memory."""
    return {} if library.stored is None else library.stored.effects(ids)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How lessons are chosen for one problem."""

    rankers: tuple[Ranker, ...] = field(default_factory=lambda: (WordRanker(),))
    """Who says what is near; several are joined by reciprocal rank fusion."""
    tokens: int = 600
    """Room for lessons in one prompt, in tokens of 4 characters each."""
    effects: Effects = stored_effects
    """What the lessons were measured to do."""

    def chosen(self, library: Library, question: str) -> Library:
        """Return the library with the lessons for one question alone, in the order of their ids.

        Of the nearest lessons those fill the room whose measured effect per token is largest; an unmeasured one counts
        as nothing, so among equals the nearer one goes first, and a lesson that was measured to harm stays out.
        """
        near = _fused([rank(library, question, CANDIDATES) for rank in self.rankers])[:CANDIDATES]
        effects = self.effects(library, near)
        lessons = {lesson.id: lesson for lesson in library.some(set(near))}
        present = [lessons[i] for i in near if i in lessons and effects.get(i, 0.0) >= 0]
        # What stands for another part of the prompt suits every problem. Large libraries are not read for it.
        parts = () if library.stored is not None else tuple(parts_of(library.lessons).values())
        present = [lesson for lesson in present if lesson not in parts]
        worth = sorted(present, key=lambda lesson: -effects.get(lesson.id, 0.0) / tokens_of(lesson))
        kept, room = [], self.tokens
        for lesson in worth:
            if tokens_of(lesson) <= room:
                kept.append(lesson)
                room -= tokens_of(lesson)
        return replace(library, lessons=in_prompt_order([*parts, *kept]), retrieval=None)


WAYS = ("all", "fts")
"""What `by_name` knows; `embedding` and `hybrid` need a model, which `tfgrpo` brings along."""


def by_name(name: str, tokens: int = 600) -> Retrieval | None:
    """Return the retrieval of a name, one of WAYS; None is the whole library.

    Raises:
        ValueError: another name.
    """
    if name not in WAYS:
        raise ValueError(f"no retrieval {name!r}; there are: {', '.join(WAYS)}")
    return Retrieval(tokens=tokens) if name == "fts" else None


def tokens_of(lesson: Lesson) -> int:
    """Return about how many tokens a lesson takes in a prompt, with its number."""
    return -(-(len(lesson.text) + len(str(lesson.id)) + 4) // CHARS_PER_TOKEN)


def _fused(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Ids by the sum of 1 / (60 + rank) over the rankings that name them; ties by id."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, i in enumerate(ranking, 1):
            scores[i] = scores.get(i, 0.0) + 1 / (FUSED + rank)
    return sorted(scores, key=lambda i: (-scores[i], i))
