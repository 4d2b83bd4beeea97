"""Two ways of waiting.

For a write lock without standing still: calls in flight go on, and what they answer is kept meanwhile. For a coroutine
from code that is not one itself, whether an event loop runs here or not.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ParamSpec, Protocol, TypeVar, runtime_checkable

from experience_db import StoreBusy

T = TypeVar("T")
P = ParamSpec("P")
PAUSE = 0.05
"""Seconds between two tries."""


@runtime_checkable
class Hurried(Protocol):
    """A store, or a part of one, that can say at once that somebody else writes."""

    def hurried(self) -> AbstractContextManager[None]:
        """Inside, a write raises StoreBusy at once, with `patience` set."""
        ...


def hurriedly(store: object, write: Callable[[], T]) -> T:
    """Return what `write` returns; raises StoreBusy at once while another process holds the write lock."""
    with store.hurried() if isinstance(store, Hurried) else nullcontext():
        return write()


async def patiently(store: object, write: Callable[[], T]) -> T:
    """Return what `write` returns, trying again while another process holds the write lock.

    Args:
        store: what is written to; one that is not `Hurried` is written to as it is.
        write: one transaction, which raises StoreBusy before it has done anything.

    Raises:
        StoreBusy: the lock was held longer than the store's patience.
    """
    began = time.monotonic()
    while True:
        try:
            return hurriedly(store, write)
        except StoreBusy as busy:
            if time.monotonic() - began >= busy.patience:
                raise
        await asyncio.sleep(PAUSE)


def waited(work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a coroutine function to its end and return what it returns.

    Where an event loop runs already it works in a loop and thread of its own; an interrupt cancels it there.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work(*args, **kwargs))
    told: list[T | BaseException] = []
    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = []

    async def main() -> T:
        begun.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await work(*args, **kwargs)

    def run() -> None:
        try:
            told.append(asyncio.run(main()))
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits
            told.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="tfgrpo-waited", daemon=True)
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        for loop, task in begun:
            if task is not None:
                loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    result = told[0]
    if isinstance(result, BaseException):
        raise result
    return result
