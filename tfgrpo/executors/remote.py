"""Objects that stand for others on the pool: to whoever calls them a grader, an agent or a tool like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Pool(Protocol):
    """Where objects were sent to under a name."""

    async def call(self, name: str, method: str, *args: Any, sticky: str = "") -> Any:
        """Run a method of an object, its `__call__` where none is named; `sticky` names a session that has a place."""
        ...


class Remote:
    """A grader or an agent whose calls run on the pool."""

    def __init__(self, pool: Pool, name: str, here: Any) -> None:
        self.pool, self.name = pool, name
        # The journal knows agents by this name, wherever they run.
        self.__qualname__ = str(getattr(here, "__qualname__", type(here).__name__))

    async def __call__(self, *args: Any) -> Any:
        """Run it on a worker; raises what it raises, or WorkerLost."""
        return await self.pool.call(self.name, "", *args)


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool on the pool; each call goes wherever there is room."""

    pool: Pool
    name: str
    here: Any
    """The same tool in this process, which says what it is."""

    @property
    def spec(self) -> Any:
        """Name, description and arguments."""
        return self.here.spec

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Settings that decide what a call returns; where it runs is none of them."""
        found: Mapping[str, Any] = self.here.fingerprint
        return found

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> Any:
        """Run one call."""
        return await self.pool.call(self.name, "", dict(arguments), session)


@dataclass(frozen=True, slots=True)
class RemoteSessionTool(RemoteTool):
    """A tool with a state per rollout: all calls of one rollout go to one worker, and end with it."""

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> Any:
        """Run one call in its session."""
        return await self.pool.call(self.name, "", dict(arguments), session, sticky=session)

    async def end(self, session: str) -> None:
        """Give back what the session holds."""
        await self.pool.call(self.name, "end", session, sticky=session)

    async def restore(self, session: str, earlier: Sequence[Mapping[str, Any]]) -> None:
        """Bring a session back to where earlier calls left it."""
        await self.pool.call(self.name, "restore", session, [dict(one) for one in earlier], sticky=session)
