"""One MCP server and the session with it, in a thread with an event loop of its own.

The session outlives the loops of its callers: listing the tools, learning and measuring are three of them. A server
that ended is started again at the next call, a few times; one that hangs costs the call its time.
"""

from __future__ import annotations

import asyncio
import atexit
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from tfgrpo.boundary import boundary
from tfgrpo.errors import EnvironmentFailed

STARTS = 5
"""How often a server is started, the first time included."""
STOP_SECONDS = 10.0
PAGES = 50
"""Pages of a list of tools that are read."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a server."""

    name: str
    connect: Callable[[Any], AbstractAsyncContextManager[Any]]
    """From a file for what the server writes to stderr to a client of the SDK, not yet entered."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What decides the results, without secrets."""
    hidden: tuple[str, ...] = ()
    """Values that no message may hold."""
    seconds: float = 60.0
    """Limit of one call."""
    start_seconds: float = 30.0
    """Limit of starting, greeting and listing."""


@dataclass(slots=True)
class _Live:
    """A session that was begun."""

    thread: threading.Thread
    ready: Future[tuple[Any, tuple[Any, ...]]]
    """The client, and the tools of the server."""
    loop: asyncio.AbstractEventLoop | None = None
    stop: asyncio.Event | None = None
    over: bool = False
    """The connection was lost: the next call begins another one."""


class Server:
    """A server that is started when it is first needed, and ended by `close`."""

    def __init__(self, way: Connection) -> None:
        self.way = way
        self.starts = 0
        self._live: _Live | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - until close
        atexit.register(self.close)

    def tools(self) -> tuple[Any, ...]:
        """Return the tools of the server as the SDK gives them; starts it.

        Raises:
            EnvironmentFailed: it cannot be started, or does not greet in time.
        """
        return self._session().ready.result()[1]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """Return the SDK's result of one call.

        Raises:
            EnvironmentFailed: the server hangs (caused by TimeoutError), ended, or said that the call is wrong.
        """
        live = await asyncio.to_thread(self._session)
        client, _ = live.ready.result()
        assert live.loop is not None
        with boundary(EnvironmentFailed, f"tool {tool} of the MCP server {self.way.name}"):
            return await asyncio.wrap_future(
                asyncio.run_coroutine_threadsafe(self._ask(live, client, tool, arguments), live.loop)
            )

    def close(self) -> None:
        """End the session and with it the server's process; one that was closed already is fine."""
        with self._lock:
            live, self._live = self._live, None
            self._closed = True
        if live is not None:
            _end(live)
        self._errors.close()
        atexit.unregister(self.close)

    def _session(self) -> _Live:
        """The running session, or a new one; blocks until it is ready or failed."""
        with self._lock:
            if self._live is not None and (self._live.over or not self._live.thread.is_alive()):
                _end(self._live)
                self._live = None
            if self._live is None:
                if self._closed or self.starts >= STARTS:
                    why = "is closed" if self._closed else f"ended {self.starts} times and stays ended"
                    raise EnvironmentFailed(f"the MCP server {self.way.name} {why}")
                self.starts += 1
                self._live = self._begin()
            return self._live

    def _begin(self) -> _Live:
        live = _Live(threading.Thread(), Future())
        live.thread = threading.Thread(
            target=lambda: asyncio.run(self._run(live)), name=f"tfgrpo-mcp-{self.way.name}", daemon=True
        )
        live.thread.start()
        try:
            live.ready.result(self.way.start_seconds + STOP_SECONDS)
        except (EnvironmentFailed, TimeoutError) as error:
            said = f"the MCP server {self.way.name} cannot be used: {self._clear(str(error) or 'it does not greet')}"
            raise EnvironmentFailed(f"{said}{self._last_words()}") from error
        return live

    async def _run(self, live: _Live) -> None:
        """Hold the session open until it shall stop; the SDK wants it entered and left by one task."""
        live.loop, live.stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            with boundary(EnvironmentFailed, "it"):
                async with asyncio.timeout(self.way.start_seconds) as greeting:
                    async with self.way.connect(self._errors) as client:
                        tools = await _listed(client)
                        greeting.reschedule(None)
                        live.ready.set_result((client, tools))
                        await live.stop.wait()
        except EnvironmentFailed as error:
            live.over = True
            if not live.ready.done():
                late = isinstance(error.__cause__, TimeoutError)
                said = f"it does not greet within {self.way.start_seconds:g} s" if late else str(error)
                live.ready.set_exception(EnvironmentFailed(said))

    async def _ask(self, live: _Live, client: Any, tool: str, arguments: Mapping[str, Any]) -> Any:
        """In the session's loop: one call within its time; a lost connection is noted."""
        from mcp import MCPError  # noqa: PLC0415 - an extra, 0.5 s
        from mcp_types import CONNECTION_CLOSED  # noqa: PLC0415

        try:
            async with asyncio.timeout(self.way.seconds):
                return await client.call_tool(tool, dict(arguments))
        except TimeoutError:
            raise
        except MCPError as error:
            live.over = live.over or error.code == CONNECTION_CLOSED
            raise EnvironmentFailed(self._clear(f"the MCP server {self.way.name} said: {error.message}")) from error
        except (OSError, RuntimeError, ValueError) as error:
            live.over = True
            said = f"the MCP server {self.way.name} is gone ({type(error).__name__})"
            raise EnvironmentFailed(self._clear(said)) from error

    def _last_words(self) -> str:
        """The last line that the server wrote to stderr."""
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read()[-4000:].splitlines() if line.strip()]
        return f"; its last words: {self._clear(lines[-1])[:200]}" if lines else ""

    def _clear(self, text: str) -> str:
        for value in self.way.hidden:
            text = text.replace(value, "[key]")
        return text[:400]


async def _listed(client: Any) -> tuple[Any, ...]:
    """All tools of a server, page by page."""
    found: list[Any] = []
    cursor = None
    for _ in range(PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return tuple(found)


def _end(live: _Live) -> None:
    """Let a session end; its thread is given some seconds."""
    if live.loop is not None and live.stop is not None and live.thread.is_alive():
        live.loop.call_soon_threadsafe(live.stop.set)
        live.thread.join(STOP_SECONDS)
