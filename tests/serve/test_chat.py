"""`/v1/chat/completions` over a socket, as OpenAI's client sees it."""

from __future__ import annotations

import asyncio

import httpx
import openai
import pytest

from tfgrpo.backends.tiny.backend import Tiny
from tfgrpo.backends.tiny.model import Completion, TinyLM
from tfgrpo.serve.choices import Choice, Prompt, token_pieces
from tfgrpo.types import Message, Request, Sampling

MESSAGES: list[Message] = [
    {"role": "system", "content": "Lessons: none."},
    {"role": "user", "content": "What is 4 glorp 2?"},
]
ASK = {"model": "tiny", "messages": MESSAGES, "max_tokens": 12}


def test_choices_with_a_seed_differ_from_each_other_and_repeat(client: openai.OpenAI) -> None:
    """Five choices of a seeded request are not all the same, and the same request brings the same five."""
    first, second = (client.chat.completions.create(**ASK, n=5, seed=7) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert [choice.index for choice in first.choices] == [0, 1, 2, 3, 4]
    assert len(set(texts)) > 1
    assert texts == [choice.message.content for choice in second.choices]


def test_another_seed_brings_other_choices(client: openai.OpenAI) -> None:
    """The texts depend on the seed."""
    texts = [
        [choice.message.content for choice in client.chat.completions.create(**ASK, n=5, seed=seed).choices]
        for seed in (1, 2)
    ]
    assert texts[0] != texts[1]


def test_without_a_seed_requests_differ(client: openai.OpenAI) -> None:
    """A request without a seed gets fresh noise."""
    texts = [
        [choice.message.content for choice in client.chat.completions.create(**ASK, n=8).choices] for _ in range(2)
    ]
    assert texts[0] != texts[1]


async def test_attempts_choices_and_the_embedded_backend_draw_the_same(client: openai.OpenAI) -> None:
    """Seeds that count up sent one by one, choices of the first one, and the same without HTTP give one text each."""
    requests = [
        Request("rollout", "tiny", tuple(MESSAGES), Sampling(max_tokens=12, seed=5 + attempt), attempt=attempt)
        for attempt in range(4)
    ]
    direct = [reply.text for reply in await asyncio.gather(*map(Tiny().complete, requests))]
    joined = client.chat.completions.create(**ASK, n=4, seed=5)
    apart = [client.chat.completions.create(**ASK, seed=5 + attempt) for attempt in range(4)]
    assert [choice.message.content for choice in joined.choices] == direct
    assert [found.choices[0].message.content for found in apart] == direct
    assert len(set(direct)) > 1


def test_temperature_zero_takes_the_likeliest_token(client: openai.OpenAI) -> None:
    """At temperature 0 all choices are equal, and each token is the first of its alternatives."""
    found = client.chat.completions.create(**ASK, n=2, temperature=0, logprobs=True, top_logprobs=1)
    assert found.choices[0].message.content == found.choices[1].message.content
    tokens = found.choices[0].logprobs.content
    assert all(token.logprob == pytest.approx(token.top_logprobs[0].logprob, abs=1e-5) for token in tokens)


def test_max_completion_tokens_cuts_the_reply(client: openai.OpenAI) -> None:
    """A reply cut at the limit says so, and usage counts its tokens."""
    found = client.chat.completions.create(model="tiny", messages=MESSAGES, max_completion_tokens=2, seed=1)
    assert found.choices[0].finish_reason == "length"
    assert found.usage.completion_tokens == 2
    assert found.usage.total_tokens == found.usage.prompt_tokens + 2
    assert found.usage.prompt_tokens_details.cached_tokens == 0


def test_stop_strings_end_the_text_before_them(client: openai.OpenAI) -> None:
    """The text ends right before the stop string, which a free run of the same seed contains."""
    free = client.chat.completions.create(model="tiny", messages=MESSAGES, seed=3).choices[0].message.content
    stop = free[3:6]
    cut = client.chat.completions.create(model="tiny", messages=MESSAGES, seed=3, stop=[stop]).choices[0]
    assert cut.message.content == free[: free.index(stop)]
    assert cut.finish_reason == "stop"


async def test_log_probabilities_add_up_to_the_score(client: openai.OpenAI) -> None:
    """Teacher forcing the returned ids gives the returned log-probabilities; alternatives are ordered."""
    found = client.chat.completions.create(
        **ASK, seed=2, logprobs=True, top_logprobs=4, extra_body={"return_token_ids": True}
    )
    choice = found.choices[0]
    score = await Tiny().score(MESSAGES, choice.model_dump()["token_ids"])
    assert [token.logprob for token in choice.logprobs.content] == pytest.approx(list(score), abs=1e-3)
    for token in choice.logprobs.content:
        likeliest = [other.logprob for other in token.top_logprobs]
        assert len(likeliest) == 4
        assert likeliest == sorted(likeliest, reverse=True)


def test_prompt_ids_are_those_of_tokenize(http: httpx.Client) -> None:
    """`return_token_ids` and `/tokenize` show the same prompt; its table starts with null and names every token."""
    found = http.post("/v1/chat/completions", json=ASK | {"return_token_ids": True, "prompt_logprobs": 2}).json()
    shown = http.post("/tokenize", json={"messages": MESSAGES}).json()
    assert found["prompt_token_ids"] == shown["tokens"]
    assert found["usage"]["prompt_tokens"] == shown["count"]
    table = found["prompt_logprobs"]
    assert table[0] is None
    assert all(str(token) in row for token, row in zip(shown["tokens"][1:], table[1:], strict=True))
    assert all({1, 2} <= {entry["rank"] for entry in row.values()} for row in table[1:])


def test_stream_carries_what_the_whole_reply_holds(client: openai.OpenAI) -> None:
    """The pieces of a stream make up the texts of the same request without one; usage comes last, once."""
    whole = client.chat.completions.create(**ASK, n=2, seed=9)
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(**ASK, n=2, seed=9, stream=True, stream_options=options))
    texts = {0: "", 1: ""}
    for chunk in chunks[:-1]:
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert list(texts.values()) == [choice.message.content for choice in whole.choices]
    ends = [chunk.choices[0].finish_reason for chunk in chunks[:-1] if chunk.choices[0].finish_reason]
    assert ends == [choice.finish_reason for choice in whole.choices]
    assert len(chunks) > 6
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_character_of_several_tokens_is_sent_whole(model: TinyLM) -> None:
    """Pieces never hold half a character: one piece per token, empty until its character is complete."""
    text = "a 世界 b"
    ids = tuple(model.encode(text))
    completion = Completion(ids, text, (0.0,) * len(ids), "stop", 1)
    found = list(token_pieces(model, Choice(0, Prompt((1,), ""), completion, text)))
    assert len(found) == len(ids) > len(text)
    assert "".join(found) == text
    for count in range(len(ids)):
        assert "".join(found[:count]) == model.decode(ids[:count]).rstrip("\ufffd")


def test_streamed_log_probabilities_are_those_of_the_whole(client: openai.OpenAI) -> None:
    """Each token of a stream comes with its log-probability."""
    whole = client.chat.completions.create(**ASK, seed=9, logprobs=True)
    chunks = client.chat.completions.create(**ASK, seed=9, logprobs=True, stream=True)
    streamed = [token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content]
    assert streamed == whole.choices[0].logprobs.content


def test_content_may_be_a_list_of_texts(http: httpx.Client) -> None:
    """Text parts are read as one text; the noise is that of the same text in one piece."""
    parts = [{"role": "user", "content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]}]
    split = http.post("/v1/chat/completions", json=ASK | {"messages": parts, "seed": 1}).json()
    whole = [{"role": "user", "content": "4\n2"}]
    joined = http.post("/v1/chat/completions", json=ASK | {"messages": whole, "seed": 1}).json()
    assert split["choices"] == joined["choices"]


async def test_concurrent_requests_get_the_answers_they_get_alone(base_url: str) -> None:
    """32 requests at once bring what each brings alone."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        questions = [[{"role": "user", "content": f"What is {i} glorp 2?"}] for i in range(32)]
        asked = [ASK | {"messages": question, "seed": i} for i, question in enumerate(questions)]
        together = await asyncio.gather(*(client.chat.completions.create(**ask) for ask in asked))
        alone = [await client.chat.completions.create(**asked[i]) for i in (0, 13, 31)]
    assert [together[i].choices[0].message.content for i in (0, 13, 31)] == [
        found.choices[0].message.content for found in alone
    ]


def test_a_full_context_is_refused_with_both_lengths(client: openai.OpenAI, model: TinyLM) -> None:
    """A prompt that does not fit is a 400 that names the limit and the length."""
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "glorp " * model.max_length}]
        )
    assert raised.value.code == "context_length_exceeded"
    assert str(model.max_length) in raised.value.message
