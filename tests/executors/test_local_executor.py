"""Jobs side by side: results in input order, a limit that holds, and one clear end when a job raises."""

from __future__ import annotations

import asyncio

import pytest

from tfgrpo.executors import Executor, Local
from tfgrpo.executors.local import first_exception


def job(result: int, turns: int = 0):
    """A job that gives `result` after so many turns of the event loop."""

    async def run() -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return result

    return run


async def test_results_come_in_input_order():
    """Whoever ends first, the list is that of the jobs."""
    executor: Executor = Local()
    assert await executor.run([job(i, turns=9 - i) for i in range(9)]) == list(range(9))


async def test_no_jobs_give_no_results():
    """An empty batch is no special case."""
    assert await Local().run([]) == []


@pytest.mark.parametrize("limit", [1, 2, 5, 100, None])
async def test_at_most_limit_jobs_run_at_once(limit):
    """The limit holds, and is used."""
    now, most = 0, 0

    async def watched() -> None:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        now -= 1

    await Local().run([watched] * 20, limit=limit)
    assert most == min(limit or 20, 20)


async def test_a_job_that_raises_ends_the_others_and_is_raised_alone():
    """The first exception comes out as it is, not as a group; jobs that wait are cancelled."""
    ended = []

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def breaks() -> None:
        await asyncio.sleep(0)
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        await Local().run([waits, breaks, waits])
    assert ended == [True, True]


async def test_cancellation_passes_to_all_jobs():
    """A cancelled run leaves nothing behind."""
    ended = []

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    task = asyncio.create_task(Local().run([waits, waits]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True, True]


def test_the_first_error_of_nested_groups_is_found():
    """Executors inside executors do not bury the reason."""
    inner = ExceptionGroup("inner", [ValueError("the reason"), KeyError("later")])
    assert str(first_exception(ExceptionGroup("outer", [inner]))) == "the reason"
