"""A trial whose rewards come from a function of lessons, problem and seed index; it remembers what it was asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from experience_db import Edit, Lesson, Library, Op
from tfgrpo.types import Problem, Proposal

OPERATORS = ("glorp", "dax", "wug", "blick")


def worded_pool(n: int = 64) -> tuple[Problem, ...]:
    """Problems of which each operator names a quarter."""
    return tuple(Problem(f"p{i}", f"Compute {i} {OPERATORS[i % 4]} 3.") for i in range(n))


def library_of(*texts: str) -> Library:
    """A library with lessons 1, 2, ... of these words."""
    return Library("lib", 3, tuple(Lesson(i, text, 1, 1) for i, text in enumerate(texts, 1)))


def add(text: str) -> Proposal:
    """A proposal to add a lesson."""
    return Proposal(Edit(Op.ADD, text))


@dataclass
class Table:
    """Rewards by rule, in the form of a trial."""

    reward: Callable[[frozenset[str], Problem, int], float]
    """From lesson texts, problem and seed index."""
    problems: tuple[Problem, ...] = field(default_factory=worded_pool)
    asked: list[tuple[tuple[str, ...], tuple[tuple[str, int], ...]]] = field(default_factory=list)
    """Each call: lesson texts, and (problem id, seed index) of its cases."""

    async def measure(self, library: Library, cases: Sequence[tuple[Problem, int]]) -> tuple[float, ...]:
        """Look the rewards up."""
        texts = tuple(lesson.text for lesson in library.lessons)
        self.asked.append((texts, tuple((problem.id, index) for problem, index in cases)))
        return tuple(self.reward(frozenset(texts), problem, index) for problem, index in cases)

    @property
    def rollouts(self) -> list[tuple[tuple[str, ...], str, int]]:
        """Each single rollout made."""
        return [(texts, problem, index) for texts, cases in self.asked for problem, index in cases]


def solves(word: str, *lessons: str, base: float = 0.0) -> Callable[[frozenset[str], Problem, int], float]:
    """Reward 1 on problems with `word` when any of `lessons` is there, else `base`."""

    def reward(texts: frozenset[str], problem: Problem, index: int) -> float:
        return 1.0 if word in problem.question and texts & set(lessons) else base

    return reward
