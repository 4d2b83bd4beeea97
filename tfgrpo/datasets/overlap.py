"""Problems of two sets that look like one: by id, by their words, or by long runs of words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tfgrpo.types import Problem

LONG = 24
"""Words (or Chinese or Japanese characters) from which on texts are compared by parts."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two problems of different sets that look like one."""

    a: str
    b: str
    """Their ids."""
    kind: str
    """`id`, `text` or `ngram`."""
    share: float = 1.0
    """Share of the shorter text's 8-grams that the other contains."""


def overlap(a: Sequence[Problem], b: Sequence[Problem], *, threshold: float = 0.7) -> tuple[Overlap, ...]:
    """Problems of `b` that also stand in `a`, one finding per problem of `b`, the plainest kind first.

    Same id; same text once case, punctuation and white space are ignored; or at least `threshold` of the 8-grams of
    the shorter text contained in the other (containment, so that an added hint does not hide a copy). Words count as
    grams' units, in Chinese and Japanese single characters. Texts of fewer than LONG units are compared whole only, and
    numbers must agree in their order: problems that share a frame but not the numbers are different problems.
    """
    ids = {problem.id for problem in a}
    words_a = {problem.id: words_of(problem.question) for problem in a}
    texts = {" ".join(words): id for id, words in reversed(words_a.items())}
    grams_a = {id: _grams(words) for id, words in words_a.items()}
    holders: dict[tuple[str, ...], list[str]] = {}
    for id, grams in grams_a.items():
        for gram in grams:
            holders.setdefault(gram, []).append(id)
    found = []
    for problem in b:
        words = words_of(problem.question)
        if problem.id in ids:
            found.append(Overlap(problem.id, problem.id, "id"))
        elif " ".join(words) in texts:
            found.append(Overlap(texts[" ".join(words)], problem.id, "text"))
        else:
            near = _nearest(problem.id, _grams(words), grams_a, holders, threshold)
            found.extend(o for o in near if _same_numbers(words, words_a[o.a]))
    return tuple(found)


def _nearest(
    id: str,
    grams: frozenset[tuple[str, ...]],
    grams_a: Mapping[str, frozenset[tuple[str, ...]]],
    holders: Mapping[tuple[str, ...], Sequence[str]],
    threshold: float,
) -> Iterator[Overlap]:
    """The problem that shares the largest part of its 8-grams, if that part reaches the threshold."""
    shared: dict[str, int] = {}
    for gram in grams:
        for holder in holders.get(gram, ()):
            shared[holder] = shared.get(holder, 0) + 1
    shares = [(count / min(len(grams), len(grams_a[holder])), holder) for holder, count in shared.items()]
    best = max(shares, default=(0.0, ""))
    if shares and best[0] >= threshold:
        yield Overlap(best[1], id, "ngram", best[0])


def words_of(text: str) -> list[str]:
    r"""Lower-case words without LaTeX commands (\dfrac is \frac); each Chinese or Japanese character is one."""
    text = re.sub(r"\\[A-Za-z]+", " ", text)
    return re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+", text.casefold())


def _same_numbers(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether the numbers of one text occur in the other in the same order."""
    few, many = sorted(([w for w in words if w.isdigit()] for words in (a, b)), key=len)
    rest = iter(many)
    return all(number in rest for number in few)


def _grams(words: Sequence[str]) -> frozenset[tuple[str, ...]]:
    """All runs of 8 words; none of a short text, where a common phrase would be most of it."""
    if len(words) < LONG:
        return frozenset()
    return frozenset(tuple(words[i : i + 8]) for i in range(len(words) - 7))


def clusters(problems: Sequence[Problem], *, threshold: float = 0.7) -> dict[str, str]:
    """Return for each problem id the id of the first problem that says the same, by the tests of `overlap`.

    Problems with other answers or metadata are different problems. Short texts that are equal are one problem where
    their answers agree; without answers an environment may set a task of its own to each, so they stay apart.
    """
    first: dict[str, str] = {}
    texts: dict[tuple[str, str | None, str], str] = {}
    grams_seen: dict[str, frozenset[tuple[str, ...]]] = {}
    words_seen: dict[str, list[str]] = {}
    answers: dict[str, tuple[str | None, str]] = {}
    holders: dict[tuple[str, ...], list[str]] = {}
    for problem in problems:
        words = words_of(problem.question)
        about = (problem.answer, repr(sorted(problem.metadata.items(), key=str)))
        key = (" ".join(words), *about)
        twin = texts.get(key) if len(words) >= LONG or (words and problem.answer is not None) else None
        grams = _grams(words)
        if twin is None:
            near = [o.a for o in _nearest(problem.id, grams, grams_seen, holders, threshold)]
            twin = next((a for a in near if _same_numbers(words, words_seen[a]) and answers[a] == about), None)
        if twin is None:
            grams_seen[problem.id], words_seen[problem.id], answers[problem.id] = grams, words, about
            texts[key] = problem.id
            for gram in grams:
                holders.setdefault(gram, []).append(problem.id)
        first[problem.id] = first[twin] if twin is not None else problem.id
    return first
