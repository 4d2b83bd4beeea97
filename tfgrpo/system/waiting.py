"""Waiting for a write lock without standing still: calls in flight go on, and what they answer is kept meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar, runtime_checkable

from experience_db import StoreBusy

T = TypeVar("T")
PAUSE = 0.05
"""Seconds between two tries."""


@runtime_checkable
class Hurried(Protocol):
    """A store, or a part of one, that can say at once that somebody else writes."""

    def hurried(self) -> AbstractContextManager[None]:
        """Inside, a write raises StoreBusy at once, with `patience` set."""
        ...


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
            with store.hurried() if isinstance(store, Hurried) else nullcontext():
                return write()
        except StoreBusy as busy:
            if time.monotonic() - began >= busy.patience:
                raise
        await asyncio.sleep(PAUSE)
