"""Counts what passes: calls per role, new and replayed, and their usage. The bill of a run is read from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tfgrpo.backends.base import Backend, close
from tfgrpo.types import Reply, Request, Usage


@dataclass(slots=True)
class Tally:
    """What one role has asked for so far."""

    new: int = 0
    """Calls that were sent."""
    replayed: int = 0
    """Calls that the journal answered."""
    usage: Usage = Usage()  # noqa: RUF009  (frozen)
    """Of both, and of tries in vain: a replayed call was paid for when it was new."""
    failed: int = 0
    """Requests that brought no reply."""


@dataclass(slots=True)
class Metered:
    """A backend that counts the replies of the backend below; several may share one `tally`."""

    backend: Backend
    tally: dict[str, Tally] = field(default_factory=dict)

    async def complete(self, request: Request) -> Reply:
        """Pass the call on and count its reply."""
        reply = await self.backend.complete(request)
        count_call(self.tally, request.role, reply.usage, replayed=reply.replayed)
        return reply

    async def aclose(self) -> None:
        """Close the backend below."""
        await close(self.backend)


def count_call(tally: dict[str, Tally], role: str, usage: Usage, *, replayed: bool) -> None:
    """Add one call to the tally of its role."""
    entry = tally.setdefault(role, Tally())
    entry.new += not replayed
    entry.replayed += replayed
    entry.usage = entry.usage + usage


def count_failed(tally: dict[str, Tally], role: str, usage: Usage, calls: int = 1) -> None:
    """Add requests that brought no reply to the bill of a role."""
    entry = tally.setdefault(role, Tally())
    entry.failed += calls
    entry.usage = entry.usage + usage


def printed_usage(usage: Usage) -> dict[str, Any]:
    """Return a bill as it is printed and stored; how much of it was estimated stands in it where some was."""
    fields = asdict(usage)
    return fields if usage.estimated_tokens else {k: v for k, v in fields.items() if k != "estimated_tokens"}


def total_usage(tally: Mapping[str, Tally]) -> Usage:
    """Return the usage of all roles together; unknown money stays unknown."""
    return sum((entry.usage for entry in tally.values()), Usage())
