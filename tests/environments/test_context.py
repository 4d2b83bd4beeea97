"""Making room in a full window, and knowing when an endpoint says that it is full."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.environments.context import KEPT, TOO_LONG, conversation_length, leave_out_middle, shorten_results
from tfgrpo.types import Message

TALK: tuple[Message, ...] = (
    {"role": "user", "content": "q" * 5000},
    {"role": "tool", "content": "a" * 5000},
    {"role": "tool", "content": "short"},
    {"role": "tool", "content": "b" * 5000},
)


def test_the_oldest_result_gives_first():
    """No more is taken than is needed, the prompt is never touched, and short results stay."""
    after = shorten_results(TALK, [1, 2, 3], 100)
    assert after is not None
    assert [len(m["content"]) == len(b["content"]) for m, b in zip(after, TALK, strict=True)] == [
        True,
        False,
        True,
        True,
    ]
    assert conversation_length(after) < conversation_length(TALK)


def test_nothing_left_to_shorten_is_none():
    """Results are shortened once; after that the prompt is as short as it gets."""
    once = shorten_results(TALK, [1, 2, 3], 10**6)
    assert once is not None
    assert shorten_results(once, [1, 2, 3], 1) is None


@given(st.text(max_size=2000))
def test_a_brief_result_is_never_longer_and_brief_once(text: str):
    """It holds start and end, and says how much is missing."""
    short = leave_out_middle(text)
    assert len(short) <= max(len(text), KEPT + 120)
    assert leave_out_middle(short) == short
    assert short.startswith(text[: KEPT // 2])
    assert short.endswith(text[-KEPT // 2 :])


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.",
        "Input is too long for requested model.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
        "Please reduce the length of the messages or completion.",
        "context_length_exceeded",
        "the request exceeds the available context size. try increasing the context size",
        "Requested tokens exceed context window of 4096",
    ],
)
def test_endpoints_say_in_many_words_that_a_prompt_does_not_fit(said: str):
    """Each is understood."""
    assert TOO_LONG.search(said)


@pytest.mark.parametrize(
    "said", ["invalid api key", "model not found", "temperature is not supported", "tools are not supported"]
)
def test_other_refusals_are_not_about_length(said: str):
    """They must not cost the rollout its results."""
    assert not TOO_LONG.search(said)
