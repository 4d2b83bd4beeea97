"""Anybody's agent: what it gets, what it may return, what becomes of its exceptions, and that it is not run twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from experience_db import Journal, Lesson, Library, Store
from tfgrpo.backends.metered import Tally
from tfgrpo.environments import Slot, Wrapped
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.types import Failure, FailureKind, Problem, Rollout, Sampling, ToolCall, Usage

PROBLEM = Problem("p1", "What is 2 + 2?", "4")
EMPTY = Library("x")
TAUGHT = Library("x", 1, (Lesson(1, "When adding, count.", 1, 1),))
SLOT = Slot("rollout", 3, Sampling(seed=1))


async def echo(problem: Problem, lessons: str) -> str:
    """Answer with what it got."""
    return f"{problem.question} | {lessons}"


async def test_an_agent_gets_the_problem_and_the_lessons_as_text():
    """`lessons` is '' while there are none, and the block of the library later."""
    agent = Wrapped(echo, "echo")
    assert (await agent(PROBLEM, EMPTY, SLOT)).answer == "What is 2 + 2? | "
    assert "[1] When adding, count." in (await agent(PROBLEM, TAUGHT, SLOT)).answer


async def test_a_string_becomes_a_rollout_whose_price_is_unknown():
    """The agent pays its own model, and unknown is not zero."""
    rollout = await Wrapped(echo, "echo")(PROBLEM, EMPTY, SLOT)
    assert (rollout.problem_id, rollout.index) == ("p1", 3)
    assert rollout.usage.usd is None
    assert [m["role"] for m in rollout.messages] == ["user", "assistant"]


async def test_a_rollout_keeps_what_the_agent_says_but_its_place():
    """Messages, usage and taint are the agent's; problem and index are ours."""

    async def agent(problem: Problem, lessons: str) -> Rollout:
        return Rollout("anything", 99, answer="4", usage=Usage(5, 6, usd=0.1), tainted=True)

    rollout = await Wrapped(agent, "a")(PROBLEM, EMPTY, SLOT)
    assert (rollout.problem_id, rollout.index, rollout.answer) == ("p1", 3, "4")
    assert rollout.tainted
    assert rollout.usage == Usage(5, 6, usd=0.1)


def raising(error: BaseException):
    """An agent that raises."""

    async def agent(problem: Problem, lessons: str) -> str:
        raise error

    return Wrapped(agent, "broken")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no luck"), FailureKind.ENVIRONMENT),
        (TimeoutError(), FailureKind.TIMEOUT),
        (SystemExit(3), FailureKind.ENVIRONMENT),
        (ProviderError("busy", FailureKind.RATE_LIMITED), FailureKind.RATE_LIMITED),
        (MalformedReply("no JSON"), FailureKind.MALFORMED),
    ],
)
async def test_what_an_agent_raises_is_the_failure_of_its_rollout(error, kind):
    """One broken attempt costs itself; its kind says what happened."""
    rollout = await raising(error)(PROBLEM, EMPTY, SLOT)
    assert rollout.failure is not None
    assert rollout.failure.kind is kind


async def test_the_failure_names_agent_problem_and_exception():
    """Enough to find the fault."""
    rollout = await raising(ValueError("no luck"))(PROBLEM, EMPTY, SLOT)
    assert rollout.failure is not None
    assert rollout.failure.message == "agent broken on problem p1 raised ValueError: no luck"


@pytest.mark.parametrize("error", [EndpointError("dead"), BudgetReached("spent"), KeyboardInterrupt()])
async def test_what_ends_the_run_passes(error):
    """A dead endpoint, a used-up budget and Ctrl-C are not the agent's failure."""
    with pytest.raises(type(error)):
        await raising(error)(PROBLEM, EMPTY, SLOT)


@pytest.mark.parametrize("returned", [None, 4, {"answer": "4"}])
async def test_anything_but_text_or_a_rollout_is_refused(returned):
    """The failure says what came and what was wanted."""

    async def agent(problem: Problem, lessons: str) -> object:
        return returned

    rollout = await Wrapped(agent, "odd")(PROBLEM, EMPTY, SLOT)  # type: ignore[arg-type]
    assert rollout.failure is not None
    assert f"it returned {type(returned).__name__}; return a str or a Rollout" in rollout.failure.message


async def test_a_finished_agent_is_not_run_again(tmp_path: Path):
    """The journal answers for problem, lessons, role and index; anything else of these runs the agent."""
    runs = []

    async def agent(problem: Problem, lessons: str) -> Rollout:
        runs.append(problem.id)
        return Rollout("", 0, ({"role": "assistant", "content": "4"},), "4", usage=Usage(1, 2), tainted=True)

    tally: dict[str, Tally] = {}
    with Store.open(tmp_path / "x.db") as store:
        wrapped = Wrapped(agent, "a", Journal(store), None, tally)
        first = await wrapped(PROBLEM, EMPTY, SLOT)
        again = await wrapped(PROBLEM, EMPTY, SLOT)
        assert (again.answer, again.messages, again.usage, again.tainted) == ("4", first.messages, Usage(1, 2), True)
        assert len(runs) == 1
        await wrapped(PROBLEM, TAUGHT, SLOT)
        await wrapped(PROBLEM, EMPTY, Slot("gate", 3, Sampling()))
        await wrapped(PROBLEM, EMPTY, Slot("rollout", 4, Sampling()))
        await wrapped(Problem("p1", "What is 3 + 3?"), EMPTY, SLOT)
    assert len(runs) == 5
    assert (tally["rollout"].new, tally["rollout"].replayed, tally["gate"].new) == (4, 1, 1)


async def test_a_failed_agent_is_run_again(tmp_path: Path):
    """Failures are not recorded: they are tried again next time."""
    runs = []

    async def agent(problem: Problem, lessons: str) -> str:
        runs.append(problem.id)
        raise ValueError("not yet")

    with Store.open(tmp_path / "x.db") as store:
        wrapped = Wrapped(agent, "a", Journal(store))
        await wrapped(PROBLEM, EMPTY, SLOT)
        await wrapped(PROBLEM, EMPTY, SLOT)
    assert len(runs) == 2


async def test_a_revived_rollout_has_its_tool_calls_and_notes(tmp_path: Path):
    """What an agent reports of its tools is in the journal like the rest."""
    calls = (
        ToolCall("1", "look", "{}", "found", 0, seconds=0.5, detail={"source": "x"}),
        ToolCall("2", "look", "{", "", 1, Failure(FailureKind.MALFORMED, "no")),
    )

    async def agent(problem: Problem, lessons: str) -> Rollout:
        return Rollout("", 0, answer="4", tool_calls=calls, notes=("shortened",))

    with Store.open(tmp_path / "x.db") as store:
        first, again = [await Wrapped(agent, "a", Journal(store))(PROBLEM, EMPTY, SLOT) for _ in range(2)]
    assert first.tool_calls == again.tool_calls == calls
    assert again.notes == ("shortened",)
