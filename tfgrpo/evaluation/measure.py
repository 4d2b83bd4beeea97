"""Evaluation: k rollouts of every problem under one library version, and what can be said about the mean."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from experience_db import Library
from experience_db.frames import html_table
from tfgrpo import stats
from tfgrpo.errors import NothingLearned, UsageError
from tfgrpo.learning.record_step import count_each
from tfgrpo.prompting.templates import Prompts
from tfgrpo.rollout import Actor, Graded, measure
from tfgrpo.types import Failure, Problem, Sampling, Usage

CONTROLS = ("empty", "filler", "shuffled")
SOLVED = 1.0 - 1e-9
"""A rollout counts as solved, for pass@k, from this reward on."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What k rollouts per problem showed."""

    problems: tuple[Problem, ...]
    graded_P_K: tuple[tuple[Graded, ...], ...]

    @property
    def means_P(self) -> tuple[float, ...]:
        """Mean reward per problem over its scored rollouts; nan where none was scored."""
        return tuple(_mean([g.reward for g in graded_K]) for graded_K in self.graded_P_K)

    def __repr__(self) -> str:
        """Return one line: how much was measured, and the mean."""
        mean = _mean(self.means_P)
        return f"Evaluation({len(self.problems)} problems, {len(self.graded_P_K[0])} rollouts each, mean {mean:.3f})"

    def records(self) -> list[dict[str, Any]]:
        """Return a plain row for each problem; `reward` is None where no rollout was scored."""
        return [
            {"id": problem.id, "question": problem.question, "answer": problem.answer,
             "reward": None if math.isnan(mean) else mean,
             "scored": sum(not math.isnan(g.reward) for g in graded_K), "said": graded_K[0].rollout.answer}
            for problem, mean, graded_K in zip(self.problems, self.means_P, self.graded_P_K, strict=True)
        ]  # fmt: skip

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a row for each problem."""
        rows = [(r["id"], r["question"], r["answer"], r["said"], r["reward"]) for r in self.records()]
        return html_table(repr(self), ("problem", "question", "reference", "first answer", "reward"), rows)

    @property
    def usage(self) -> Usage:
        """What all rollouts consumed."""
        return sum((g.rollout.usage for graded_K in self.graded_P_K for g in graded_K), Usage())

    @property
    def scored(self) -> int:
        """How many problems have a score, which is what the figures are about."""
        return sum(not math.isnan(mean) for mean in self.means_P)

    @property
    def failures(self) -> dict[str, int]:
        """How many rollouts have no score, by reason."""
        return count_each(f.kind.value for f in self._failed)

    @property
    def left_out(self) -> str:
        """A sentence on the rollouts that are in no figure, and why; empty where all have a score."""
        failed, all_ = self._failed, sum(map(len, self.graded_P_K))
        if not failed:
            return ""
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.failures.items())
        most = "most of what was asked is in no figure: " if 2 * len(failed) > all_ else ""
        return f"{most}{len(failed)} of {all_} rollouts have no score ({kinds}); for instance: {failed[0].message}"

    @property
    def _failed(self) -> list[Failure]:
        return [g.score.failure for graded_K in self.graded_P_K for g in graded_K if g.score.failure]


async def evaluate(
    actor: Actor, library: Library, problems: Sequence[Problem], sampling: Sampling, k: int = 1, *, first: int = 0
) -> Evaluation:
    """Roll out every problem k times under `library`, with the seed indices from `first` on.

    Raises:
        NothingLearned: not one rollout could be scored; the message names the commonest failure.
        BudgetReached: a budget did not admit all rollouts.
    """
    cases = [(problem, index) for problem in problems for index in range(first, first + k)]
    graded = await measure(actor, library, cases, sampling, "evaluate")
    found = Evaluation(tuple(problems), tuple(graded[i : i + k] for i in range(0, len(graded), k)))
    if all(math.isnan(m) for m in found.means_P):
        reasons = [g.score.failure.message for g in graded if g.score.failure] or ["no rollout was scored"]
        raise NothingLearned(f"nothing could be measured on {len(problems)} problems: {reasons[0]}")
    return found


def control_library(name: str, library: Library, prompts: Prompts, seed: int) -> Library:
    """Return the library that control `name` compares with.

    `empty` has no lessons. `filler` has as many lessons of the same length that say nothing. `shuffled` has the same
    words in random order, so that only their meaning is gone.
    """
    if name == "empty":
        return replace(library, lessons=())
    if name == "filler":
        words = prompts.render("controls/filler").split()
        texts = [_filler(words, len(lesson.text.split()), lesson.id) for lesson in library.lessons]
    elif name == "shuffled":
        texts = [_shuffled(lesson.text, f"{seed}:{lesson.id}") for lesson in library.lessons]
    else:
        raise UsageError(f"no control {name!r}; there are: {', '.join(CONTROLS)}")
    lessons = tuple(replace(lesson, text=text) for lesson, text in zip(library.lessons, texts, strict=True))
    return replace(library, lessons=lessons)


def summary(found: Evaluation, k: int, seed: int) -> dict[str, Any]:
    """Return mean@k with its interval, pass@k and pass^k as `eval --json` prints them."""
    scored = [m for m in found.means_P if not math.isnan(m)]
    low, high = stats.bootstrap_mean(scored, seed=seed)
    return {
        "problems": len(found.problems),
        "k": k,
        "mean": sum(scored) / len(scored),
        "ci": [low, high],
        "pass_at": _over_k(found, stats.pass_at_k),
        "pass_hat": _over_k(found, stats.pass_hat_k),
        "failures": found.failures,
    }


def control_result(found: Evaluation, other: Evaluation, seed: int) -> dict[str, Any]:
    """Return what a control showed, and the library's paired difference to it."""
    scored = [m for m in other.means_P if not math.isnan(m)]
    low, high = stats.bootstrap_mean(scored, seed=seed)
    diff = stats.paired_difference(other.means_P, found.means_P, seed=seed)
    return {
        "mean": sum(scored) / len(scored),
        "ci": [low, high],
        "diff": diff.diff,
        "diff_ci": [diff.low, diff.high],
        "p": diff.p,
    }


def _over_k(found: Evaluation, estimator: Any) -> dict[str, float]:
    """Mean of an estimator over problems, for each k that every problem's scored rollouts allow."""
    counts = []
    for graded_K in found.graded_P_K:
        rewards = [g.reward for g in graded_K if not math.isnan(g.reward)]
        if rewards:
            counts.append((len(rewards), sum(r >= SOLVED for r in rewards)))
    most = min(n for n, _ in counts)
    ks = [2**i for i in range(most.bit_length()) if 2**i <= most]
    ks += [most] if most not in ks else []
    return {str(k): sum(estimator(n, c, k) for n, c in counts) / len(counts) for k in ks}


def _filler(words: Sequence[str], length: int, start: int) -> str:
    return " ".join(words[(start * 7 + i) % len(words)] for i in range(length))


def _shuffled(text: str, seed: str) -> str:
    words = text.split()
    random.Random(seed).shuffle(words)
    return " ".join(words)


def _mean(values: Sequence[float]) -> float:
    scored = [v for v in values if not math.isnan(v)]
    return sum(scored) / len(scored) if scored else math.nan
