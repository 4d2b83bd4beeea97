"""Replies that public servers have sent and nobody expects: each is read, or is the typed failure of that one call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.server import Raw, Server

from tfgrpo.backends import OpenAI, with_wrappers
from tfgrpo.backends.faults import Where
from tfgrpo.backends.n_choices import ChoicesReply, ChoicesRequest
from tfgrpo.backends.retry_policy import Redraw, RetryPolicy, Transient
from tfgrpo.backends.wire import Reading, reply_of
from tfgrpo.errors import ProviderError
from tfgrpo.types import FailureKind, Reply, Request, Sampling

NO_WAIT = RetryPolicy(attempts=2, wait_initial=0, wait_max=0, jitter=0)
ASK = Request("rollout", "m", ({"role": "user", "content": "2+2?"},), Sampling(1.0, seed=7))
TOOLS = ({"type": "function", "function": {"name": "python", "parameters": {"type": "object"}}},)
WHERE = Where("http://host/v1", "m")
USAGE = {"prompt_tokens": 10, "completion_tokens": 5}
UNKNOWN = "estimated"
"""Stands for counts that the endpoint did not give."""


def body(content: Any = "4", usage: Any = USAGE, **choice: Any) -> dict[str, Any]:
    """Return the body of a completion with one choice."""
    message = {"role": "assistant", "content": content, **choice.pop("message", {})}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}], "usage": usage}


READ: dict[str, tuple[Any, Any]] = {
    "plain": (body(), (10, 5)),
    "counts as floats": (body(usage={"prompt_tokens": 37.25, "completion_tokens": 5.0}), (37, 5)),
    "counts as text": (body(usage={"prompt_tokens": "37", "completion_tokens": " 5 "}), (37, 5)),
    "a count as a word": (body(usage={"prompt_tokens": "many", "completion_tokens": 5}), UNKNOWN),
    "a count that is null": (body(usage={"prompt_tokens": None, "completion_tokens": 5}), UNKNOWN),
    "a count that is true": (body(usage={"prompt_tokens": True, "completion_tokens": 5}), UNKNOWN),
    "a count that is a list": (body(usage={"prompt_tokens": [10], "completion_tokens": 5}), UNKNOWN),
    "a negative count": (body(usage={"prompt_tokens": -3, "completion_tokens": 5}), UNKNOWN),
    "a count of 10**30": (body(usage={"prompt_tokens": 10**30, "completion_tokens": 5}), UNKNOWN),
    "a count of 10**400": (
        '{"choices":[{"message":{"content":"4"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1'
        + "0" * 400
        + ',"completion_tokens":5}}',
        UNKNOWN,
    ),
    "NaN": ('{"choices":[{"message":{"content":"4"},"finish_reason":"stop"}],"usage":{"prompt_tokens":NaN}}', UNKNOWN),
    "Infinity": (
        '{"choices":[{"message":{"content":"4"},"finish_reason":"stop"}],"usage":{"prompt_tokens":Infinity}}',
        UNKNOWN,
    ),
    "no usage": ({k: v for k, v in body().items() if k != "usage"}, UNKNOWN),
    "usage is null": (body(usage=None), UNKNOWN),
    "usage is a list": (body(usage=[10, 5]), UNKNOWN),
    "usage is text": (body(usage="15 tokens"), UNKNOWN),
    "usage of zeros": (body(usage={"prompt_tokens": 0, "completion_tokens": 0}), UNKNOWN),
    "details are null": (body(usage={**USAGE, "prompt_tokens_details": None}), (10, 5)),
    "details are a number": (body(usage={**USAGE, "prompt_tokens_details": 3}), (10, 5)),
    "more cached than there are": (body(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 99}}), (10, 5)),
    "cost is an object": (body(usage={**USAGE, "cost": {"total_cost": 0.005}}), (10, 5)),
    "cost is text": (body(usage={**USAGE, "cost": "0.005"}), (10, 5)),
    "cost is a list": (body(usage={**USAGE, "cost": [1]}), (10, 5)),
    "content is an object": (body({"type": "text", "text": "4"}), (10, 5)),
    "content is parts": (body([{"type": "text", "text": "4"}]), (10, 5)),
    "parts hold a null": (body([None, {"type": "text", "text": "4"}]), (10, 5)),
    "parts hold thinking": (body([{"type": "thinking", "thinking": [{"text": "hm"}]}, {"text": "4"}]), (10, 5)),
    "parts are texts": (body(["4"]), (10, 5)),
    "reasoning is a list": (body(message={"reasoning_content": [1, 2]}), (10, 5)),
    "reasoning is an object": (body(message={"reasoning": {"text": "hm"}}), (10, 5)),
    "tool calls are null": (body(message={"tool_calls": None}), (10, 5)),
    "tool calls hold a null": (body(message={"tool_calls": [None]}), (10, 5)),
    "refusal is a flag": (body(message={"refusal": False}), (10, 5)),
    "token ids are texts": (body(token_ids=["a"]), (10, 5)),
    "token ids are floats": (body(token_ids=[1.5]), (10, 5)),
    "no finish reason": ({"choices": [{"message": {"content": "4"}}], "usage": USAGE}, (10, 5)),
    "finish reason in capitals": (body(finish_reason="STOP"), (10, 5)),
    "half a character": (
        '{"choices":[{"message":{"content":"4\\ud83d"},"finish_reason":"stop"}],"usage":null}',
        UNKNOWN,
    ),
    "an error beside choices": ({**body(), "error": None}, (10, 5)),
    "more choices than asked for": ({**body(), "choices": body()["choices"] * 3}, (10, 5)),
}
"""What is read as a reply, and the counts of its usage."""

FAILED: dict[str, tuple[Any, FailureKind]] = {
    "nested 200,000 deep": ("[" * 200_000 + "]" * 200_000, FailureKind.PROVIDER),
    "usage nested deep": ('{"choices":[],"usage":' + '{"a":' * 9000 + "1" + "}" * 9000 + "}", FailureKind.PROVIDER),
    "a list": ("[]", FailureKind.PROVIDER),
    "a number": ("4", FailureKind.PROVIDER),
    "null": ("null", FailureKind.PROVIDER),
    "half of it": (json.dumps(body())[:40], FailureKind.PROVIDER),
    "a page": ("<html>502</html>", FailureKind.PROVIDER),
    "nothing": ("", FailureKind.PROVIDER),
    "no choices": ({"usage": USAGE}, FailureKind.EMPTY),
    "choices are null": ({"choices": None, "usage": USAGE}, FailureKind.EMPTY),
    "choices are an object": ({"choices": {"message": {"content": "4"}}, "usage": USAGE}, FailureKind.EMPTY),
    "a choice that is null": ({"choices": [None], "usage": USAGE}, FailureKind.PROVIDER),
    "a choice that is text": ({"choices": ["4"], "usage": USAGE}, FailureKind.PROVIDER),
    "the message is null": ({"choices": [{"message": None, "finish_reason": "stop"}]}, FailureKind.PROVIDER),
    "the message is text": ({"choices": [{"message": "4", "finish_reason": "stop"}]}, FailureKind.PROVIDER),
    "content is a number": (body(4), FailureKind.PROVIDER),
    "content is an object without text": (body({"answer": 4}), FailureKind.PROVIDER),
    "content is null": (body(None), FailureKind.EMPTY),
    "tool calls are texts": (body(message={"tool_calls": ["python"]}), FailureKind.PROVIDER),
    "an error and no choices": ({"error": {"message": "upstream", "code": 502}}, FailureKind.PROVIDER),
    "an error that is text": ({"error": "upstream broke"}, FailureKind.PROVIDER),
    "an error inside of a choice": (body(error={"message": "upstream", "code": 502}), FailureKind.PROVIDER),
    "a code of another type": ({"error": {"message": "upstream", "code": {"a": 1}}}, FailureKind.PROVIDER),
}
"""What is no reply, and the kind of its failure."""


@pytest.mark.parametrize(("sent", "counts"), READ.values(), ids=READ)
def test_what_can_be_meant_is_read(sent, counts):
    """The text arrives, and counts are the endpoint's or ours, marked; money is a number or unknown."""
    reply = reply_of(json.loads(sent) if isinstance(sent, str) else sent, ASK, WHERE)
    assert reply.text.startswith("4")
    usage = reply.usage
    assert usage.usd is None or isinstance(usage.usd, float)
    assert all(type(n) is int and n >= 0 for n in (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens))
    assert usage.cached_tokens <= usage.prompt_tokens
    if counts == UNKNOWN:
        assert usage.estimated_tokens > 0
        assert usage.prompt_tokens > 0
        assert usage.completion_tokens > 0
    else:
        assert ((usage.prompt_tokens, usage.completion_tokens), usage.estimated_tokens) == (counts, 0)


def test_each_odd_reply_costs_its_own_call_and_no_other():
    """Through a real server: sixty odd bodies give replies and typed failures, and the endpoint is not given up."""
    sent = [given for given, _ in (*READ.values(), *FAILED.values())]
    kinds = [None] * len(READ) + [kind for _, kind in FAILED.values()]
    assert len(sent) >= 60

    def reply(asked: dict[str, Any]) -> Raw:
        given = sent[int(asked["messages"][-1]["content"])]
        return Raw(200, given if isinstance(given, str) else json.dumps(given), {"Content-Type": "application/json"})

    with Server(reply=reply) as server:
        found = run_all(server, len(sent))
    for index, (kind, outcome) in enumerate(zip(kinds, found, strict=True)):
        if kind is None:
            assert isinstance(outcome, Reply), (index, outcome)
        else:
            assert isinstance(outcome, ProviderError), (index, outcome)
            assert outcome.failure.kind is kind, (index, outcome)


def run_all(server: Server, count: int) -> list[Any]:
    """Ask for every body once; returns what came of each."""
    import asyncio

    async def go() -> list[Any]:
        backend = with_wrappers(OpenAI(server.url), policy=NO_WAIT)
        asked = [Request("rollout", "m", ({"role": "user", "content": str(i)},)) for i in range(count)]
        found = await asyncio.gather(*map(backend.complete, asked), return_exceptions=True)
        await backend.aclose()  # type: ignore[attr-defined]
        return list(found)

    return asyncio.run(go())


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "function_call", "Stop", " stop "])
def test_a_reply_that_ended_well_counts(reason):
    """The list of good endings is closed."""
    assert reply_of(body(finish_reason=reason), ASK, WHERE).text == "4"


@pytest.mark.parametrize(
    ("reason", "failure"),
    [
        ("error", Transient),
        ("abort", Transient),
        ("cancelled", Transient),
        ("insufficient_system_resource", Transient),
        ("model_context_window_exceeded", Transient),
        ("a_word_of_tomorrow", Transient),
        (None, Transient),
        (0, Transient),
        ({"type": "stop"}, Transient),
        ("content_filter", Redraw),
        ("content-filter", Redraw),
        ("SAFETY", Redraw),
        ("recitation", Redraw),
        ("guardrail_intervened", Redraw),
        ("sensitive", Redraw),
        ("prohibited_content", Redraw),
    ],
    ids=str,
)
def test_a_reply_that_ended_otherwise_is_a_failure(reason, failure):
    """Text that was cut by an error or taken back by a filter is no wrong answer; its usage is known all the same."""
    with pytest.raises(failure) as caught:
        reply_of(body("The sum is", finish_reason=reason), ASK, WHERE)
    assert caught.value.usage.completion_tokens == 5
    assert isinstance(caught.value, Redraw) == (failure is Redraw)


def test_one_choice_that_broke_costs_that_choice():
    """Of four choices one is null, one holds an error and one was filtered; the fourth gets the whole usage."""
    good = body()["choices"][0]
    broken = [None, {**good, "error": {"message": "x", "code": 502}}, {**good, "finish_reason": "content_filter"}]
    asked = ChoicesRequest("rollout", "m", ASK.messages, n=4)
    reply = reply_of({"choices": [*broken, good], "usage": USAGE}, asked, WHERE)
    assert isinstance(reply, ChoicesReply)
    assert [type(one) for one in reply.choices] == [Transient, Transient, Redraw, Reply]
    assert reply.choices[3].usage.completion_tokens == 5


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "python", "arguments": {"code": "1"}}\n</tool_call>',
        "<|tool_call_begin|>functions.python:0",
        '[TOOL_CALLS][{"name": "python"}]',
        '<function=python>{"code": "1"}</function>',
        "<|python_tag|>print(1)",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function",
        "<tool_call>python\n<arg_key>code</arg_key>",
        '<|channel|>commentary to=functions.python <|message|>{"code": "1"}',
        'functools[{"name": "python"}]',
        '{"name": "python", "parameters": {"code": "1"}}',
        '[{"name": "python", "arguments": {"code": "1"}}]',
        "```tool_code\nprint(1)\n```",
    ],
)
def test_a_tool_call_left_in_the_text_is_named(text):
    """Where tools were offered it is a failure that says what to do; elsewhere it is text like any other."""
    asked = Request("rollout", "m", ASK.messages, tools=TOOLS)
    with pytest.raises(ProviderError, match="parser of tool calls is off") as caught:
        reply_of(body(text), asked, WHERE)
    assert caught.value.failure.kind is FailureKind.MALFORMED
    assert reply_of(body(text), ASK, WHERE).text == text


@pytest.mark.parametrize(
    "text", ["The tag <tool_call> is used by Qwen.", '{"name": "Ada", "age": 3}', "to = functions"]
)
def test_words_about_tool_calls_are_text(text):
    """A mark that is only spoken of is no call."""
    assert reply_of(body(text), Request("rollout", "m", ASK.messages, tools=TOOLS), WHERE).text == text


def test_what_a_server_does_to_tool_calls_is_undone():
    """Arguments that were encoded twice, a channel's mark behind the name, a legacy function call."""
    calls = [
        {"id": 3, "function": {"name": "python<|channel|>commentary", "arguments": json.dumps('{"code": "1"}')}},
        {"id": None, "function": {"name": "python", "arguments": {"code": "1"}}},
        {"function": {"name": "python", "arguments": None}},
    ]
    reply = reply_of(body(None, message={"tool_calls": calls}, finish_reason="tool_calls"), ASK, WHERE)
    assert [call["function"]["name"] for call in reply.tool_calls] == ["python"] * 3
    assert [call["function"]["arguments"] for call in reply.tool_calls] == ['{"code": "1"}', '{"code": "1"}', "{}"]
    assert len({call["id"] for call in reply.tool_calls}) == 3
    old = {"function_call": {"name": "python", "arguments": "{}"}}
    assert reply_of(body(None, message=old, finish_reason="function_call"), ASK, WHERE).finish_reason == "tool_calls"


def test_a_reply_without_end_meets_no_parser():
    """What is longer than the limit is a failure of its call, named so."""
    with pytest.raises(ProviderError, match="more than 100 characters") as caught:
        reply_of(body("4" * 101), ASK, WHERE, Reading(most_characters=100))
    assert caught.value.failure.kind is FailureKind.TRUNCATED


def test_stop_words_that_an_endpoint_refuses_are_heeded_here():
    """The text ends where the first of them begins, and its tokens no longer spell it."""
    reply = reply_of(body("4\nEND of it", token_ids=[1, 2]), ASK, WHERE, Reading(stops=("END", "of")))
    assert (reply.text, reply.token_ids) == ("4\n", None)
