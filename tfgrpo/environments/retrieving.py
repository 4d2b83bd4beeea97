"""An environment whose problems meet the lessons that suit them instead of all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from experience_db import Library, Retrieval
from tfgrpo.environments.base import Environment, Slot
from tfgrpo.types import Message, Problem, Rollout


@dataclass(frozen=True, slots=True)
class Retrieving:
    """Chooses lessons, then asks another environment."""

    inner: Environment
    retrieval: Retrieval

    async def __call__(self, problem: Problem, library: Library, slot: Slot) -> Rollout:
        """Return the rollout under the chosen lessons; raises what the inner one and an embedding model raise."""
        # In a thread: it may wait for a file, and for a model that embeds the question.
        suited = await asyncio.to_thread(self.suited, problem, library)
        return await self.inner(problem, suited, slot)

    def suited(self, problem: Problem, library: Library) -> Library:
        """Return the library with the lessons that a problem meets."""
        return self.retrieval.chosen(library, problem.question) if len(library) else library


@dataclass(frozen=True, slots=True)
class RetrievingPrompts(Retrieving):
    """The same around an environment whose prompts can be made without asking."""

    def prompt(self, problem: Problem, library: Library) -> tuple[Message, ...]:
        """Return what comes before the first reply."""
        inner: Any = self.inner
        found: tuple[Message, ...] = inner.prompt(problem, self.suited(problem, library))
        return found

    def offered(self, library: Library) -> tuple[dict[str, Any], ...]:
        """Return the tools that a request names."""
        inner: Any = self.inner
        found: tuple[dict[str, Any], ...] = inner.offered(library)
        return found


def retrieving(inner: Environment, retrieval: Retrieval | None) -> Environment:
    """Return an environment that chooses lessons by `retrieval`; None leaves it as it is."""
    if retrieval is None:
        return inner
    return (RetrievingPrompts if hasattr(inner, "prompt") else Retrieving)(inner, retrieval)
