"""A gate turns proposals into verdicts by asking a trial for rewards of single held-out rollouts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from math import isnan, nan
from typing import Protocol

from experience_db import Library
from tfgrpo.errors import UsageError
from tfgrpo.types import Problem, Proposal, Verdict

Case = tuple[Problem, int]
"""A problem and the index of the seed of one rollout on it."""

TOKENS = "tokens"
"""The objective that counts completion tokens; its values are plain counts, and fewer are better."""

REDRAWS = 2
"""How often rollouts that an outage hit are drawn again before they count as missing."""

UNJUDGED = "no edit score"
"""How the reason of a verdict begins that is none: nothing was there yet to judge the edit by."""


def final(verdict: Verdict) -> bool:
    """Say whether a verdict refuses, which stands while the library does; what was not judged is asked again."""
    refuses = verdict.decision not in ("accepted", "untested")
    return refuses and not verdict.reason.startswith(UNJUDGED)


class Missing(StrEnum):
    """Why a rollout has no reward."""

    OWN_FAULT = "own fault"
    """The text it wrote was cut, empty, too long or too slow: 0 where the other side was scored."""
    OUTAGE = "outage"
    """Nothing that the text did: an endpoint or a grader failed. Drawn again, then missing."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one rollout of a trial showed."""

    reward: float = nan
    """In [0, 1], as the run's reward function maps it; nan when it is missing."""
    missing: Missing | None = None
    """Why there is no reward; None when there is one."""
    objectives: Mapping[str, float] = field(default_factory=dict)
    """Value of each objective by name, in [0, 1], more is better; `tokens` is a count, and less is better."""

    @property
    def scored(self) -> bool:
        """Whether there is a reward."""
        return not isnan(self.reward)


class Trial(Protocol):
    """Held-out problems, and the means to roll them out under any library.

    A trial may offer more, which gates ask for by name: `problems_for`, `tell`, and log-probs of stored rollouts.
    """

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The gate's pool, disjoint from the problems that teach and from those of the final test."""
        ...

    async def measure(self, library: Library, cases: Sequence[Case]) -> Sequence[Observation | float]:
        """Return what one rollout per (problem, seed index) showed, in the order of `cases`.

        A bare number stands for an observation of that reward, nan for one that is missing by its own fault. The
        sampling noise must depend on problem and seed index alone, so that two libraries meet the same noise; a
        sampler that ignores seeds costs power, not validity.
        """
        ...


def pool_for(trial: Trial, proposal: Proposal) -> tuple[Problem, ...]:
    """Return the problems that may prove `proposal`: `trial.problems_for(proposal)` where there is one, else all."""
    own = getattr(trial, "problems_for", None)
    return trial.problems if own is None else tuple(own(proposal))


def tell(trial: Trial, verdict: Verdict, left: int) -> None:
    """Tell a trial that listens, `trial.tell`, what was just decided, and how many edits wait for their test."""
    listens = getattr(trial, "tell", None)
    if listens is not None:
        listens(verdict, left)


class Gate(Protocol):
    """Decides which proposed edits enter the library."""

    async def __call__(self, library: Library, proposals: Sequence[Proposal], trial: Trial) -> tuple[Verdict, ...]:
        """Return one verdict per proposal, in their order; the edits of the accepted ones may be committed together."""
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """Observations of a batch of cases, and what they cost."""

    observations: tuple[Observation, ...]
    new: int
    """Cases that were asked of the trial; the others were known."""

    @property
    def rewards(self) -> tuple[float, ...]:
        """The rewards alone; nan where one is missing, for whatever reason."""
        return tuple(o.reward for o in self.observations)


@dataclass(slots=True)
class Rewards:
    """Observations known in this run, by lessons, problem and seed index.

    One object serves all gates of a run, so that a baseline is paid for once and the rollouts of an accepted candidate
    are the next baseline (they were selected, so it is a little lucky). Each case has its own seed index: no rollout
    ever stands in for a second pass. Rollouts without a reward are not kept, the next gate asks for them again.
    """

    _known: dict[tuple[bytes, str, int], Observation] = field(default_factory=dict)

    async def measure(self, trial: Trial, library: Library, cases: Sequence[Case]) -> Measured:
        """Return the observations of `cases` under `library`, asking `trial` for the unknown ones in one batch.

        What an outage hit is asked again, `REDRAWS` times at most. Raises UsageError when a reward lies outside
        [0, 1].
        """
        key = fingerprint(library)
        unknown = [case for case in cases if (key, case[0].id, case[1]) not in self._known]
        fresh: dict[tuple[str, int], Observation] = {}
        asked = unknown
        for _ in range(REDRAWS + 1):
            if not asked:
                break
            for (problem, index), told in zip(asked, await trial.measure(library, asked), strict=True):
                fresh[problem.id, index] = observation(told, problem)
            asked = [(p, i) for p, i in asked if fresh[p.id, i].missing is Missing.OUTAGE]
        for (problem_id, index), found in fresh.items():
            if found.scored:
                self._known[key, problem_id, index] = found
        found_all = tuple(
            fresh[problem.id, index] if (problem.id, index) in fresh else self._known[key, problem.id, index]
            for problem, index in cases
        )
        return Measured(found_all, len(unknown))


def observation(told: Observation | float, problem: Problem) -> Observation:
    """Return what a trial told about a rollout of `problem` as an observation.

    Raises:
        UsageError: the reward lies outside [0, 1].
    """
    if not isinstance(told, Observation):
        told = Observation(nan, Missing.OWN_FAULT) if isnan(told) else Observation(float(told))
    elif told.scored == (told.missing is not None):
        told = Observation(nan, told.missing or Missing.OWN_FAULT, told.objectives)
    if told.scored and not 0.0 <= told.reward <= 1.0:
        raise UsageError(
            f"the gate got reward {told.reward:g} on problem {problem.id!r}, but its test needs rewards in [0, 1]; "
            "rescale the reward, or use --gate open"
        )
    return told


def fingerprint(library: Library) -> bytes:
    """Return a digest of the template and the ids and words of the lessons: all that a rollout sees of a library."""
    digest = blake2b(library.template.encode("utf-8", "surrogatepass"), digest_size=16)
    for lesson in library.lessons:
        text = lesson.text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%d:" % (lesson.id, len(text)) + text)
    return digest.digest()


def rewards_of(told: Iterable[Observation | float]) -> tuple[float, ...]:
    """Return the rewards of observations or bare numbers; nan where one is missing."""
    return tuple(o.reward if isinstance(o, Observation) else float(o) for o in told)
