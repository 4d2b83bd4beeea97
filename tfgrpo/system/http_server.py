"""An aiohttp application on a port: until a signal comes, or for as long as a block of code runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tfgrpo.errors import UsageError
from tfgrpo.system.signals import on_stop

if TYPE_CHECKING:
    from aiohttp import web

TURNS_TO_BEGIN = 5
"""Of an event loop, from an accepted socket to the begin of its protocol; asyncio takes three."""


def is_asked_by_own_name(request: web.Request) -> bool:
    """Whether a request to a loopback address names one in `Host`, not a name that somebody pointed at it.

    Requests to other addresses are asked for nothing: they may come by any name.
    """
    listens = request.transport.get_extra_info("sockname") if request.transport else None
    if not listens or not _is_loopback(str(listens[0])):
        return True
    try:
        name = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


@asynccontextmanager
async def serve_while(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve `app` while the block runs, and yield its URL without a path; running requests get two seconds to end.

    Raises:
        UsageError: the address cannot be bound.
    """
    from aiohttp import web  # noqa: PLC0415

    # Without handler_cancellation a request whose client has gone would still be worked on.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=2.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            message = f"cannot listen on {host}:{port}: {error.strerror}; choose another port (0 takes a free one)"
            raise UsageError(message) from error
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{runner.addresses[0][1]}"
    finally:
        await end(runner)


async def end(runner: web.AppRunner) -> None:
    """Stop listening and close every connection, also those taken up in the last moment.

    A socket that was accepted just before its asyncio server closes is lost, open, until garbage is collected: the
    transport may not attach itself any more (CPython 3.11 to 3.13, `Server._attach`). So nothing is accepted any more
    first, and what was accepted gets the turns of the loop that it takes to begin.
    """
    loop = asyncio.get_running_loop()
    for site in runner.sites:
        listening = getattr(site, "_server", None)  # aiohttp gives no other way to the sockets
        for one in listening.sockets if listening is not None else ():
            with suppress(NotImplementedError):  # a loop of Windows
                loop.remove_reader(one.fileno())
    for _ in range(TURNS_TO_BEGIN):
        await asyncio.sleep(0)
    await runner.cleanup()


async def serve_until_stopped(app: web.Application, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve `app` until SIGINT, SIGTERM or SIGHUP, or until the task is cancelled; `on_ready` gets the URL once.

    Raises:
        UsageError: the address cannot be bound.
    """
    async with serve_while(app, host, port) as url:
        stop = asyncio.Event()
        with on_stop(stop.set):
            on_ready(url)
            await stop.wait()


@contextmanager
def serve_in_background(make: Callable[[], web.Application], host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve what `make` returns from a thread of this process while the block runs, and yield its URL.

    Raises:
        UsageError: the address cannot be bound.
    """
    ready: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with serve_while(make(), host, port) as url:
            ready.set_result((url, asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run, name="tfgrpo-listen", daemon=True)
    thread.start()
    url, loop, stop = ready.result()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
