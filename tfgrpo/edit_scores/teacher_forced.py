"""Teacher-forced log-probs of stored rollouts under any library: the prompt is rendered anew, the replies are given.

Only rollouts whose prompt is ours can be scored, of a single turn or with tools; each reply is scored after what came
before it, so that prompt, tool output and all else that the model did not write is never counted. Both sides of a
comparison go through here. What was scored once under a version is answered from the journal afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

from experience_db import Library
from tfgrpo.backends.score import Scorer, Tools
from tfgrpo.edit_scores.tokens import LogProbs
from tfgrpo.errors import EndpointError, ProviderError, UsageError
from tfgrpo.executors import Executor
from tfgrpo.types import FailureKind, Message, Problem, Rollout


@runtime_checkable
class RendersPrompts(Protocol):
    """An environment whose prompts can be rendered under any library."""

    def prompt(self, problem: Problem, library: Library) -> tuple[Message, ...]:
        """Return what comes before the first reply."""
        ...

    def offered(self, library: Library) -> Tools:
        """Return the tools that a request names."""
        ...


@dataclass(frozen=True, slots=True)
class Likelihood:
    """What scores rollouts, and how their prompts are made."""

    scorer: Scorer
    environment: RendersPrompts
    executor: Executor

    async def probe(self, problem: Problem) -> None:
        """Score one token, so that an endpoint which cannot do it ends the run before it began.

        Raises:
            UsageError: the endpoint cannot score.
        """
        try:
            await self.scorer.score(self.environment.prompt(problem, Library("probe")), (1,))
        except ProviderError as error:
            if error.failure.kind in (FailureKind.TIMEOUT, FailureKind.RATE_LIMITED):
                raise
            raise UsageError(
                f"this method needs log-probs of given tokens, and {error}; serve the model with vLLM, or take a "
                "method without edit scores (--gate paired, gate.options.prefilter=false)"
            ) from error

    async def log_probs(
        self, library: Library, pairs: Sequence[tuple[Problem, Rollout]], *, attempt: int = 0
    ) -> LogProbs:
        """Return one row per rollout, one natural log-prob per token; () where it cannot be scored.

        Raises:
            BudgetReached: a budget did not admit all of them.
        """
        jobs = [partial(self._one, library, problem, rollout, attempt) for problem, rollout in pairs]
        return await self.executor.run(jobs, limit=64)

    def token_texts(self, rollout: Rollout) -> tuple[str, ...] | None:
        """Return what each token of a rollout spells; None before it was scored, and where the endpoint is silent."""
        texts = [self.scorer.token_texts(ids) for _, ids in scored_replies(rollout)]
        known = [text for text in texts if text is not None]
        return tuple(token for text in known for token in text) if known and len(known) == len(texts) else None

    async def _one(self, library: Library, problem: Problem, rollout: Rollout, attempt: int) -> tuple[float, ...]:
        prompt, tools = self.environment.prompt(problem, library), self.environment.offered(library)
        row: list[float] = []
        try:
            for before, ids in scored_replies(rollout):
                row += await self.scorer.score((*prompt, *before), ids, attempt=attempt, tools=tools)
        except EndpointError:
            raise
        except ProviderError:
            return ()
        return tuple(row)


def scored_replies(rollout: Rollout) -> tuple[tuple[tuple[Message, ...], tuple[int, ...]], ...]:
    """Return each reply of a rollout: the messages between the prompt and it, and the ids of its tokens.

    () where ids are unknown, or where older tool results were shortened on the way: the replies saw other words.
    """
    if not rollout.turn_ids:
        ids = rollout.reply.token_ids if rollout.reply is not None and rollout.turns == 1 else None
        return (((), ids),) if ids else ()
    places = [i for i, message in enumerate(rollout.messages) if message.get("role") == "assistant"]
    if len(places) != len(rollout.turn_ids) or any("shortened" in note for note in rollout.notes):
        return ()
    first = places[0]
    return tuple((rollout.messages[first:i], ids) for i, ids in zip(places, rollout.turn_ids, strict=True))
