"""How many at once: runs jobs side by side in one event loop and returns their results in input order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Executor(Protocol):
    """Runs jobs side by side."""

    async def run(self, jobs: Sequence[Callable[[], Awaitable[T]]], *, limit: int | None = None) -> list[T]:
        """Return the jobs' results in input order; at most `limit` run at once. A job that raises ends all."""
        ...


class Local:
    """Runs jobs in this event loop. Failures that may happen are values, so one that raises is a bug or the end."""

    async def run(self, jobs: Sequence[Callable[[], Awaitable[T]]], *, limit: int | None = None) -> list[T]:
        """Return results in input order; the first exception cancels the rest and is raised alone."""
        results: list[T | None] = [None] * len(jobs)
        queue = iter(enumerate(jobs))

        async def worker() -> None:
            for index, job in queue:
                results[index] = await job()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(limit or len(jobs), len(jobs))):
                    group.create_task(worker())
        except BaseExceptionGroup as errors:
            raise first_exception(errors) from None
        return results  # type: ignore[return-value]


def first_exception(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first single exception inside a possibly nested group."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
