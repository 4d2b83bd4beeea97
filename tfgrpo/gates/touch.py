"""An edit acts where its lesson applies; testing it there needs several times fewer rollouts than testing everywhere.

Where that is, its condition says ("When the question names a refund, ..."), or its subject ("Treat glorp as max.", "A
refund is billing."): the problems that have most of the rare words of either. Other words of a lesson choose nothing,
because they stand in problems by accident. Without condition and subject, and where they name no problem, those
problems are taken whose stored rollouts change most in likelihood, else a stratified sample of all. The choice uses no
reward of the gate's own rollouts, so it does not bias the gate.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, isfinite, log
from typing import Literal

from experience_db import Edit, Library
from tfgrpo.datasets.content_words import STOP_WORDS, words
from tfgrpo.types import Problem

How = Literal["word", "likelihood", "all"]

RARE = 0.4
"""A word is rare when at most this share of the pool's problems has it."""
TOP = 0.25
"""Share of the pool taken by likelihood."""
FEWEST = 8
"""Problems by likelihood at least; where a condition names fewer, it is tested on those few."""
MOST = 0.75
"""Words that together name more than this share of the pool single nothing out."""


HALF = 0.5
"""Share of the weight of a condition's words that a problem must have; rarer words weigh more."""
LABELS = 10
"""Answers of a pool are labels when there are at most so many."""

_CONDITION = re.compile(
    r"(?:^|[,;.]\s*|\s)(?:when(?:ever)?|if|where(?:ver)?|for|in case of|once|unless)\s+"
    r"(.{1,300}?)(?=[,:;.](?:\s|$)|\sthen\s|$)",
    re.IGNORECASE,
)
_PREPOSITION = re.compile(r"^\s*(?:in|on|with|at|before|after|while)\s+([^,:;]{3,80})[,:]", re.IGNORECASE)
_OBJECT = re.compile(
    r"^\s*+(?:treat|read|take|interpret|regard|count|see|label|classify|mark|route|send|assign|file|tag|call|consider|"
    r"understand|map|convert|translate|render|express)\s++(.{1,60}?)(?<!\s)\s++(?:as|to|into|like|under|with)\s",
    re.IGNORECASE,
)
_COPULA = re.compile(
    r"^\s*+(.{1,60}?)(?<!\s)\s++(?:is|are|means?|equals?|denotes?|stands?|refers?|belongs?|goes|go|counts?|asks?|wants?)\s",
    re.IGNORECASE,
)
_ALTERNATIVES = re.compile(r"\bor\b|,|/|;", re.IGNORECASE)
_ARTICLES = frozenset(["the", "a", "an", "any", "every", "each", "all", "this", "that", "these", "those"])
_IMPERATIVES = words(
    "put keep begin end add say list name print return output reply respond double compute mind stay copy look ask "
    "remember always never finish spell mention leave skip round report quote cite call"
)


@dataclass(frozen=True, slots=True)
class Touched:
    """The problems on which an edit is tested."""

    problems: tuple[Problem, ...]
    """In pool order."""
    how: How
    words: tuple[str, ...] = ()
    """The rare words of its condition or subject that these problems have."""


def touched(
    edit: Edit,
    library: Library,
    pool: Sequence[Problem],
    score_change: Callable[[Problem], float] | None = None,
) -> Touched:
    """Return the problems of `pool` that `edit` touches: by condition or subject, else by likelihood, else all.

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


def about(text: str) -> tuple[frozenset[str], ...]:
    """Return the content words of a lesson's condition, else of its subject, one set for each alternative.

    "When a refund or a charge is named, ..." has two alternatives. () where a lesson is about everything.
    """
    found = [part for pattern in (_CONDITION, _PREPOSITION) for part in pattern.findall(text)]
    if not found:
        found = [match[1] for pattern in (_OBJECT, _COPULA) if (match := pattern.match(text))][:1] or [_opening(text)]
    parts = [words(alternative) for part in found for alternative in _ALTERNATIVES.split(part)]
    return tuple(part for part in parts if part)


def _opening(text: str) -> str:
    """Return the first words of a sentence that is no order: its subject."""
    said = [w for w in re.findall(r"\w+", text.casefold()) if w not in _ARTICLES]
    return "" if not said or said[0] in STOP_WORDS or words(said[0]) & _IMPERATIVES else " ".join(said[:3])


def strata(problems: Sequence[Problem]) -> dict[str, int]:
    """Return a stratum for each problem id: its answer where answers are labels, else the third by length."""
    answers = [problem.answer for problem in problems]
    kinds = sorted({answer for answer in answers if answer is not None})
    if kinds and len(kinds) <= LABELS and 3 * len(kinds) <= len(problems) and None not in answers:
        return {problem.id: kinds.index(problem.answer or "") for problem in problems}
    by_length = sorted(problems, key=lambda problem: (len(problem.question), problem.id))
    return {problem.id: 3 * place // len(by_length) for place, problem in enumerate(by_length)}


def _by_words(texts: Sequence[str], pool: Sequence[Problem]) -> Touched | None:
    words_P = [words(problem.question) for problem in pool]
    frequency = Counter(word for found in words_P for word in found)
    wanted = [part for text in texts for part in about(text)]
    rare = {word for part in wanted for word in part if 0 < frequency[word] <= RARE * len(pool)}
    weight = {word: log(len(pool) / frequency[word]) for word in rare}

    def names(found: frozenset[str]) -> bool:
        return any(
            sum(weight[w] for w in part & rare & found) >= HALF * sum(weight[w] for w in part & rare) > 0
            for part in wanted
        )

    problems = tuple(problem for problem, found in zip(pool, words_P, strict=True) if names(found))
    if not 0 < len(problems) <= MOST * len(pool):
        return None
    return Touched(problems, "word", tuple(sorted(rare)))


def _by_likelihood(score_change: Callable[[Problem], float], pool: Sequence[Problem]) -> Touched | None:
    changes = [(abs(score_change(problem)), place) for place, problem in enumerate(pool)]
    moved = sorted((-change, place) for change, place in changes if isfinite(change) and change > 0)
    chosen = sorted(place for _, place in moved[: max(FEWEST, ceil(TOP * len(pool)))])
    return Touched(tuple(pool[place] for place in chosen), "likelihood") if len(chosen) >= FEWEST else None
