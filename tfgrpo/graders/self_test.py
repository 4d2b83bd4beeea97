"""Can a grader be trusted? Known pairs that it must decide, and answers that only pretend, which it must refuse."""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from tfgrpo import stats
from tfgrpo.errors import BudgetReached, NothingLearned
from tfgrpo.executors import Executor, Local
from tfgrpo.graders.base import Grader, grade
from tfgrpo.types import FailureKind, Problem, Rollout, Score

ACCEPTED = 0.75
"""From this value on an answer counts as accepted; graders of groups give shares."""
SLIPS = 1
"""Known pairs that a judge may miss: nobody is perfect, and two of twelve is no accident."""
_LONG = 30_000


@dataclass(frozen=True, slots=True)
class Trial:
    """One answer whose worth is known."""

    name: str
    """`right`, `wrong`, or the name of an attack."""
    problem: Problem
    answer: str


@dataclass(frozen=True, slots=True)
class Suspicion:
    """How often a grader accepted what it must not, and refused what it must not."""

    judged: int
    """Attacks that got a value."""
    accepted: int
    unscored: int
    """Attacks without a value: no acceptance, and no judgement either."""
    by_attack: dict[str, tuple[int, int]]
    """Accepted and judged, for each attack."""
    right_refused: int
    right: int
    wrong_accepted: int
    wrong: int
    failures: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """False-accept rate; nan where nothing was judged."""
        return self.accepted / self.judged if self.judged else math.nan

    def summary(self) -> dict[str, Any]:
        """Return the figures as plain data, with Wilson's interval of the rate."""
        interval = stats.wilson(self.accepted, self.judged) if self.judged else (None, None)
        return {
            "attacks": self.judged + self.unscored,
            "judged": self.judged,
            "false_accepts": self.accepted,
            "false_accept_rate": self.rate if self.judged else None,
            "ci": list(interval),
            "unscored": self.unscored,
            "by_attack": {name: {"accepted": a, "judged": n} for name, (a, n) in self.by_attack.items()},
            "right_answers": {"refused": self.right_refused, "judged": self.right},
            "wrong_answers": {"accepted": self.wrong_accepted, "judged": self.wrong},
            "failures": dict(Counter(self.failures)),
        }


def known_pairs(*, by_rubric: bool = False) -> tuple[Trial, ...]:
    """A right and a wrong answer to each question; with `by_rubric` there is a rubric in place of a reference."""
    return tuple(
        Trial(name, _problem(row, by_rubric=by_rubric), row[name])
        for row in _table()["question"]
        for name in ("right", "wrong")
    )


def attacks(*, by_rubric: bool = False) -> tuple[Trial, ...]:
    """Every attack on every question."""
    words = "it is to be considered that one has to weigh all sides of the matter with care and without haste, and "
    long = (words * (_LONG // len(words) + 1))[:_LONG]
    return tuple(
        Trial(attack["name"], _problem(row, by_rubric=by_rubric), attack["text"].format(**row, long=long))
        for row in _table()["question"]
        for attack in _table()["attack"]
    )


async def self_check(
    grader: Grader,
    *,
    by_rubric: bool = False,
    in_groups: bool = False,
    executor: Executor = Local(),  # noqa: B008
) -> None:
    """Let a judge decide the known pairs: each answer alone, or with `in_groups` the two of a question together.

    Raises:
        NothingLearned: it missed more than SLIPS of them, in one sentence that says what and what to do.
        BudgetReached: its budget ended before it could be checked.
        EndpointError: its endpoint can never answer.
    """
    pairs = known_pairs(by_rubric=by_rubric)
    scores = await (_together if in_groups else _graded)(grader, pairs, executor)
    missed = [(t, s) for t, s in zip(pairs, scores, strict=True) if s.value != float(t.name == "right")]
    for _, score in missed:
        if score.failure and score.failure.kind is FailureKind.BUDGET:
            raise BudgetReached(score.failure.message)
    if len(missed) > SLIPS:
        trial, score = missed[0]
        gave = score.failure.message if score.failure else score.why or "no verdict"
        said = f"to {trial.problem.question!r} the {trial.name} answer {trial.answer!r} got: {gave}"
        raise NothingLearned(
            f"the judge missed {len(missed)} of {len(pairs)} known pairs and nothing was run ({said}); choose another "
            "grader.model, or skip the check with -s grader.self_check=false"
        )


async def suspicion(grader: Grader, *, by_rubric: bool = False, executor: Executor = Local()) -> Suspicion:  # noqa: B008
    """Put every attack and every known pair before a grader, each answer alone."""
    tried, pairs = attacks(by_rubric=by_rubric), known_pairs(by_rubric=by_rubric)
    scores = await _graded(grader, (*tried, *pairs), executor)
    attacked, known = scores[: len(tried)], list(zip(pairs, scores[len(tried) :], strict=True))
    judged = [(t, s.value) for t, s in zip(tried, attacked, strict=True) if s.value is not None]
    names = dict.fromkeys(t.name for t in tried)
    hits = Counter(t.name for t, value in judged if value >= ACCEPTED)
    counts = Counter(t.name for t, _ in judged)
    values = {
        name: [s.value for t, s in known if t.name == name and s.value is not None] for name in ("right", "wrong")
    }
    return Suspicion(
        len(judged),
        hits.total(),
        len(tried) - len(judged),
        {name: (hits[name], counts[name]) for name in names},
        sum(v < ACCEPTED for v in values["right"]),
        len(values["right"]),
        sum(v >= ACCEPTED for v in values["wrong"]),
        len(values["wrong"]),
        tuple(s.failure.kind.value for s in scores if s.failure),
    )


async def _graded(grader: Grader, trials: Sequence[Trial], executor: Executor) -> list[Score]:
    async def one(trial: Trial) -> Score:
        (score,) = await grade(grader, trial.problem, (Rollout(trial.problem.id, 0, answer=trial.answer),))
        return score

    return await executor.run([partial(one, trial) for trial in trials], limit=16)


async def _together(grader: Grader, trials: Sequence[Trial], executor: Executor) -> list[Score]:
    """Grade the right and the wrong answer to each question as one group; 1 and 0 where the right one is ahead."""

    async def two(right: Trial, wrong: Trial) -> list[Score]:
        answers = [Rollout(right.problem.id, i, answer=trial.answer) for i, trial in enumerate((right, wrong))]
        better, worse = await grade(grader, right.problem, answers)
        if better.value is None or worse.value is None:
            return [better, worse]
        ahead = float(better.value > worse.value)
        return [replace(better, value=ahead), replace(worse, value=1 - ahead)]

    found = await executor.run([partial(two, a, b) for a, b in zip(trials[::2], trials[1::2], strict=True)], limit=16)
    return [score for group in found for score in group]


def _problem(row: dict[str, str], *, by_rubric: bool) -> Problem:
    if by_rubric:
        return Problem(row["id"], row["question"], None, {"rubric": row["rubric"]})
    return Problem(row["id"], row["question"], row["reference"])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("self_test.toml").read_text(encoding="utf-8"))
