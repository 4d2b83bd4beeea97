"""Records that are ready together are committed together.

A transaction of one record costs as much as its record. What comes in during one turn of the event loop is written by
the next one, in one transaction: nothing waits for more to come, and under load groups grow by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from experience_db import Call, StoreBusy
from tfgrpo.system.waiting import hurriedly, patiently


class Records(Protocol):
    """What commits records."""

    def put_many(self, calls: Sequence[Call], /) -> object:
        """Record all of them, or none."""
        ...


class GroupCommit:
    """Commits records in groups; what has waited for its record knows that it is on the disk."""

    def __init__(self, journal: Records) -> None:
        """Remember where records go."""
        self._journal = journal
        self._waiting: list[tuple[Call, asyncio.Future[None]]] = []
        self._writers: set[asyncio.Task[None]] = set()

    async def put(self, call: Call) -> None:
        """Return when the record is committed; one whose caller is cancelled meanwhile is committed all the same.

        Raises:
            StoreError: what its own record met; another's fault in the same group is not its own.
        """
        loop = asyncio.get_running_loop()
        committed: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            # A callback and no task: what ends the loop cancels tasks, and the reply is paid for.
            loop.call_soon(self._flush, loop)
        self._waiting.append((call, committed))
        await committed

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        group, self._waiting = self._waiting, []
        try:
            hurriedly(self._journal, lambda: self._journal.put_many([call for call, _ in group]))
        except StoreBusy:
            self._later(loop, group)
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits
            if len(group) > 1:
                self._later(loop, group)
            else:
                _tell(group[0][1], error)
        else:
            for _, committed in group:
                _tell(committed, None)

    def _later(self, loop: asyncio.AbstractEventLoop, group: Sequence[tuple[Call, asyncio.Future[None]]]) -> None:
        writer = loop.create_task(self._one_by_one(group))
        self._writers.add(writer)
        writer.add_done_callback(self._writers.discard)

    async def _one_by_one(self, group: Sequence[tuple[Call, asyncio.Future[None]]]) -> None:
        """Write each in a transaction of its own, as long as the store's patience lasts."""
        for call, committed in group:
            try:
                await patiently(self._journal, lambda one=call: self._journal.put_many([one]))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - it is raised where somebody waits
                _tell(committed, error)
            else:
                _tell(committed, None)


def _tell(committed: asyncio.Future[None], error: Exception | None) -> None:
    if committed.done():
        return
    if error is None:
        committed.set_result(None)
    else:
        committed.set_exception(error)
