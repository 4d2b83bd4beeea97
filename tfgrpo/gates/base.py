"""A gate turns proposals into verdicts by asking a trial for rewards of single held-out rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import isnan
from typing import Protocol

from experience_db import Library
from tfgrpo.errors import UsageError
from tfgrpo.types import Problem, Proposal, Verdict

Case = tuple[Problem, int]
"""A problem and the index of the seed of one rollout on it."""


UNJUDGED = "no edit score"
"""How the reason of a verdict begins that is none: nothing was there yet to judge the edit by."""


def final(verdict: Verdict) -> bool:
    """Say whether a verdict refuses, which stands while the library does; what was not judged is asked again."""
    return verdict.decision != "accepted" and not verdict.reason.startswith(UNJUDGED)


class Trial(Protocol):
    """Held-out problems, and the means to roll them out under any library."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The gate's pool, disjoint from the problems that teach and from those of the final test."""
        ...

    async def measure(self, library: Library, cases: Sequence[Case]) -> tuple[float, ...]:
        """Return the reward in [0, 1] of one rollout per (problem, seed index), in the order of `cases`.

        nan stands for a rollout that failed or could not be scored. The sampling noise must depend on problem and seed
        index alone, so that two libraries meet the same noise; a sampler that ignores seeds costs power, not validity.
        """
        ...


class Gate(Protocol):
    """Decides which proposed edits enter the library."""

    async def __call__(self, library: Library, proposals: Sequence[Proposal], trial: Trial) -> tuple[Verdict, ...]:
        """Return one verdict per proposal, in their order; the edits of the accepted ones may be committed together."""
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """Rewards of a batch of cases, and what they cost."""

    rewards: tuple[float, ...]
    new: int
    """Rollouts that were asked of the trial; the other rewards were known."""


@dataclass(slots=True)
class Rewards:
    """Rewards known in this run, by lessons, problem and seed index.

    One object serves all gates of a run, so that a baseline is paid for once and the rollouts of an accepted candidate
    are the next baseline (they were selected, so it is a little lucky). Each case has its own seed index: no rollout
    ever stands in for a second pass. Failed rollouts are not kept, the next gate asks for them again.
    """

    _known: dict[tuple[bytes, str, int], float] = field(default_factory=dict)

    async def measure(self, trial: Trial, library: Library, cases: Sequence[Case]) -> Measured:
        """Return the rewards of `cases` under `library`, asking `trial` for the unknown ones in one batch.

        Raises UsageError when a reward lies outside [0, 1].
        """
        key = fingerprint(library)
        missing = [case for case in cases if (key, case[0].id, case[1]) not in self._known]
        fresh: dict[tuple[str, int], float] = {}
        if missing:
            rewards = await trial.measure(library, missing)
            for (problem, index), reward in zip(missing, rewards, strict=True):
                fresh[problem.id, index] = _checked(reward, problem)
        for (problem_id, index), reward in fresh.items():
            if not isnan(reward):
                self._known[key, problem_id, index] = reward
        found = tuple(
            fresh[problem.id, index] if (problem.id, index) in fresh else self._known[key, problem.id, index]
            for problem, index in cases
        )
        return Measured(found, len(missing))


def fingerprint(library: Library) -> bytes:
    """Return a digest of the template and the ids and words of the lessons: all that a rollout sees of a library."""
    digest = blake2b(library.template.encode("utf-8", "surrogatepass"), digest_size=16)
    for lesson in library.lessons:
        text = lesson.text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%d:" % (lesson.id, len(text)) + text)
    return digest.digest()


def _checked(reward: float, problem: Problem) -> float:
    if isnan(reward) or 0.0 <= reward <= 1.0:
        return reward
    raise UsageError(
        f"the gate got reward {reward:g} on problem {problem.id!r}, but its test needs rewards in [0, 1]; "
        "rescale the reward, or use --gate open"
    )
