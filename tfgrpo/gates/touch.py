"""An edit acts where its lesson applies; testing it there needs several times fewer rollouts than testing everywhere.

The choice uses the words of lesson and problem, or likelihoods of stored rollouts, but no reward of the gate's own
rollouts, so it does not bias the gate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import Literal

from experience_db import Edit, Library
from tfgrpo.datasets.content_words import words
from tfgrpo.types import Problem

How = Literal["word", "likelihood", "all"]

RARE = 0.4
"""A word is rare when at most this share of the pool's problems has it."""
TOP = 0.25
"""Share of the pool taken by likelihood."""
FEWEST = 8
"""Fewer problems than this cannot carry a verdict, not even in several passes."""
MOST = 0.75
"""Words that together name more than this share of the pool single nothing out."""


@dataclass(frozen=True, slots=True)
class Touched:
    """The problems on which an edit is tested."""

    problems: tuple[Problem, ...]
    """In pool order."""
    how: How
    words: tuple[str, ...] = ()
    """The rare words of the lesson that these problems have."""


def touched(
    edit: Edit,
    library: Library,
    pool: Sequence[Problem],
    score_change: Callable[[Problem], float] | None = None,
) -> Touched:
    """Return the problems of `pool` that `edit` touches: by words, else by likelihood, else all.

    `score_change` gives |change of log p| of a stored rollout of a problem when the edit is applied; nan when there is
    no such rollout. Where it is absent, or no problem changes, all problems are taken.
    """
    named = _by_words(lesson_texts(edit, library), pool)
    if named is not None:
        return named
    moved = None if score_change is None else _by_likelihood(score_change, pool)
    return moved if moved is not None else Touched(tuple(pool), "all")


def union(parts: Sequence[Touched], pool: Sequence[Problem]) -> Touched:
    """Return the problems that any of `parts` touches; all of them as soon as one part has no known touch."""
    if not parts or any(part.how == "all" for part in parts):
        return Touched(tuple(pool), "all")
    ids = {problem.id for part in parts for problem in part.problems}
    how: How = "word" if all(part.how == "word" for part in parts) else "likelihood"
    words = sorted({word for part in parts for word in part.words})
    return Touched(tuple(problem for problem in pool if problem.id in ids), how, tuple(words))


def lesson_texts(edit: Edit, library: Library) -> tuple[str, ...]:
    """Return the words an edit takes away and those it brings."""
    old = tuple(lesson.text for lesson in library.lessons if lesson.id in edit.ids)
    return old if edit.text is None else (*old, edit.text)


def _by_words(texts: Sequence[str], pool: Sequence[Problem]) -> Touched | None:
    words_P = [words(problem.question) for problem in pool]
    frequency = Counter(word for found in words_P for word in found)
    wanted = frozenset[str]().union(*map(words, texts))
    rare = {word for word in wanted if 0 < frequency[word] <= RARE * len(pool)}
    problems = tuple(problem for problem, found in zip(pool, words_P, strict=True) if found & rare)
    if not FEWEST <= len(problems) <= MOST * len(pool):
        return None
    return Touched(problems, "word", tuple(sorted(rare)))


def _by_likelihood(score_change: Callable[[Problem], float], pool: Sequence[Problem]) -> Touched | None:
    changes = [(abs(score_change(problem)), place) for place, problem in enumerate(pool)]
    moved = sorted((-change, place) for change, place in changes if isfinite(change) and change > 0)
    chosen = sorted(place for _, place in moved[: max(FEWEST, ceil(TOP * len(pool)))])
    return Touched(tuple(pool[place] for place in chosen), "likelihood") if len(chosen) >= FEWEST else None
