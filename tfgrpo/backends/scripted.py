"""A backend that plays a script: the model of the tests, and of any example that must run without one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable

from tfgrpo.errors import ProviderError
from tfgrpo.types import Reply, Request

Line = str | Reply | Exception
Script = Callable[[Request], str | Reply | Awaitable[str | Reply]]


class Scripted:
    """Plays lines in the order of the calls, or asks a function (sync or async) for each reply.

    A line that is an exception is raised. `requests` holds every request in the order of the calls.
    """

    def __init__(self, script: Iterable[Line] | Script) -> None:
        self.requests: list[Request] = []
        self._script = script if callable(script) else _played(script)

    async def complete(self, request: Request) -> Reply:
        """Return the next reply of the script.

        Raises:
            ProviderError: the script has no line left.
            Exception: whatever exception the script holds at this place.
        """
        self.requests.append(request)
        said = self._script(request)
        said = await said if inspect.isawaitable(said) else said
        return said if isinstance(said, Reply) else Reply(said)


def _played(lines: Iterable[Line]) -> Script:
    left = iter(lines)
    played = 0

    def next_line(request: Request) -> str | Reply:
        nonlocal played
        for line in left:
            played += 1
            if isinstance(line, Exception):
                raise line
            return line
        raise ProviderError(
            f"the script ended after {played} replies, but {request.role!r} asked for another; add a line for it"
        )

    return next_line
