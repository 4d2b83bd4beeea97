"""Teacher-forced scores by a real vLLM: those of our own runtime, the same in any order, 0 for no edit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import tfgrpo
from experience_db import Store
from tfgrpo import datasets
from tfgrpo.backends.openai import OpenAI
from tfgrpo.backends.score import BackendScorer, TinyScores
from tfgrpo.backends.score_http import HttpScores
from tfgrpo.backends.tiny.backend import Tiny
from tfgrpo.edit_scores import spells
from tfgrpo.types import Message, Request, Sampling

from .conftest import Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

AGREE = 1e-3
"""Two float32 programs on the same weights, nats per token."""


@pytest.fixture
async def scorer(engine: Engine) -> AsyncIterator[BackendScorer]:
    """A scorer that talks to vLLM."""
    http = HttpScores(engine.url)
    yield BackendScorer(http, "tiny")
    await http.aclose()


@pytest.fixture
async def rollouts(engine: Engine, world: Path) -> list[tuple[tuple[Message, ...], tuple[int, ...]]]:
    """Prompts and the ids that vLLM drew after them."""
    backend = OpenAI(engine.url, model="tiny", token_ids=True)
    found = []
    for problem in datasets.load(str(world / "problems.jsonl"))[:6]:
        chat: tuple[Message, ...] = ({"role": "user", "content": f"Problem: {problem.question}"},)
        reply = await backend.complete(Request("rollout", "tiny", chat, Sampling(1.0, max_tokens=32, seed=3)))
        assert reply.token_ids
        found.append((chat, reply.token_ids))
    await backend.aclose()
    return found


async def test_scores_agree_with_our_runtime(scorer, rollouts):
    """Each token that vLLM drew has the log-prob that the embedded runtime gives it, within 1e-3."""
    own = BackendScorer(TinyScores(Tiny()), "tiny")
    for chat, ids in rollouts:
        assert await scorer.score(chat, ids) == pytest.approx(await own.score(chat, ids), abs=AGREE)


async def test_what_tokens_spell_comes_with_their_scores(scorer, rollouts):
    """The texts of vLLM's prompt log-probs are those of our tokenizer, so planning words find their tokens exactly."""
    own = BackendScorer(TinyScores(Tiny()), "tiny")
    for chat, ids in rollouts:
        await scorer.score(chat, ids)
        await own.score(chat, ids)
        told, ours = scorer.token_texts(ids), own.token_texts(ids)
        assert told is not None
        assert ours is not None
        assert spells(told, "".join(ours))


async def test_the_identity_edit_is_zero_whatever_the_order(scorer, rollouts):
    """Scored again, alone or all at once, backwards, no rollout moves by more than the agreement of two programs."""
    first = [await scorer.score(chat, ids) for chat, ids in rollouts]
    again = await asyncio.gather(*(scorer.score(chat, ids) for chat, ids in reversed(rollouts)))
    for one, other in zip(first, reversed(again), strict=True):
        assert other == pytest.approx(one, abs=AGREE)


async def test_a_lesson_changes_the_score_of_the_prompt_it_stands_in(scorer, rollouts):
    """The floor is far below what a changed prompt does, so a difference can be seen at all."""
    chat, ids = rollouts[0]
    told = ({"role": "system", "content": "Lessons:\n[1] Start with the right one."}, *chat)
    plain, with_lesson = await scorer.score(chat, ids), await scorer.score(told, ids)
    assert max(abs(a - b) for a, b in zip(plain, with_lesson, strict=True)) > 10 * AGREE


def test_edits_are_scored_through_vllm_in_a_run(engine, world, tmp_path):
    """`--gate likelihood` on vLLM gives every proposed edit a score or the reason why there is none."""
    asked = {"model": "openai/tiny", "base_url": engine.url, "grader": "exact", "epochs": 1, "limit": 20}
    held = datasets.load(str(world / "heldout.jsonl"))
    learning = datasets.load(str(world / "problems.jsonl"))
    result = tfgrpo.learn_sync(learning, heldout=held, db=tmp_path / "x.db", gate="likelihood", **asked)
    assert result.summary["calls"]["score"]["new"] > 0
    with Store.open(tmp_path / "x.db", readonly=True) as store:
        found = [e for e in store.evidence("default") if e.kind == "edit-score"]
    assert all(e.estimate is None for e in found)
    for e in found:
        if e.detail["edit_score"] is not None:
            assert abs(e.detail["null_edits"]["re-score"]) < AGREE
            assert e.detail["coverage"] == 1.0
