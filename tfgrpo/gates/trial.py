"""The gate's laboratory: real rollouts on held-out problems, and log-probs of rollouts that are already there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan

from experience_db import Library
from tfgrpo.edit_scores.teacher_forced import Likelihood
from tfgrpo.edit_scores.tokens import LogProbs
from tfgrpo.errors import UsageError
from tfgrpo.gates.base import TOKENS, Missing, Observation
from tfgrpo.lessons.summarize import paraphrase
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.rollout import Actor, Graded, measure
from tfgrpo.types import Failure, FailureKind, Group, Problem, Proposal, Rollout, Sampling, Score, Verdict

OUTAGES = frozenset({FailureKind.RATE_LIMITED, FailureKind.PROVIDER, FailureKind.GRADER, FailureKind.BUDGET})
"""Failures that say nothing about the text under test; every other kind is the rollout's own fault."""


def observation_of(graded: Graded) -> Observation:
    """Return what a graded rollout shows: its score, the named parts of it, and the tokens it wrote."""
    failure = graded.rollout.failure or graded.score.failure
    named = {part.name: part.value for part in _parts(graded.score) if part.name and part.value is not None}
    objectives = {**named, TOKENS: float(graded.rollout.usage.completion_tokens)}
    if graded.score.value is None:
        return Observation(nan, _missing(failure), objectives)
    return Observation(graded.score.value, None, objectives)


def _parts(score: Score) -> tuple[Score, ...]:
    return score.parts or (score,)


def _missing(failure: Failure | None) -> Missing:
    return Missing.OUTAGE if failure is None or failure.kind in OUTAGES else Missing.OWN_FAULT


@dataclass(frozen=True, slots=True)
class HeldoutTrial:
    """What a gate may ask for during a run."""

    actor: Actor
    problems: tuple[Problem, ...]
    """The gate's pool."""
    sampling: Sampling
    """How gate rollouts are drawn."""
    seed: int
    groups: tuple[Group, ...] = ()
    """Graded groups of the learning problems, newest first."""
    rollouts: Mapping[str, Rollout] | None = None
    """A rollout of each held-out problem, by problem id."""
    likelihood: Likelihood | None = None
    teacher: Teacher | None = None
    """A summarizer able to say a lesson in other words."""
    on_policy: bool = True
    """Whether learning rollouts were drawn as the scorer measures: temperature 1, no top-p."""
    observe: Callable[[Graded], Observation] = observation_of
    """What a graded rollout counts as: the run's reward, in [0, 1], and its objectives."""
    prove_on: Callable[[Proposal], tuple[Problem, ...]] | None = None
    """Which problems may prove a proposal; None is the whole pool."""
    named: tuple[str, ...] = ()
    """The named scores that the grader gives, if it gives several."""
    decided: Callable[[Verdict, int], None] | None = None
    """Called with each verdict of a test as soon as it is there, and how many edits of the gate wait for theirs."""

    def tell(self, verdict: Verdict, left: int) -> None:
        """Pass on a verdict that was just reached; `left` edits wait for theirs."""
        if self.decided is not None:
            self.decided(verdict, left)

    def problems_for(self, proposal: Proposal) -> tuple[Problem, ...]:
        """Return the problems that may prove a proposal: the whole pool, or those that did not suggest it."""
        return self.problems if self.prove_on is None else self.prove_on(proposal)

    @property
    def can_score(self) -> bool:
        """Whether log-probs of stored rollouts can be had."""
        return self.likelihood is not None

    def stored(self, problem: Problem) -> Rollout | None:
        """Return the rollout that an earlier measurement made of a held-out problem."""
        return (self.rollouts or {}).get(problem.id)

    async def log_probs(
        self, library: Library, pairs: Sequence[tuple[Problem, Rollout]], *, attempt: int = 0
    ) -> LogProbs:
        """Return teacher-forced log-probs of stored rollouts; () where there are none.

        Raises:
            UsageError: the run has no scorer.
        """
        if self.likelihood is None:
            raise UsageError("the gate asks for edit scores, but the run has no scorer; use --gate likelihood")
        return await self.likelihood.log_probs(library, pairs, attempt=attempt)

    def token_texts(self, rollout: Rollout) -> tuple[str, ...] | None:
        """Return what each token of a scored rollout spells; None where the endpoint does not say."""
        return None if self.likelihood is None else self.likelihood.token_texts(rollout)

    async def paraphrase(self, text: str) -> str | None:
        """Return a lesson in other words; None without a summarizer of its own."""
        return None if self.teacher is None else await paraphrase(self.teacher, text)

    async def measure(self, library: Library, cases: Sequence[tuple[Problem, int]]) -> tuple[Observation, ...]:
        """Return what one rollout per (problem, seed index) showed."""
        graded = await measure(self.actor, library, cases, self.sampling, "gate")
        return tuple(self.observe(g) for g in graded)
