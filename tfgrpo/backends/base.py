"""What a backend is: one async method from a Request to a Reply.

A backend raises ProviderError (with its typed Failure) when a call failed, and EndpointError when the endpoint can
never answer. Wrappers such as the journal are backends around a backend, so any of them can stand anywhere.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from tfgrpo.types import Reply, Request


class Backend(Protocol):
    """Anything that answers a model call."""

    async def complete(self, request: Request) -> Reply:
        """Return the model's reply.

        Raises:
            ProviderError: this call failed; `failure` says why.
            EndpointError: every call would fail.
            BudgetReached: a hard budget leaves no room for this call.
        """
        ...


@runtime_checkable
class Closeable(Protocol):
    """A backend that holds connections."""

    async def aclose(self) -> None:
        """Give the connections back; the next call opens new ones."""
        ...


async def close(backend: object) -> None:
    """Close `backend` if it holds anything; wrappers pass this on to what they wrap."""
    if isinstance(backend, Closeable):
        await backend.aclose()
