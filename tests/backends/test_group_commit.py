"""Records that are ready together share a transaction, and nobody goes on before their own is on the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from experience_db import Call, Journal, Store, UnknownRun
from tfgrpo.backends.group_commit import GroupCommit


def record(number: int, run: str | None = None) -> Call:
    """One call."""
    return Call(f"k{number}", "rollout", "m", {"n": number}, {"text": "t"}, run=run)


def on_disk(path: Path) -> set[str]:
    """What another process would find."""
    with sqlite3.connect(path) as other:
        return {key for (key,) in other.execute("SELECT key FROM calls")}


async def test_those_that_are_ready_together_share_a_transaction(tmp_path: Path):
    """Fifty records take one; each is on the disk when its caller goes on."""
    path = tmp_path / "a.db"
    with Store.open(path) as store:
        group, before = GroupCommit(Journal(store)), store.begun

        async def put(number: int) -> None:
            await group.put(record(number))
            assert f"k{number}" in on_disk(path)

        await asyncio.gather(*map(put, range(50)))
        assert store.begun == before + 1


async def test_a_record_that_cannot_be_kept_fails_alone(tmp_path: Path):
    """The others of its group are committed, and their callers go on."""
    with Store.open(tmp_path / "a.db") as store:
        group = GroupCommit(Journal(store))
        puts = (group.put(record(number, run="no such run" if number == 2 else None)) for number in range(5))
        ended = await asyncio.gather(*puts, return_exceptions=True)
        assert [type(each) for each in ended if each is not None] == [UnknownRun]
        assert isinstance(ended[2], UnknownRun)
        assert on_disk(tmp_path / "a.db") == {"k0", "k1", "k3", "k4"}


async def test_a_held_lock_is_waited_for_while_others_work(tmp_path: Path):
    """The loop goes on meanwhile; once the file is free all is written."""
    path = tmp_path / "a.db"
    with Store.open(path) as store:
        group = GroupCommit(Journal(store))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        puts = asyncio.gather(*(group.put(record(number)) for number in range(3)))
        await asyncio.sleep(0.2)
        assert not puts.done()
        other.execute("COMMIT")
        other.close()
        await asyncio.wait_for(puts, 10)
        assert on_disk(path) == {"k0", "k1", "k2"}


@pytest.mark.parametrize("turns", [0, 1])
def test_what_was_paid_for_is_kept_when_the_run_is_cancelled(tmp_path: Path, turns: int):
    """The reply is there already: its record is committed though nobody waits for it any more."""
    path = tmp_path / "a.db"
    with Store.open(path) as store:
        group = GroupCommit(Journal(store))

        async def main() -> None:
            asyncio.create_task(group.put(record(1)))  # noqa: RUF006 - it is left on purpose
            for _ in range(turns + 1):
                await asyncio.sleep(0)

        asyncio.run(main())
        assert on_disk(path) == {"k1"}
