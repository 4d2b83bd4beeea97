"""Answers that come as a stream though none was asked for are the answers that they would have been."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.server import Raw, Server

import tfgrpo
from tfgrpo.backends.streamed_body import is_stream, joined_events

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def events(*bodies: Any) -> str:
    """Bodies as events."""
    return "".join(f"data: {json.dumps(body, ensure_ascii=False)}\n\n" for body in bodies) + "data: [DONE]\n\n"


@given(st.lists(st.tuples(st.integers(0, 2), TEXT, TEXT)))
def test_pieces_become_the_texts_they_are_of(pieces):
    """Whatever the pieces hold, line separators included, each choice's content and reasoning are their sums."""
    text = events(
        *({"choices": [{"index": i, "delta": {"content": said, "reasoning": why}}]} for i, said, why in pieces)
    )
    found = [choice["message"] for choice in joined_events(text)["choices"]]
    wanted: dict[int, tuple[str, str]] = {}
    for i, said, why in pieces:
        before = wanted.get(i, ("", ""))
        wanted[i] = (before[0] + said, before[1] + why)
    assert is_stream(text)
    assert found == [{"content": said, "reasoning": why} for said, why in wanted.values()]


@given(st.recursive(st.none() | st.integers() | TEXT, lambda x: st.lists(x) | st.dictionaries(TEXT, x)))
def test_no_event_is_a_traceback(value):
    """An event, a choice, a delta or a call of any other form is passed over."""
    for body in (value, {"choices": value}, {"choices": [value]}, {"choices": [{"delta": value}]}):
        joined_events(events(body))
    joined_events(events({"choices": [{"delta": {"tool_calls": value, "content": value}, "index": value}]}))


def test_a_call_of_a_tool_is_put_together():
    """The name comes with the first piece, the arguments bit by bit."""
    deltas: list[dict[str, Any]] = [
        {"index": 0, "id": "a", "function": {"name": "add", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x":'}},
        {"index": 1, "id": "b", "function": {"name": "end", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": " 1}"}},
    ]
    text = events(*({"choices": [{"delta": {"tool_calls": [delta]}}]} for delta in deltas))
    calls = joined_events(text)["choices"][0]["message"]["tool_calls"]
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls] == [
        ("a", "add", '{"x": 1}'),
        ("b", "end", "{}"),
    ]


def test_what_a_stream_cost_is_in_the_bill(tmp_path):
    """Its last event counts the tokens, and a choice of it is graded."""
    text = events(
        {"choices": [{"delta": {"content": "4"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
    )
    with Server(reply=lambda body: Raw(200, text)) as server:
        found = tfgrpo.evaluate_sync(
            [{"question": "2+2?", "answer": "4"}], model="openai/m", base_url=server.url, grader="exact",
            db=tmp_path / "x.db",
        ).summary  # fmt: skip
    assert found["mean"] == 1.0
    assert (found["usage"]["prompt_tokens"], found["usage"]["completion_tokens"]) == (7, 2)
