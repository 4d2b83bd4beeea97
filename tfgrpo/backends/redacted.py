"""What an endpoint says of a failure is shown, so no key may be in it: some repeat the one they were sent.

Replies pass as they came: what is parsed and graded is never rewritten, and the store hides keys as it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tfgrpo.backends.base import Backend, close
from tfgrpo.errors import ProviderError
from tfgrpo.types import Reply, Request


class Redacted:
    """A backend whose errors hold no key."""

    def __init__(self, backend: Backend, conceal: Callable[[str], str]) -> None:
        """Remember the backend and what takes keys out of a text."""
        self.backend = backend
        self._conceal = conceal

    async def complete(self, request: Request) -> Reply:
        """Return the reply; an error leaves without keys."""
        try:
            return await self.backend.complete(request)
        except ProviderError as error:
            said = self._conceal(str(error))
            if said == str(error):
                raise
            error.args = (said,)
            error.failure = replace(error.failure, message=said)
            # The chain below still has the key, and a traceback would print it.
            raise error from None

    async def aclose(self) -> None:
        """Close the backend below."""
        await close(self.backend)
