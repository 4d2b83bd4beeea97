"""Tool calls in the journal: what makes two calls the same, and what a resumed rollout sees."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.tooling import Counting, Lookup

from experience_db import Journal, Store
from tfgrpo.backends.limited import Ledger
from tfgrpo.errors import ProviderError
from tfgrpo.tools import ToolResult
from tfgrpo.tools.journaled import AnsweredCall, CallingRollout, JournaledTools, Session
from tfgrpo.types import Failure, FailureKind, Request

PLACE = CallingRollout("rollout", ("p1", "Who?"), 0, 7)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An open store."""
    with Store.open(tmp_path / "x.db") as opened:
        yield opened


async def call(desk: JournaledTools, tool: Any, query: str, session: Session) -> AnsweredCall:
    """Make the next call of a session."""
    arguments = {"query": query}
    session.made.append((tool.spec.name, arguments))
    return await desk.call(tool, arguments, session, len(session.made) - 1)


async def test_the_same_call_at_the_same_place_is_answered_by_the_journal(store: Store):
    """The record is there before the result is, with everything but the asking."""
    desk, tool = JournaledTools(Journal(store)), Lookup()
    first = await call(desk, tool, "ada", Session(PLACE))
    (kept,) = Journal(store).calls()
    assert (kept.role, kept.model, kept.usd, kept.seconds) == ("tool:lookup", "tool:lookup", 0.0, 0.5)
    again = await call(desk, tool, "ada", Session(PLACE))
    assert (again.result, first.replayed, again.replayed) == (first.result, False, True)
    assert len(tool.asked) == 1
    assert {name: (t.new, t.replayed) for name, t in desk.tally.items()} == {"tool:lookup": (1, 1)}


@pytest.mark.parametrize(
    "other",
    [
        replace(PLACE, role="gate"),
        replace(PLACE, problem=("p2", "Who?")),
        replace(PLACE, problem=("p1", "What?")),
        replace(PLACE, attempt=1),
        replace(PLACE, seed=8),
    ],
)
async def test_another_place_asks_anew(store: Store, other: CallingRollout):
    """Old records are never served for new questions."""
    desk, tool = JournaledTools(Journal(store)), Lookup()
    await call(desk, tool, "ada", Session(PLACE))
    assert not (await call(desk, tool, "ada", Session(other))).replayed


async def test_position_arguments_and_settings_are_part_of_the_question(store: Store):
    """The second search of a rollout is not its first."""
    desk, session = JournaledTools(Journal(store)), Session(PLACE)
    assert not (await call(desk, Lookup(), "ada", session)).replayed
    assert not (await call(desk, Lookup(), "ada", session)).replayed
    assert not (await call(desk, Lookup(), "bob", Session(PLACE))).replayed
    assert not (await call(desk, Lookup(version=2), "ada", Session(PLACE))).replayed
    assert (await call(desk, Lookup(), "ada", Session(PLACE))).replayed


async def test_what_failed_for_a_passing_reason_is_asked_again_when_a_run_goes_on(store: Store):
    """Another execution asks anew, once; the same one, the repetition of a stored step and a refusal do not."""
    passing = ToolResult("slow down", Failure(FailureKind.RATE_LIMITED, "429"))
    refused = ToolResult("no", Failure(FailureKind.REFUSED_REQUEST, "400"))
    first = JournaledTools(Journal(store))
    for query, failed in (("ada", passing), ("bob", refused)):
        assert (await call(first, Lookup(replies=[failed]), query, Session(PLACE))).result == failed
        assert (await call(first, Lookup(), query, Session(PLACE))).replayed
    closed = Ledger()
    closed.closed = True
    assert (
        await call(JournaledTools(Journal(store), ledger=closed), Lookup(), "ada", Session(PLACE))
    ).result == passing
    later = JournaledTools(Journal(store))
    again = await call(later, Lookup(), "ada", Session(PLACE))
    assert (again.replayed, again.result.failure) == (False, None)
    assert (await call(later, Lookup(), "ada", Session(PLACE))).replayed
    assert (await call(later, Lookup(), "bob", Session(PLACE))).result == refused


async def test_failures_are_recorded_because_the_model_has_read_them(store: Store):
    """What it said next rests on them, so a resumed run must see them again."""
    desk = JournaledTools(Journal(store))
    failed = ToolResult("slow down", Failure(FailureKind.RATE_LIMITED, "429"), {"provider": "x"}, 1.5)
    tool = Lookup(replies=[failed, ValueError("no")])
    assert (await call(desk, tool, "ada", Session(PLACE))).result == failed
    again = await call(desk, tool, "ada", Session(PLACE))
    assert (again.result, again.replayed) == (failed, True)


async def test_a_tool_that_takes_too_long_is_a_typed_failure():
    """Whatever its own limit is."""

    class Sleeper(Lookup):
        async def __call__(self, arguments: Any, session: str = "") -> ToolResult:
            await asyncio.sleep(60)
            raise AssertionError

    result = (await call(JournaledTools(seconds=0.1), Sleeper(), "ada", Session(PLACE))).result
    assert result.failure == Failure(FailureKind.TIMEOUT, "the tool lookup gave no answer within 0.1 s")
    assert result.text == result.failure.message


async def test_two_that_ask_at_once_get_the_one_answer_that_is_kept(store: Store):
    """Both arms of a gate see the same web, also when they ask at the same moment."""
    both = asyncio.Barrier(2)

    class Together(Lookup):
        async def __call__(self, arguments: Any, session: str = "") -> ToolResult:
            answer = await super().__call__(arguments, session)
            await both.wait()
            return answer

    desk, tool = JournaledTools(Journal(store)), Together(replies=["first", "second"])
    found = await asyncio.gather(*(call(desk, tool, "ada", Session(PLACE)) for _ in range(2)))
    assert len(tool.asked) == 2
    assert len({one.result.text for one in found}) == 1


async def test_a_closed_ledger_lets_the_journal_alone_answer(store: Store):
    """A stored step that is repeated makes no new call."""
    ledger = Ledger()
    desk, tool = JournaledTools(Journal(store), ledger=ledger), Lookup()
    await call(desk, tool, "ada", Session(PLACE))
    ledger.closed = True
    assert (await call(desk, tool, "ada", Session(PLACE))).replayed
    with pytest.raises(ProviderError, match="the step stands"):
        await call(desk, tool, "bob", Session(PLACE))


async def test_a_tool_with_a_memory_is_brought_back_to_where_it_was(store: Store):
    """Calls that the journal answered are made up for before the first new one; then all goes on."""
    first = Counting()
    desk, session = JournaledTools(Journal(store)), Session(PLACE)
    for query in ("a", "b"):
        await call(desk, first, query, session)
    resumed, session = Counting(), Session(PLACE)
    found = [await call(desk, resumed, query, session) for query in ("a", "b", "c", "d")]
    assert [one.result.text for one in found] == [f"{q} is call {n}" for n, q in enumerate("abcd", 1)]
    assert [one.replayed for one in found] == [True, True, False, False]


async def test_what_such_a_tool_was_asked_before_is_part_of_the_question(store: Store):
    """The same cell after other cells is another question."""
    desk = JournaledTools(Journal(store))
    one, other = Session(PLACE), Session(PLACE)
    await call(desk, Counting(), "a", one)
    await call(desk, Counting(), "b", other)
    await call(desk, Counting(), "x", one)
    assert not (await call(desk, Counting(), "x", other)).replayed


def test_a_refused_prompt_is_remembered(store: Store):
    """A resumed run shortens at once instead of being refused again."""
    desk, request = JournaledTools(Journal(store)), Request("rollout", "m", ({"role": "user", "content": "x"},))
    assert desk.refused(request) is None
    desk.refuse(request, "maximum context length")
    refused = desk.refused(request)
    assert refused is not None
    assert refused.failure == Failure(FailureKind.REFUSED_REQUEST, "maximum context length")
    assert desk.refused(replace(request, attempt=1)) is None
