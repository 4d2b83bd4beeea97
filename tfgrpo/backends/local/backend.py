"""A backend for weights on this machine: the engine starts with the first call that reaches it, and is asked as any."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tfgrpo.backends.capabilities import Dialect
from tfgrpo.backends.local.engine import Engine, hold
from tfgrpo.backends.local.weights import Weights, find, require_engine
from tfgrpo.backends.openai import OpenAI
from tfgrpo.backends.pricing import Price
from tfgrpo.config.engine import LocalConfig
from tfgrpo.types import Reply, Request


class Local:
    """Asks a model by `local/NAME` or `local/PATH.gguf`."""

    prefill = True
    """The engine goes on with the words that a last message of the assistant begins."""

    def __init__(self, model: str, config: LocalConfig = LocalConfig(), **options: Any) -> None:
        """Find the weights; nothing is started before the first call, so a replayed run starts nothing.

        Args:
            model: the name with its `local/`.
            config: slots, context and threads of the engine.
            options: `timeout` and `transport` of `OpenAI`.

        Raises:
            UsageError: the weights or the engine are not installed; the message says what to do.
        """
        self.weights: Weights = find(model)
        require_engine()
        self._config = config
        self._options = options
        self._engine: Engine | None = None
        self._asked: OpenAI | None = None
        self._starting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"Local({self.weights.name})"

    @property
    def dialects(self) -> Mapping[str, Dialect]:
        """What is known of the endpoint so far; nothing before the first call."""
        return self._asked.dialects if self._asked else {}

    async def complete(self, request: Request) -> Reply:
        """Send one request and return its reply; raises what `OpenAI.complete` raises, and EndpointError at a start."""
        return await (await self._endpoint()).complete(request)

    async def window(self, model: str) -> int | None:
        """Return how many tokens of prompt and reply one call may have, as the engine says of its slots."""
        return await (await self._endpoint()).window(model)

    async def url(self) -> str:
        """Return where the engine's API begins; starts it where it is not up."""
        await self._endpoint()
        assert self._engine is not None
        return self._engine.url

    async def aclose(self) -> None:
        """Close the connections and let the engine go."""
        if self._asked is not None:
            await self._asked.aclose()
        if self._engine is not None:
            await asyncio.to_thread(self._engine.release)
        self._asked = self._engine = None

    async def _endpoint(self) -> OpenAI:
        """Return the endpoint; an engine that was ended from outside is started again."""
        async with self._starting:
            if self._engine is not None and self._engine.gone():
                await self.aclose()
            if self._asked is None:
                self._engine = await asyncio.to_thread(hold, self.weights, self._config)
                self._asked = OpenAI(self._engine.url, price=Price(0.0, 0.0), **self._options)
            return self._asked
