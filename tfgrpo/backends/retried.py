"""Tries again what may pass by itself. It stands outside of the limits, so that a call that waits holds no slot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.retry import RetryPolicy, with_retries
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

        Raises:
            ProviderError: the last failure, and how often it was tried.
        """
        return await with_retries(lambda: self.backend.complete(request), self.policy, self.sleep)

    async def aclose(self) -> None:
        """Close the backend below."""
        await close(self.backend)
