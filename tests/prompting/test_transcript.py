"""A rollout as its reader sees it: turns, calls and results, within a budget."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.prompting.transcript import LEAST, common_limit, cut_middle, transcript
from tfgrpo.types import Message

CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"q": 1}'}}


def talk(*results: str, said: str = "I look.") -> tuple[Message, ...]:
    """A conversation with one call and result per turn."""
    messages: list[Message] = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    for result in results:
        messages.append({"role": "assistant", "content": said, "tool_calls": [CALL]})
        messages.append({"role": "tool", "tool_call_id": "c", "content": result})
    return (*messages, {"role": "assistant", "content": "It is 4."})


def test_words_and_calls_of_a_turn_are_both_told():
    """A model that thinks aloud before it calls loses neither."""
    assert transcript(talk("found")) == 'assistant: I look.\ncalls look({"q": 1})\n\ntool: found\n\nassistant: It is 4.'


def test_results_in_plain_text_are_told_too():
    """There they come back in the role of the user; the prompt is not part of it."""
    messages: tuple[Message, ...] = (
        {"role": "user", "content": "question"},
        {"role": "assistant", "content": "```python\n1\n```"},
        {"role": "user", "content": "Result 1"},
        {"role": "assistant", "content": "1"},
    )
    text = transcript(messages, numbered=True)
    assert text.startswith("step 1: ```python")
    assert "user: Result 1" in text
    assert "question" not in text


def test_long_results_are_cut_and_what_the_model_said_stays():
    """The longest first, all to the same length, and short ones not at all."""
    text = transcript(talk("a" * 4000, "short", "b" * 9000, said="My plan. " * 10), tokens=500)
    assert len(text) <= 2000
    assert text.count("My plan. " * 10) == 3
    assert "tool: short" in text
    lengths = [len(part) for part in text.split("\n\n") if part.startswith("tool: ") and "left out" in part]
    assert len(lengths) == 2
    assert max(lengths) - min(lengths) <= 2
    assert re.search(r"tool: a+\n\[\.\.\. \d+ characters left out \.\.\.\]\na+", text)


def test_a_transcript_within_its_budget_is_whole():
    """Nothing is cut where nothing has to be."""
    messages = talk("a" * 400, "b" * 300)
    assert transcript(messages, tokens=1000) == transcript(messages)


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(-100, 5000))
def test_the_level_fits_the_room_and_wastes_none(sizes: list[int], room: int):
    """All sizes cut to it fit, and a level one higher would not."""
    found = common_limit(sizes, room)
    if found >= 0 and room >= 0:
        assert sum(min(size, found) for size in sizes) <= room or not sizes
        if any(size > found for size in sizes):
            assert sum(min(size, found + 1) for size in sizes) > room - len(sizes)


@given(st.text(max_size=600), st.integers(LEAST, 400))
def test_a_cut_text_keeps_start_and_end(text: str, most: int):
    """And is no longer than it may be."""
    short = cut_middle(text, most)
    assert len(short) <= max(most + 20, 0)
    assert short[: most // 2 - 20] == text[: most // 2 - 20]
