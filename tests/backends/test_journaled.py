"""The journal answers what was answered before, and records before it lets go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from experience_db import Call, Store
from experience_db.journal import Journal as StoredJournal
from tfgrpo.backends import Journaled, Scripted
from tfgrpo.backends.journaled import Journal, canonical
from tfgrpo.errors import ProviderError
from tfgrpo.types import Reply, Request, Sampling, Usage

ASK = Request("rollout", "test-model", ({"role": "user", "content": "2+2?"},), Sampling(0.7, stop=("END",)))
RICH = Reply("4", "length", Usage(10, 2, 6, None), "hm", ({"id": "call", "function": {"name": "f"}},), (7, 8))


class InMemory:
    """A journal in a dict, that remembers the order of what happened."""

    def __init__(self) -> None:
        self.records: dict[str, Call] = {}

    key = staticmethod(StoredJournal.key)

    def get(self, key: str) -> dict | None:
        """Return the recorded reply."""
        found = self.records.get(key)
        return None if found is None else dict(found.reply)

    def put_many(self, calls: Sequence[Call]) -> None:
        """Keep records."""
        self.records |= {call.key: call for call in calls}


def test_the_stored_journal_fits():
    """The store's journal has the methods that are needed (mypy checks the types where they meet)."""
    assert all(callable(getattr(StoredJournal, name)) for name in ("key", "get", "put_many"))
    journal: Journal = InMemory()
    assert journal.get("nothing") is None


async def test_a_second_run_replays_everything():
    """All that a reply holds comes back, with the usage of its time, and nothing is asked."""
    journal = InMemory()
    first = await Journaled(Scripted([RICH]), journal, run="a").complete(ASK)
    again = await Journaled(Scripted([]), journal, run="b").complete(ASK)
    assert first == RICH
    assert again == replace(RICH, replayed=True)
    (record,) = journal.records.values()
    assert (record.role, record.run, record.usd, record.cached_tokens) == ("rollout", "a", None, 6)


async def test_what_a_key_was_taken_out_of_is_no_answer_of_a_later_run(tmp_path, caplog):
    """It is asked again, and said: what is graded is what the model said, and the file holds no key."""
    key, said = "hunter2secret99", Reply("The code is hunter2secret99.")
    with Store.open(tmp_path / "a.db") as store:
        store.hide = lambda text: text.replace(key, "***")
        journal = StoredJournal(store)
        plain = replace(ASK, attempt=1)
        for ask in (ASK, plain):
            await Journaled(Scripted([said if ask is ASK else Reply("4")]), journal).complete(ask)
        assert await Journaled(Scripted([said]), journal).complete(ASK) == said
        assert "a key was taken out of it" in caplog.text
        assert (await Journaled(Scripted([]), journal).complete(plain)).text == "4"
    assert key.encode() not in (tmp_path / "a.db").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"role": "judge"},
        {"model": "other"},
        {"messages": ()},
        {"sampling": Sampling(0.8)},
        {"tools": ({"type": "function"},)},
        {"response_schema": {"type": "object"}},
        {"attempt": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_makes_another_key(change):
    """Old records are never served for new questions."""
    assert StoredJournal.key(canonical(ASK)) != StoredJournal.key(canonical(replace(ASK, **change)))


async def test_the_record_is_there_before_the_reply_is_used():
    """Whoever is killed after the reply finds it again."""
    journal = InMemory()
    backend = Journaled(Scripted(["4"]), journal)
    await backend.complete(ASK)
    assert len(journal.records) == 1


async def test_a_failure_is_not_recorded():
    """It is tried again the next time."""
    backend = Journaled(Scripted([ProviderError("down"), "4"]), InMemory())
    with pytest.raises(ProviderError):
        await backend.complete(ASK)
    assert not (await backend.complete(ASK)).replayed


async def test_identical_calls_at_once_are_asked_once():
    """The others wait for the first and get its record; different calls do not wait."""
    gate = asyncio.Event()

    async def slow(request: Request) -> str:
        if request.attempt == 0:
            await gate.wait()
        return str(request.attempt)

    script = Scripted(slow)
    backend = Journaled(script, InMemory())
    same = [asyncio.ensure_future(backend.complete(ASK)) for _ in range(3)]
    await asyncio.sleep(0)  # Now all three are under way.
    assert (await backend.complete(replace(ASK, attempt=1))).text == "1"
    gate.set()
    assert [reply.replayed for reply in await asyncio.gather(*same)] == [False, True, True]
    assert len(script.requests) == 2


async def test_when_the_first_is_cancelled_the_next_one_asks():
    """A waiting call is not lost with the one it waits for."""

    async def slow(request: Request) -> str:
        if len(script.requests) == 1:
            await asyncio.Event().wait()
        return "4"

    script = Scripted(slow)
    backend = Journaled(script, InMemory())
    first, second = (asyncio.ensure_future(backend.complete(ASK)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).text == "4"
