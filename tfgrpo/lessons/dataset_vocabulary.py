"""What a dataset itself makes public: answers that recur, and words, numbers and phrases that many problems share.

A lesson that names the answer of the problem it came from is memory, where that answer is the problem's own. With a
set of labels, of options, of yes and no, every right lesson names an answer: what recurs over problems is no secret. So
what is secret is decided from the whole dataset, before anything is learned.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfgrpo.errors import UsageError
from tfgrpo.types import Problem

NGRAM = 8
"""So many words in a row make a phrase."""
RECURS = 2
"""An answer of so many different problems is a label."""
NUMBERS_RECUR = 5
"""Numbers are labels where each of them answers so many problems on average: ratings do, sums do not."""
SHARED = 3
"""A name, number or phrase that so many problems hold belongs to none of them."""
SHARE = 0.02
"""And at least this share of the problems."""
SHOWN = 6
MODES = ("dataset", "strict", "off")

_TOKEN = re.compile(r"[぀-ヿ㐀-鿿]|[^\W_぀-ヿ㐀-鿿]+")
_NUMERIC = re.compile(r"[-+$€£]?[., ]{0,3}\d[\d.,/ ]{0,60}%?")


@dataclass(frozen=True, slots=True)
class DatasetVocabulary:
    """What lessons may name."""

    answers: frozenset[str] = frozenset()
    """Answers that recur, as `plain_answer` writes them."""
    words: frozenset[str] = frozenset()
    """Words and numbers that many problems share, in small letters, and those of the recurring answers."""
    phrases: frozenset[str] = frozenset()
    """Runs of NGRAM words that more than one problem holds."""
    check: bool = True
    """False switches the check for leaks off."""
    labels: tuple[str, ...] = ()
    """The recurring answers as they were written, the most frequent first."""

    def holds(self, thing: str) -> bool:
        """Whether every word of a thing is public."""
        return all(word in self.words for word in tokens(thing)) and bool(tokens(thing))


EVERYTHING_SECRET = DatasetVocabulary()


def dataset_vocabulary(problems: Sequence[Problem], mode: str = "dataset") -> DatasetVocabulary:
    """Return what `problems` make public.

    Args:
        problems: all problems of a run, held-out ones as well.
        mode: `dataset`; `strict`, nothing is public; or `off`, nothing is checked.

    Raises:
        UsageError: a mode that does not exist.
    """
    if mode not in MODES:
        raise UsageError(f"lessons.leakage is {mode!r}; it is one of {', '.join(MODES)}")
    if mode != "dataset":
        return DatasetVocabulary(check=mode != "off")
    asked: dict[str, set[str]] = defaultdict(set)
    written: dict[str, str] = {}
    for problem in problems:
        for answer in _answers(problem):
            asked[plain_answer(answer)].add(" ".join(tokens(problem.question)))
            written.setdefault(plain_answer(answer), answer.strip())
    often = {answer: len(questions) for answer, questions in asked.items() if answer}
    labels = _labels(often)
    words = _shared(problems) | {word for label in labels for word in tokens(label)}
    shown = tuple(written[label] for label in sorted(labels, key=lambda label: (-often[label], label)))
    return DatasetVocabulary(frozenset(labels), frozenset(words), _phrases(problems), labels=shown)


def plain_answer(answer: str) -> str:
    """Write an answer so that case, spaces and signs at its ends make no difference."""
    return " ".join(answer.casefold().split()).strip(" .,;:!?\"'“”‘’`*()[]{}$")


def vocabulary_notice(public: DatasetVocabulary) -> str:
    """Return one sentence for the start of a run on what lessons may name; '' where every answer is a problem's own."""
    if not public.check:
        return "the check for leaked answers is off (lessons.leakage=off)"
    if not public.labels:
        return ""
    shown = ", ".join(label if len(label) < 30 else f"{label[:29]}…" for label in public.labels[:SHOWN])
    more = f" and {len(public.labels) - SHOWN} more" if len(public.labels) > SHOWN else ""
    return (
        f"{len(public.labels)} answers recur over problems ({shown}{more}): lessons may name them; "
        "-s lessons.leakage=strict forbids it"
    )


def tokens(text: str) -> list[str]:
    """Return the words of a text in small letters; each sign of a script without spaces is a word."""
    return _TOKEN.findall(text.casefold())


def _answers(problem: Problem) -> Iterable[str]:
    """The answer of a problem; of a list of labels each one, too."""
    answer = problem.answer or ""
    yield answer
    parts = re.split(r"[,;|/]\s?", answer)
    if 1 < len(parts) <= 12 and all(0 < len(part.split()) <= 4 for part in parts):
        yield from parts


def _labels(often: dict[str, int]) -> set[str]:
    numbers = {answer for answer in often if _NUMERIC.fullmatch(answer)}
    labels = {answer for answer, count in often.items() if count >= RECURS and answer not in numbers}
    if numbers and sum(often[n] for n in numbers) >= NUMBERS_RECUR * len(numbers):
        labels |= {n for n in numbers if often[n] >= RECURS}
    return labels


def _shared(problems: Sequence[Problem]) -> set[str]:
    """Words that enough problems hold, in their question or in what comes with it."""
    counts: Counter[str] = Counter()
    for problem in problems:
        counts.update(set(tokens(problem.question)))
    least = max(SHARED, SHARE * len(problems))
    return {word for word, count in counts.items() if count >= least}


def _phrases(problems: Sequence[Problem]) -> frozenset[str]:
    counts: Counter[str] = Counter()
    for problem in problems:
        words = tokens(problem.question)
        counts.update({" ".join(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)})
    return frozenset(phrase for phrase, count in counts.items() if count >= RECURS)
