"""vLLM and our own runtime agree on the same weights, and `learn` runs through vLLM from end to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tfgrpo.backends.coalesced import Coalesced
from tfgrpo.backends.openai import OpenAI
from tfgrpo.backends.retry_policy import Transient
from tfgrpo.backends.tiny.model import Job, TinyLM
from tfgrpo.errors import ProviderError
from tfgrpo.types import FailureKind, Request, Sampling

from .conftest import MAX_LENGTH, Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

Chat = list[dict[str, str]]
TIE = 1e-3
"""Two tokens whose log-probabilities differ by less may change places between two float32 programs."""
CACHE_BLOCK = 128
"""Tokens that vLLM's prefix cache shares at a time on the CPU."""
SCHEMA = {
    "type": "object",
    "properties": {"op": {"enum": ["add", "none"]}, "times": {"enum": [1, 2, 3]}},
    "required": ["op", "times"],
    "additionalProperties": False,
}


def ask(question: str, lessons: list[str]) -> Chat:
    """A problem after a library."""
    numbered = "\n".join(f"[{index}] {text}" for index, text in enumerate(lessons, 1))
    return [
        {"role": "system", "content": f"Lessons:\n{numbered}"},
        {"role": "user", "content": f"Problem: {question}"},
    ]


@pytest.fixture(scope="session")
def chats(world: Path) -> list[Chat]:
    """Twenty problems, each after another choice of the world's true lessons."""
    lessons = (world / "truth.txt").read_text().splitlines()
    rows = [json.loads(line) for line in (world / "problems.jsonl").read_text().splitlines()[:20]]
    return [ask(row["question"], lessons[index % 3 :]) for index, row in enumerate(rows)]


def texts(answer: dict[str, Any]) -> list[str]:
    """The texts of all choices, by index."""
    return [choice["message"]["content"] for choice in sorted(answer["choices"], key=lambda each: each["index"])]


def logprobs_of_prompt(answer: dict[str, Any], ids: list[int]) -> list[float | None]:
    """Log-probability of each prompt token; None where there is none."""
    return [found and found[str(token)]["logprob"] for found, token in zip(answer["prompt_logprobs"], ids, strict=True)]


def test_n_choices_come_from_one_request(engine: Engine, chats: list[Chat]) -> None:
    """A request with n=3 brings three choices, and its prompt is counted once."""
    answer = engine.chat(chats[0], n=3, max_tokens=8, temperature=1.0, seed=3, ignore_eos=True)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["completion_tokens"] == 24
    single = engine.chat(chats[0], max_tokens=8, temperature=1.0, seed=3)
    assert answer["usage"]["prompt_tokens"] == single["usage"]["prompt_tokens"]


def test_choice_j_of_a_request_draws_like_a_request_with_seed_plus_j(engine: Engine, chats: list[Chat]) -> None:
    """One request with n and n requests with counted-up seeds give the same texts, and other seeds give others."""
    same = {"max_tokens": 24, "temperature": 1.5}
    # Without lessons the model has to guess, so draws differ.
    bare = [message for message in chats[0] if message["role"] != "system"]
    joined = texts(engine.chat(bare, n=4, seed=100, **same))
    apart = [texts(engine.chat(bare, seed=100 + j, **same))[0] for j in range(4)]
    assert joined == apart
    assert joined == texts(engine.chat(bare, n=4, seed=100, **same))
    assert len(set(joined)) > 1


async def test_a_group_is_asked_for_in_one_request(engine: Engine, chats: list[Chat]) -> None:
    """Five rollouts that start together are the five that would have come one by one; their prompt is paid for once."""
    requests_G = [
        Request(
            "rollout", "tiny", tuple(chats[0]), Sampling(temperature=1.5, max_tokens=24, seed=5 + index), attempt=index
        )
        for index in range(5)
    ]
    backend = OpenAI(engine.url, model="tiny")
    try:
        alone_G = [await backend.complete(request) for request in requests_G]
        together_G = await asyncio.gather(*map(Coalesced(backend, engine.url).complete, requests_G))
    finally:
        await backend.aclose()
    assert [reply.text for reply in together_G] == [reply.text for reply in alone_G]
    assert len({reply.text for reply in together_G}) > 1
    assert sum(reply.usage.prompt_tokens for reply in together_G) == alone_G[0].usage.prompt_tokens


def test_a_json_schema_is_enforced(engine: Engine, chats: list[Chat]) -> None:
    """Whatever the model would say, a reply under a schema is JSON of that schema."""
    wanted = {"type": "json_schema", "json_schema": {"name": "edit", "schema": SCHEMA, "strict": True}}
    answer = engine.chat(chats[0], n=3, seed=1, temperature=1.0, max_tokens=400, response_format=wanted)
    for text in texts(answer):
        jsonschema.validate(json.loads(text), SCHEMA)


async def test_our_client_speaks_schema_usage_and_token_ids(engine: Engine, chats: list[Chat], lm: TinyLM) -> None:
    """The OpenAI backend has its schema honoured at once, and brings the sampled tokens and the prompt's size."""
    backend = OpenAI(engine.url, model="tiny", token_ids=True)
    request = Request(
        role="contrast",
        model="tiny",
        messages=tuple(chats[1]),
        sampling=Sampling(temperature=1.0, max_tokens=400, seed=5),
        response_schema=SCHEMA,
    )
    try:
        reply = await backend.complete(request)
    finally:
        await backend.aclose()
    jsonschema.validate(json.loads(reply.text), SCHEMA)
    assert reply.usage.prompt_tokens == len(lm.chat_ids(chats[1]))
    assert lm.decode(reply.token_ids) == reply.text


async def test_a_prompt_that_is_too_long_is_a_refused_request(engine: Engine, chats: list[Chat]) -> None:
    """Our backend reads vLLM's answer to a prompt beyond the context as final, not as an outage to wait for."""
    backend = OpenAI(engine.url, model="tiny")
    question = {"role": "user", "content": "Compute 1. " * MAX_LENGTH}
    try:
        with pytest.raises(ProviderError, match=str(MAX_LENGTH)) as raised:
            await backend.complete(Request("rollout", "tiny", (question,)))
    finally:
        await backend.aclose()
    assert raised.value.failure.kind is FailureKind.REFUSED_REQUEST
    assert not isinstance(raised.value, Transient)


def test_tokens_of_a_chat_are_the_same(engine: Engine, chats: list[Chat], lm: TinyLM) -> None:
    """The chat template in the weights' folder and ours give one token sequence, whatever the turns."""
    longer = [*chats[0], {"role": "assistant", "content": "Answer: 4"}, {"role": "user", "content": "Sure?\n{x}"}]
    for messages in (*chats, chats[0][1:], longer):
        assert engine.post("/tokenize", messages=messages)["tokens"] == lm.chat_ids(messages)


def test_prompt_logprobs_agree_with_our_runtime(engine: Engine, chats: list[Chat], lm: TinyLM) -> None:
    """Every prompt token but the first has a log-probability, within 1e-3 of ours."""
    for messages in chats[:6]:
        ids = lm.chat_ids(messages)
        found = logprobs_of_prompt(engine.chat(messages, max_tokens=1, prompt_logprobs=0), ids)
        assert found[0] is None
        np.testing.assert_allclose(found[1:], lm.score(ids[:1], ids[1:]), atol=1e-3)


def test_prompt_logprobs_ignore_the_temperature(engine: Engine, chats: list[Chat], lm: TinyLM) -> None:
    """They are log-probabilities at temperature 1, however the completion is sampled."""
    ids = lm.chat_ids(chats[0])
    cold, hot = (
        logprobs_of_prompt(engine.chat(chats[0], max_tokens=1, prompt_logprobs=0, temperature=value), ids)
        for value in (0.2, 1.7)
    )
    np.testing.assert_allclose(cold[1:], hot[1:], atol=1e-5)


def test_greedy_replies_are_ours(engine: Engine, chats: list[Chat], lm: TinyLM) -> None:
    """On twenty problems under lessons, both runtimes take the same most likely tokens, ties apart."""
    ours = lm.generate([Job(lm.chat_ids(each), max_tokens=96, temperature=0.0, logprobs=2) for each in chats])
    for messages, mine in zip(chats, ours, strict=True):
        answer = engine.chat(messages, max_tokens=96, temperature=0.0, return_token_ids=True)
        theirs = answer["choices"][0]["token_ids"]
        tie = next((at for at, (best, second) in enumerate(mine.top) if best[1] - second[1] < TIE), len(mine.ids))
        assert theirs[:tie] == list(mine.ids[:tie]), messages
        if tie == len(mine.ids):
            assert texts(answer) == [mine.text]


def test_a_repeated_library_is_read_from_the_prefix_cache(engine: Engine, world: Path) -> None:
    """Under one library a second problem finds all whole blocks of the shared prefix in the cache."""
    lessons = (world / "truth.txt").read_text().splitlines()
    many = [f"{text} (note {index})" for index in range(8) for text in lessons]
    first, second = (engine.chat(ask(question, many), max_tokens=1) for question in ("Compute 1.", "Evaluate 2."))
    before, after = (each["usage"]["prompt_tokens_details"] or {"cached_tokens": 0} for each in (first, second))
    shared = len(engine.post("/tokenize", messages=ask("", many)[:1], add_generation_prompt=False)["tokens"])
    assert before["cached_tokens"] < CACHE_BLOCK
    assert shared > CACHE_BLOCK
    assert after["cached_tokens"] == shared // CACHE_BLOCK * CACHE_BLOCK


def test_lessons_learned_through_vllm_help_and_are_paid_once(engine: Engine, world: Path, tmp_path: Path) -> None:
    """One epoch makes problems x G rollouts without a failure, true lessons pass the gate, and a rerun calls nobody."""
    first, again = (
        summary(learn(engine, world, tmp_path / "vllm.db", "--summarizer-model", "scripted/teacher:write"))
        for _ in range(2)
    )
    assert (first["steps"], first["problems"], first["rollouts"]) == (1, 24, 120)
    assert first["calls"]["rollout"] == {"new": 120, "replayed": 0}
    assert first["calls"]["evaluate"]["new"] >= 48
    assert first["failures"] == {}
    assert first["usage"]["prompt_tokens"] > 24 * 10
    assert first["edits"]["accepted"] > 0
    assert first["lessons"] > 0
    assert first["heldout"]["n"] == 24
    assert first["heldout"]["diff"] > 0
    assert sum(role["new"] for role in again["calls"].values()) == 0
    assert {**again, "calls": 0, "seconds": 0} == {**first, "calls": 0, "seconds": 0}


def test_the_served_model_may_write_the_lessons_too(engine: Engine, world: Path, tmp_path: Path) -> None:
    """All roles go through vLLM; where its grammar leaves this model nothing sensible to say, the command says that."""
    done = learn(engine, world, tmp_path / "vllm.db", "--limit", "16")
    if done.returncode == 0:
        assert set(summary(done)["failures"]) <= {"malformed"}
    else:
        assert "every contrast failed" in done.stderr
    with contextlib.closing(sqlite3.connect(tmp_path / "vllm.db")) as db:
        calls = dict(db.execute("SELECT role, COUNT(*) FROM calls GROUP BY role"))
    assert calls["rollout"] == 80
    assert calls["contrast"] > 0


def learn(engine: Engine, world: Path, db: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Learn one epoch from the world's problems with the command line."""
    command = [
        *(Path(sys.executable).with_name("tfgrpo"), "learn", "problems.jsonl", "--heldout", "heldout.jsonl"),
        *("--model", "openai/tiny", "--base-url", engine.url, "--grader", "exact", "--epochs", "1", "--limit", "24"),
        *("--group-size", "5", "--db", db, "--run", "one", "--prompts", "tiny", "--json", "--quiet", *more),
    ]
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        cwd=world,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )


def summary(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return what a command that ended well says about its run."""
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
