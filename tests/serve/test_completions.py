"""`/v1/completions`, `/tokenize` and `/detokenize` over a socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from tfgrpo.backends.tiny.model import TinyLM

PROMPT = "What is 4 glorp 2?"
UPDATE = "Update the library.\nLibrary:\n[1] Treat glorp as max.\nNew: Treat dax as sum."


def post(http: httpx.Client, **body: Any) -> dict[str, Any]:
    """The answer to a completion request, which must succeed."""
    answer = http.post("/v1/completions", json={"model": "tiny", "seed": 4, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_prompt_may_be_text_or_ids(http: httpx.Client, model: TinyLM) -> None:
    """Text and its token ids are the same prompt and get the same choices."""
    as_text = post(http, prompt=PROMPT, n=2)
    as_ids = post(http, prompt=list(model.encode(PROMPT)), n=2)
    assert as_text["choices"] == as_ids["choices"]
    assert as_text["usage"] == as_ids["usage"]


def test_a_list_of_prompts_is_answered_in_order(http: httpx.Client, model: TinyLM) -> None:
    """Choices of several prompts come prompt by prompt, each what the prompt gets alone; lists of ids work alike."""
    prompts = [PROMPT, "Lessons:"]
    found = post(http, prompt=prompts, n=2, max_tokens=4)
    alone = [choice["text"] for prompt in prompts for choice in post(http, prompt=prompt, n=2, max_tokens=4)["choices"]]
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2, 3]
    assert [choice["text"] for choice in found["choices"]] == alone
    assert found["usage"]["prompt_tokens"] == sum(len(model.encode(prompt)) for prompt in prompts)
    assert post(http, prompt=[list(model.encode(p)) for p in prompts], n=2, max_tokens=4)["choices"] == found["choices"]


def test_sixteen_tokens_unless_told(http: httpx.Client) -> None:
    """Without `max_tokens` at most 16 tokens are generated, as elsewhere."""
    choices = post(http, prompt="Lessons:", n=16, temperature=1.5, return_token_ids=True)["choices"]
    assert max(len(choice["token_ids"]) for choice in choices) == 16


def test_echo_and_prompt_table_agree_with_the_score(http: httpx.Client, model: TinyLM) -> None:
    """Echoed log-probabilities, vLLM's table and `score` are one set of numbers, null for the first token."""
    ids = model.encode(PROMPT)
    choice = post(http, prompt=PROMPT, max_tokens=0, echo=True, logprobs=2, prompt_logprobs=0)["choices"][0]
    score = model.score(tuple(ids[:1]), tuple(ids[1:]))
    assert choice["text"] == PROMPT
    assert choice["logprobs"]["token_logprobs"][0] is None
    assert choice["logprobs"]["token_logprobs"][1:] == pytest.approx(list(score), abs=1e-3)
    table = choice["prompt_logprobs"]
    assert table[0] is None
    rows = [row[str(token)] for token, row in zip(ids[1:], table[1:], strict=True)]
    assert [row["logprob"] for row in rows] == pytest.approx(list(score), abs=1e-3)
    assert "".join(row["decoded_token"] for row in rows) == PROMPT[len(model.decode(ids[:1])) :]
    assert all(len(row) == 1 for row in table[1:])


def test_ranks_count_likelier_tokens(http: httpx.Client) -> None:
    """Ranks follow the log-probabilities, and the prompt's own token is always in the table."""
    table = post(http, prompt=PROMPT, max_tokens=1, prompt_logprobs=20)["choices"][0]["prompt_logprobs"]
    for row in table[1:]:
        entries = sorted(row.values(), key=lambda entry: entry["rank"])
        assert [entry["rank"] for entry in entries[:20]] == list(range(1, 21))
        likeliest = [entry["logprob"] for entry in entries]
        assert likeliest == sorted(likeliest, reverse=True)
        assert len(row) in (20, 21)


def test_parallel_lists_cover_prompt_and_completion(http: httpx.Client) -> None:
    """With echo, tokens, log-probabilities and offsets run over prompt and completion, and spell the text."""
    choice = post(http, prompt=PROMPT, max_tokens=5, echo=True, logprobs=3)["choices"][0]
    lists = choice["logprobs"]
    assert "".join(lists["tokens"]) == choice["text"]
    assert {len(lists[key]) for key in ("tokens", "token_logprobs", "top_logprobs", "text_offset")} == {
        len(lists["tokens"])
    }
    for token, offset in zip(lists["tokens"], lists["text_offset"], strict=True):
        assert choice["text"][offset:].startswith(token)
    assert lists["top_logprobs"][0] is None
    assert all(1 <= len(top) <= 3 for top in lists["top_logprobs"][1:])


def test_stream_of_completions_spells_the_whole(client: openai.OpenAI) -> None:
    """Pieces of a stream, echo included, make up the text, and the end has the reason."""
    ask = {"model": "tiny", "prompt": PROMPT, "seed": 4, "echo": True, "n": 2}
    whole = client.completions.create(**ask)
    chunks = list(client.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    texts = {0: "", 1: ""}
    for chunk in chunks[:-1]:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert list(texts.values()) == [choice.text for choice in whole.choices]
    assert chunks[-1].usage == whole.usage


def test_json_format_keeps_only_the_json_of_the_reply(client: openai.OpenAI) -> None:
    """The model thinks on one line and ends in JSON; with a JSON response_format the content is that JSON."""
    ask = {"model": "tiny", "messages": [{"role": "user", "content": UPDATE}], "temperature": 0}
    free = client.chat.completions.create(**ask).choices[0].message.content
    asked = client.chat.completions.create(**ask, response_format={"type": "json_object"}).choices[0].message.content
    assert "\n" in free
    assert asked == free.splitlines()[-1]
    assert isinstance(json.loads(asked), dict)


def test_a_reply_without_json_stays_as_it_is(client: openai.OpenAI) -> None:
    """Where the model wrote no JSON, a JSON response_format changes nothing and hides nothing."""
    ask = {"model": "tiny", "messages": [{"role": "user", "content": PROMPT}], "seed": 1, "max_tokens": 8}
    schema = {"type": "json_schema", "json_schema": {"name": "edits", "schema": {"type": "object"}}}
    free, asked = (client.chat.completions.create(**ask, **more) for more in ({}, {"response_format": schema}))
    assert asked.choices[0].message.content == free.choices[0].message.content


def test_detokenize_turns_tokenize_round(http: httpx.Client, model: TinyLM) -> None:
    """Any text survives tokenize and detokenize, also one outside the vocabulary's language."""
    text = "Treat glorp as max. Grüße, 世界 \t\n {}"
    shown = http.post("/tokenize", json={"prompt": text}).json()
    assert shown["count"] == len(shown["tokens"])
    assert shown["max_model_len"] == model.max_length
    assert http.post("/detokenize", json={"tokens": shown["tokens"]}).json() == {"prompt": text}
