"""A grader sees a whole group and gives one score per rollout, in order; what cannot be scored is unscored, never 0."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tfgrpo.boundary import boundary, failure_of
from tfgrpo.errors import BudgetReached, EndpointError, GraderError, MalformedReply, ProviderError
from tfgrpo.types import Failure, FailureKind, Problem, Rollout, Score


class Grader(Protocol):
    """One-method interface: the group in, one score per rollout out, in the same order."""

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout of one problem."""
        ...


Returned = float | bool | Score | Mapping[str, float | Sequence[float | None] | None] | None
UserGrader = Callable[[Problem, Rollout], Returned | Awaitable[Returned]]


@dataclass(frozen=True, slots=True)
class FunctionGrader:
    """A user's function as a grader: each rollout on its own, in order."""

    function: UserGrader
    name: str

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout; one that raises costs its own score only."""
        return tuple([await self._score(problem, rollout) for rollout in rollouts])

    async def _score(self, problem: Problem, rollout: Rollout) -> Score:
        """Call the function, in a thread unless it is a coroutine function, and read what it returns."""
        try:
            with boundary(GraderError, f"grader {self.name!r}"):
                if _is_async(self.function):
                    returned = self.function(problem, rollout)
                else:
                    returned = await asyncio.to_thread(self.function, problem, rollout)
                if inspect.isawaitable(returned):
                    returned = await returned
        except EndpointError:
            raise
        except (GraderError, ProviderError, MalformedReply, BudgetReached) as error:
            return Score(None, failure=failure_of(error))
        return as_score(returned, self.name)


def from_function(function: UserGrader, name: str | None = None) -> FunctionGrader:
    """Make a grader of `def my_grader(problem, rollout) -> float | Score | dict`, sync or async.

    A dict of named values is their mean, and `advantage = "gdpo"` keeps them apart; one that is missing leaves the
    rollout unscored. Its key `steps` may hold a value for each assistant message, None where there is none: they are no
    part of the mean, and `advantage = "process"` or `"gae"` credits steps by them.

    True and False count 1 and 0, nan and None leave the rollout unscored, and an exception becomes a failure.
    """
    return FunctionGrader(function, name or str(getattr(function, "__name__", type(function).__name__)))


async def grade(grader: Grader, problem: Problem, rollouts: Sequence[Rollout], name: str = "") -> tuple[Score, ...]:
    """Scores for all rollouts of a group, in order; the only way graders should be called.

    Failed rollouts stay unscored with their own failure and the grader never sees them. A grader that raises, or
    returns anything but one score per rollout, leaves the rest of the group unscored with a GRADER failure; a model
    call of a judge that failed, or a budget that ended, keeps its own kind. An EndpointError ends the run.
    """
    name = name or type(grader).__name__
    live = [rollout for rollout in rollouts if rollout.failure is None]
    scored: Sequence[Score] = ()
    try:
        with boundary(GraderError, f"grader {name!r}"):
            if live:
                scored = [as_score(score, name) for score in await grader(problem, live)]
            _check_count(name, scored, live)
            scored = [_with_steps(name, score, rollout) for score, rollout in zip(scored, live, strict=True)]
    except EndpointError:
        raise
    except (GraderError, ProviderError, MalformedReply, BudgetReached) as error:
        scored = [Score(None, failure=failure_of(error))] * len(live)
    given = iter(scored)
    return tuple(next(given) if r.failure is None else Score(None, failure=r.failure) for r in rollouts)


def as_score(returned: object, name: str) -> Score:
    """Read what a grader returned: a Score, a number, a bool, or None; anything else is a failure that says so."""
    if isinstance(returned, Score):
        if returned.value is None or math.isfinite(returned.value):
            return returned
        return replace(returned, value=None, failure=returned.failure or _not_finite(name, returned.value))
    if returned is None:
        return Score(None, why="the grader gave no score")
    if isinstance(returned, Mapping):
        named = {str(key): value for key, value in returned.items() if key != "steps"}
        parts = tuple(replace(as_score(value, name), name=key) for key, value in named.items())
        return _stepped(_combined(parts), returned.get("steps"), name)
    try:
        with boundary(GraderError, f"grader {name!r}"):
            value = float(returned)  # type: ignore[arg-type]
    except GraderError:
        words = f"grader {name!r} returned {type(returned).__name__}; return a number, a Score or None"
        return Score(None, failure=Failure(FailureKind.GRADER, words))
    return Score(value) if math.isfinite(value) else Score(None, failure=_not_finite(name, value))


def _combined(parts: tuple[Score, ...]) -> Score:
    """Several named scores as one: their mean, unscored as soon as one of them is."""
    values = [part.value for part in parts if part.value is not None]
    if not parts or len(values) < len(parts):
        failed = next((part.failure for part in parts if part.failure), None)
        return Score(None, why="a named score is missing", failure=failed, parts=parts)
    said = ", ".join(f"{part.name} {part.value:g}" for part in parts)
    return Score(math.fsum(values) / len(values), said, parts=parts)


def _stepped(score: Score, steps: object, name: str) -> Score:
    """Put a score for each step beside the whole; a step without a finite number is nan."""
    if steps is None:
        return score
    try:
        with boundary(GraderError, f"grader {name!r}"):
            values = tuple(math.nan if v is None else float(v) for v in steps)  # type: ignore[attr-defined]
    except GraderError:
        words = f"grader {name!r} returned steps that are no list of numbers; give one for each assistant message"
        return replace(score, value=None, failure=Failure(FailureKind.GRADER, words))
    return replace(score, steps=tuple(v if math.isfinite(v) else math.nan for v in values))


def _with_steps(name: str, score: Score, rollout: Rollout) -> Score:
    """Refuse step rewards that cannot be matched to the assistant messages of their rollout."""
    if not score.steps or len(score.steps) == rollout.turns:
        return score
    words = f"grader {name!r} rewarded {len(score.steps)} steps of a rollout with {rollout.turns} assistant messages"
    return replace(score, value=None, steps=(), failure=score.failure or Failure(FailureKind.GRADER, words))


def unscored(message: str, kind: FailureKind = FailureKind.GRADER) -> Score:
    """A score without a value, and why."""
    return Score(None, failure=Failure(kind, message))


def judged(right: bool, got: str, wanted: str) -> Score:
    """1 or 0, with the words every comparing grader uses."""
    got, wanted = _short(got), _short(wanted)
    return Score(1.0, f"correct: {got!r}") if right else Score(0.0, f"wrong: got {got!r}, expected {wanted!r}")


def reference_of(problem: Problem) -> str | None:
    """The reference answer; None where there is none or only white space, which says as little."""
    return problem.answer if problem.answer is not None and problem.answer.strip() else None


def no_reference(problem: Problem) -> Score:
    """The score of any answer to a problem that has no reference answer."""
    return unscored(f"problem {problem.id!r} has no reference answer to compare with; use a judge or your own grader")


def _check_count(name: str, scored: Sequence[Score], live: Sequence[Rollout]) -> None:
    """A grader that loses or invents a score cannot be matched to its rollouts."""
    if len(scored) != len(live):
        raise GraderError(f"grader {name!r} returned {len(scored)} scores for {len(live)} rollouts")


def _is_async(function: object) -> bool:
    """Whether calling it gives a coroutine, also for objects with an async `__call__`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _not_finite(name: str, value: float) -> Failure:
    """The failure of nan and infinity."""
    return Failure(FailureKind.GRADER, f"grader {name!r} returned {value}")


def _short(text: str) -> str:
    """Text fit for one line of a report."""
    text = " ".join(text.split())
    return text if len(text) <= 120 else text[:119] + "…"
