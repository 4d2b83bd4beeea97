"""Tries again what may pass by itself. It stands outside of the limits, so that a call that waits holds no slot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.n_choices import ChoicesRequest, Redrawn, redraw_request
from tfgrpo.backends.retry_policy import Redraw, RetryPolicy, with_retries
from tfgrpo.types import Reply, Request


@dataclass(frozen=True, slots=True)
class Retried:
    """A backend around a backend that raises Transient."""

    backend: Backend
    policy: RetryPolicy = RetryPolicy()  # noqa: RUF009  (frozen)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """How waiting is done; tests wait without time passing."""

    async def complete(self, request: Request) -> Reply:
        """Return the reply of the first try that has one.

        A reply that was filtered or holds reasoning alone is asked for once more with another draw, and no oftener.

        Raises:
            ProviderError: the last failure, and how often it was tried.
        """
        asked = request

        async def once() -> Reply:
            nonlocal asked
            try:
                return await self.backend.complete(asked)
            except Redraw as error:
                if isinstance(request, Redrawn):
                    raise error.final(2) from None
                asked = redraw_request(asked, error.failure.kind)
                raise

        policy = self.policy
        if isinstance(request, ChoicesRequest) and request.tries is not None:
            policy = replace(policy, attempts=min(policy.attempts, request.tries))
        return await with_retries(once, policy, self.sleep)

    async def aclose(self) -> None:
        """Close the backend below."""
        await close(self.backend)
