"""The score capability: log-probs of given tokens after a given prompt, without generating anything.

A scoring call is a Request with `forced_ids`, so that journal, retries, limits and the bill treat it like any other
call; backends that can answer it return a Reply with `logprobs`. Values are natural logs at temperature 1, before
top-p. Both sides of a comparison go through the same route; log-probs of decoding are never mixed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any, Protocol

from tfgrpo.backends.base import Backend
from tfgrpo.backends.tiny.backend import Tiny
from tfgrpo.errors import ProviderError
from tfgrpo.types import FailureKind, Message, Reply, Request, Sampling, Usage

Tools = Sequence[Mapping[str, Any]]
"""What the prompt offers the model, as a request names it; the server's template may write it into the prompt."""
ROLE = "score"
MOST_TEXTS = 4096
"""Rollouts whose token texts are kept."""


class Scorer(Protocol):
    """Says how likely given tokens are after a prompt."""

    async def score(
        self, messages: Sequence[Message], completion_ids: Sequence[int], *, attempt: int = 0, tools: Tools = ()
    ) -> tuple[float, ...]:
        """Return one natural log-prob per token at temperature 1; nan where the endpoint gave none.

        Another `attempt` asks again instead of being answered from the journal, which is how noise is measured.

        Raises:
            ProviderError: this call failed, or the endpoint cannot score.
        """
        ...

    def token_texts(self, completion_ids: Sequence[int]) -> tuple[str, ...] | None:
        """Return what each token spells, as the endpoint said when it scored them; None where it did not."""
        ...


@dataclass(frozen=True, slots=True)
class BackendScorer:
    """A scorer over any stack of backends whose innermost one answers `forced_ids`."""

    backend: Backend
    model: str
    texts: dict[tuple[int, ...], tuple[str, ...]] = field(default_factory=dict)
    """What the tokens scored so far spell, the newest ones."""

    async def score(
        self, messages: Sequence[Message], completion_ids: Sequence[int], *, attempt: int = 0, tools: Tools = ()
    ) -> tuple[float, ...]:
        """Return the log-probs; see `Scorer`."""
        forced, drawn = tuple(completion_ids), Sampling(max_tokens=1)
        request = Request(
            ROLE, self.model, tuple(messages), drawn, tools=tuple(tools), attempt=attempt, forced_ids=forced
        )
        reply = await self.backend.complete(request)
        values = reply.logprobs
        if values is None or len(values) != len(forced):
            got = "none" if values is None else str(len(values))
            raise ProviderError(f"{self.model} was asked for {len(forced)} log-probs and gave {got}")
        if reply.token_texts is not None and len(reply.token_texts) == len(forced):
            self.texts[forced] = reply.token_texts
            if len(self.texts) > MOST_TEXTS:
                del self.texts[next(iter(self.texts))]
        return tuple(nan if value is None else value for value in values)

    def token_texts(self, completion_ids: Sequence[int]) -> tuple[str, ...] | None:
        """Return what each token spells; see `Scorer`."""
        return self.texts.get(tuple(completion_ids))


@dataclass(frozen=True, slots=True)
class TinyScores:
    """Scoring calls to the embedded model."""

    tiny: Tiny

    async def complete(self, request: Request) -> Reply:
        """Answer one scoring call.

        Raises:
            ProviderError: prompt and tokens together do not fit the model.
        """
        ids = forced_ids(request)
        values = await self.tiny.score(request.messages, ids)
        prompt = self.tiny.prompt_tokens(request.messages)
        texts = tuple(self.tiny.spell(token) for token in ids)
        return Reply("", usage=Usage(prompt + len(ids), usd=0.0), logprobs=values, token_texts=texts)


def forced_ids(request: Request) -> tuple[int, ...]:
    """Return the tokens to score; raises ProviderError when the request is no scoring call."""
    if request.forced_ids is None:
        raise ProviderError("a scorer answers scoring calls only", FailureKind.REFUSED_REQUEST)
    return request.forced_ids
