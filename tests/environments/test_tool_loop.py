"""The loop with tools: what the model is sent, what it gets back, and where a rollout ends."""

from __future__ import annotations

from typing import Any

import pytest
from support.tooling import Counting, Lookup, calling

from experience_db import Lesson, Library
from tfgrpo.backends import Scripted
from tfgrpo.config.rollout_environment import EnvironmentConfig
from tfgrpo.environments import Environment, Slot, ToolLoop
from tfgrpo.environments.tool_protocol import ToolProtocols
from tfgrpo.errors import BudgetReached, EndpointError, ProviderError
from tfgrpo.prompting import templates
from tfgrpo.tools import ToolResult
from tfgrpo.tools.journaled import JournaledTools
from tfgrpo.tools.python import make as make_python
from tfgrpo.types import Failure, FailureKind, Problem, Reply, Sampling, Usage

PROBLEM = Problem("p1", "Who wrote it?", "Ada")
EMPTY = Library("x")
TAUGHT = Library("x", 1, (Lesson(1, "Look twice.", 1, 1),))
SLOT = Slot("rollout", 2, Sampling(temperature=1.0, seed=7))
LONG = "z" * 3000


def looping(*lines: Any, tools: tuple[Any, ...] = (), **config: Any) -> tuple[ToolLoop, Scripted]:
    """A loop over a script; functions unless told otherwise."""
    backend = Scripted(list(lines))
    given = tools or (Lookup(),)
    chosen = EnvironmentConfig("tool_loop", **{"protocol": "functions", **config})
    protocols = ToolProtocols(chosen.protocol, tuple(tool.spec for tool in given), "m")
    return ToolLoop(backend, "m", templates.load(), given, JournaledTools(), protocols, chosen), backend


async def test_calls_run_and_their_results_come_back_in_order():
    """Parallel calls of one reply are all answered, each under its id, before the model goes on."""
    tool = Lookup()
    loop, backend = looping(
        calling(("lookup", {"query": "ada"}), ("lookup", {"query": "bob"}), text="Let me see."), "Ada", tools=(tool,)
    )
    checked: Environment = loop
    rollout = await checked(PROBLEM, EMPTY, SLOT)
    assert [m["role"] for m in rollout.messages] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert [(m["tool_call_id"], m["content"]) for m in rollout.messages[3:5]] == [("call-0", "ADA"), ("call-1", "BOB")]
    assert rollout.messages[2]["content"] == "Let me see."
    assert (rollout.answer, rollout.finish_reason, rollout.failure) == ("Ada", "stop", None)
    assert backend.requests[1].messages == rollout.messages[:5]
    assert backend.requests[0].tools[0]["function"]["name"] == "lookup"
    assert rollout.tainted


async def test_a_rollout_keeps_calls_results_times_and_all_usage():
    """What each call cost and gave is on the rollout, and the usage is that of every turn."""
    loop, _ = looping(calling(("lookup", {"query": "ada"})), Reply("Ada", usage=Usage(30, 7)))
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    (call,) = rollout.tool_calls
    assert (call.name, call.arguments, call.text, call.turn) == ("lookup", '{"query": "ada"}', "ADA", 0)
    assert (call.seconds, call.detail, call.failure) == (0.5, {"source": "memory"}, None)
    assert rollout.usage == Usage(40, 12)


async def test_an_answer_without_calls_is_not_tainted():
    """A rollout that could have called and did not has read nothing from outside."""
    loop, _ = looping("Ada")
    rollout = await loop(PROBLEM, TAUGHT, SLOT)
    assert not rollout.tainted
    assert rollout.tool_calls == ()
    assert "Look twice." in rollout.messages[0]["content"]


async def test_each_turn_is_asked_with_the_same_seed_role_and_index():
    """Same-seed pairs differ in the library alone."""
    loop, backend = looping(calling(("lookup", {"query": "a"})), "Ada")
    await loop(PROBLEM, EMPTY, SLOT)
    assert {(r.role, r.attempt, r.sampling.seed) for r in backend.requests} == {
        ("rollout", 2, SLOT.seeded(PROBLEM).seed)
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{", "not valid JSON"),
        ("[1]", "a JSON array, not an object"),
        ({}, "'query' is missing"),
        ({"query": 3}, "'query' is a JSON integer, not string"),
        ({"query": "a", "count": True}, "'count' is a JSON boolean, not integer"),
        ({"query": "a", "page": 2}, "there is no argument 'page'"),
    ],
)
async def test_arguments_that_cannot_be_used_are_answered_once(given: Any, said: str):
    """The model reads the fault and may call again; the tool is not asked."""
    tool = Lookup()
    loop, backend = looping(calling(("lookup", given)), calling(("lookup", {"query": "a"})), "Ada", tools=(tool,))
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert said in backend.requests[1].messages[-1]["content"]
    assert (rollout.answer, tool.asked) == ("Ada", [{"query": "a"}])
    assert [c.failure and c.failure.kind for c in rollout.tool_calls] == [FailureKind.MALFORMED, None]


async def test_a_second_reply_that_cannot_be_read_is_a_typed_failure():
    """After it was told once, the rollout ends as malformed; what happened is kept."""
    loop, _ = looping(calling(("lookup", "{")), calling(("lookup", "{]")))
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.MALFORMED
    assert (len(rollout.tool_calls), rollout.usage) == (2, Usage(20, 10))


async def test_a_good_turn_forgives_an_earlier_fault():
    """Only replies in a row count: a long rollout may slip twice."""
    good = calling(("lookup", {"query": "a"}))
    loop, _ = looping(calling(("lookup", "{")), good, calling(("lookup", "{")), "Ada")
    assert (await loop(PROBLEM, EMPTY, SLOT)).failure is None


@pytest.mark.parametrize(
    ("name", "given", "sent"),
    [("lookup", "{", "{}"), ("google", "{", "{}"), ("lookup", "[1]", "{}"), ("lookup", '{"q": 1}', '{"q": 1}')],
)
async def test_unreadable_arguments_go_back_as_an_empty_object(name: str, given: str, sent: str):
    """Servers that render the conversation again refuse arguments that are not JSON; the rollout keeps them."""
    loop, backend = looping(calling((name, given)), "Ada")
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert backend.requests[1].messages[2]["tool_calls"][0]["function"]["arguments"] == sent
    assert rollout.tool_calls[0].arguments == given


async def test_an_unknown_tool_is_answered_with_the_known_ones():
    """Inventing a tool costs a turn, not the rollout, however often."""
    loop, backend = looping(calling(("google", {"q": "a"})), calling(("bing", {"q": "a"})), "Ada")
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert "there is no tool 'google'; the tools are: lookup" in backend.requests[1].messages[-1]["content"]
    assert rollout.answer == "Ada"


async def test_ids_that_come_twice_are_made_unique():
    """Within a reply and over the whole rollout, so that each result has one call."""
    same = ("c", "c")
    two = (("lookup", {"query": "a"}), ("lookup", {"query": "b"}))
    loop, backend = looping(calling(*two, ids=same), calling(*two, ids=same), "Ada")
    await loop(PROBLEM, EMPTY, SLOT)
    messages = backend.requests[2].messages
    asked = [call["id"] for m in messages for call in m.get("tool_calls") or ()]
    assert asked == ["c", "c-2", "c-3", "c-4"]
    assert [m["tool_call_id"] for m in messages if m["role"] == "tool"] == asked


async def test_a_tool_that_fails_is_told_and_the_rollout_goes_on():
    """Exceptions of a tool, and its own failures, are results; the rollout is graded."""
    refused = ToolResult("no results", Failure(FailureKind.PROVIDER, "429"))
    tool = Lookup(replies=[ValueError("broken pipe"), refused])
    loop, backend = looping(
        calling(("lookup", {"query": "a"})), calling(("lookup", {"query": "b"})), "Ada", tools=(tool,)
    )
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert "tool lookup raised ValueError: broken pipe" in backend.requests[1].messages[-1]["content"]
    assert backend.requests[2].messages[-1]["content"] == "no results"
    assert [c.failure.kind for c in rollout.tool_calls if c.failure] == [FailureKind.ENVIRONMENT, FailureKind.PROVIDER]
    assert rollout.failure is None


async def test_the_last_turn_asks_for_the_answer():
    """With the turns used up, the model is told so, and its answer is graded."""
    again = calling(("lookup", {"query": "a"}))
    loop, backend = looping(again, again, "Ada", max_turns=3)
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert "No further turn is left" in backend.requests[2].messages[-1]["content"]
    assert (rollout.answer, rollout.finish_reason) == ("Ada", "stop")


async def test_who_calls_on_in_the_last_turn_has_no_answer_and_no_failure():
    """Wasting the turns is the model's doing: the rollout is graded, and says why it ended."""
    again = calling(("lookup", {"query": "a"}))
    tool = Lookup()
    loop, backend = looping(again, again, tools=(tool,), max_turns=2)
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert (rollout.answer, rollout.finish_reason, rollout.failure) == ("", "turn_limit", None)
    assert (len(tool.asked), len(backend.requests)) == (1, 2)


async def test_a_used_up_token_budget_asks_for_the_answer():
    """Tokens of all turns count, prompts included."""
    spent = calling(("lookup", {"query": "a"}), usage=Usage(90, 10))
    loop, backend = looping(spent, "Ada", tokens=100)
    assert (await loop(PROBLEM, EMPTY, SLOT)).answer == "Ada"
    assert "token budget" in backend.requests[1].messages[-1]["content"]
    loop, _ = looping(spent, spent, tokens=100)
    assert (await loop(PROBLEM, EMPTY, SLOT)).finish_reason == "token_budget"


async def test_long_results_lose_their_middle_and_stay_whole_on_the_call():
    """The conversation holds what the model may read; the rollout keeps all."""
    loop, backend = looping(
        calling(("lookup", {"query": "a"})), "Ada", tools=(Lookup(replies=[LONG]),), result_tokens=100
    )
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    shown = backend.requests[1].messages[-1]["content"]
    assert len(shown) < 500
    assert "characters left out" in shown
    assert rollout.tool_calls[0].text == LONG


async def test_a_refused_prompt_is_sent_again_with_shorter_old_results():
    """The oldest result gives up its middle, the newest stays; text and note say so."""
    too_long = ProviderError("This model's maximum context length is 512 tokens", FailureKind.REFUSED_REQUEST)
    tool = Lookup(replies=[LONG, "newest " + LONG])
    once = calling(("lookup", {"query": "a"}))
    loop, backend = looping(once, once, too_long, "Ada", tools=(tool,))
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert rollout.answer == "Ada"
    old, new = (m["content"] for m in rollout.messages if m["role"] == "tool")
    assert "shortened to make room: 2600 characters of this older result left out" in old
    assert new == "newest " + LONG
    assert rollout.notes == ("before reply 3: 1 older tool results shortened by 2519 characters",)
    assert len(backend.requests) == 4


async def test_a_known_window_is_kept_before_it_overflows():
    """With context_tokens nothing has to be refused; what the endpoint counted sets the scale."""
    tool = Lookup(replies=[LONG, LONG])
    first, second = (
        calling(("lookup", {"query": "a"}), usage=Usage(200, 10)),
        calling(("lookup", {"query": "b"}), usage=Usage(900, 10)),
    )
    loop, backend = looping(first, second, "Ada", tools=(tool,), context_tokens=1500)
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert rollout.notes
    assert sum(len(m["content"] or "") for m in backend.requests[2].messages) < 5000


async def test_a_prompt_that_cannot_be_shortened_is_a_failure():
    """Without old results there is nothing to give up; the refusal is the rollout's failure."""
    too_long = ProviderError("maximum context length is 512 tokens", FailureKind.REFUSED_REQUEST)
    loop, backend = looping(too_long)
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert rollout.failure == Failure(FailureKind.REFUSED_REQUEST, "maximum context length is 512 tokens")
    assert len(backend.requests) == 1


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.REFUSED_REQUEST])
async def test_a_provider_failure_keeps_what_was_done_so_far(kind: FailureKind):
    """The rollout is a failure with its calls and usage."""
    loop, _ = looping(calling(("lookup", {"query": "a"})), ProviderError("no", kind))
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert rollout.failure == Failure(kind, "no")
    assert (len(rollout.tool_calls), rollout.usage) == (1, Usage(10, 5))


@pytest.mark.parametrize("error", [EndpointError("401"), BudgetReached("calls")])
async def test_what_ends_a_run_passes_and_sessions_end(error: Exception):
    """Neither is a failure of the rollout; the tools give back what they hold."""
    tool = Counting()
    loop, _ = looping(calling(("lookup", {"query": "a"})), error, tools=(tool,))
    with pytest.raises(type(error)):
        await loop(PROBLEM, EMPTY, SLOT)
    assert len(tool.ended) == 1
    assert tool.sessions == {}


async def test_an_empty_answer_is_a_failure():
    """Nothing said is nothing to grade."""
    loop, _ = looping(calling(("lookup", {"query": "a"})), " ")
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.EMPTY


async def test_sessions_of_two_rollouts_do_not_mix():
    """Both arms of a gate run the same index at the same time."""
    tool = Counting()
    once = calling(("lookup", {"query": "a"}))
    loop, _ = looping(once, "Ada", once, "Ada", tools=(tool,))
    texts = [(await loop(PROBLEM, library, SLOT)).tool_calls[0].text for library in (EMPTY, TAUGHT)]
    assert texts == ["a is call 1", "a is call 1"]


@pytest.mark.parametrize("session", [False, True])
async def test_the_real_python_tool_takes_part(session: bool):
    """What the model computes comes back from a real process."""
    tool = make_python(isolation="limits", session=session)
    loop, backend = looping(
        calling(("python", {"code": "x = 6 * 7\nprint(x)"})),
        calling(("python", {"code": "x + 1"})),
        "43",
        tools=(tool,),
    )
    rollout = await loop(PROBLEM, EMPTY, SLOT)
    assert backend.requests[1].messages[-1]["content"] == "42"
    assert ("43" if session else "NameError") in backend.requests[2].messages[-1]["content"]
    assert rollout.tool_calls[0].detail["isolation"] == "limits"
