"""What an endpoint says is stored and shown, so no key may be in it: some repeat the one they were sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tfgrpo.backends.base import Backend, close
from tfgrpo.errors import ProviderError
from tfgrpo.system.redact import cleaned
from tfgrpo.types import Reply, Request


class Redacted:
    """A backend whose replies and errors hold no key."""

    def __init__(self, backend: Backend, conceal: Callable[[str], str]) -> None:
        """Remember the backend and what takes keys out of a text."""
        self.backend = backend
        self._conceal = conceal

    async def complete(self, request: Request) -> Reply:
        """Return the reply without keys; an error leaves without them too."""
        try:
            reply = await self.backend.complete(request)
        except ProviderError as error:
            said = self._conceal(str(error))
            if said != str(error):
                error.args = (said,)
                error.failure = replace(error.failure, message=said)
                # The chain below still has the key, and a traceback would print it.
                raise error from None
            raise
        return self._without_keys(reply)

    async def aclose(self) -> None:
        """Close the backend below."""
        await close(self.backend)

    def _without_keys(self, reply: Reply) -> Reply:
        said = (reply.text, reply.reasoning, reply.tool_calls, reply.finish_reason)
        text, reasoning, calls, reason = cleaned(said, self._conceal)
        if (text, reasoning, calls, reason) == said:
            return reply
        # The tokens spell what was taken out.
        return replace(reply, text=text, reasoning=reasoning, tool_calls=calls, finish_reason=reason, token_ids=None)
