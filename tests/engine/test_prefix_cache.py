"""Prompts keep the order that vLLM's prefix cache wants: what the rollouts of a step share comes first."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from experience_db import Edit, Library, Op, Store
from tfgrpo import api
from tfgrpo.backends.tiny.model import TinyLM
from tfgrpo.learning.run import Run
from tfgrpo.prompting import templates

from .conftest import MAX_LENGTH, Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

GROUP = 5
ROOM = 100
"""Tokens of the context that are left to problem and reply."""
SHARE = 0.85


def counted(engine: Engine) -> tuple[float, float]:
    """Return how many prompt tokens vLLM has looked up in its prefix cache so far, and how many it found there."""
    told = httpx.get(f"{engine.root}/metrics").text
    queries, hits = (
        [
            float(value)
            for value in re.findall(rf"^vllm:prefix_cache_{name}_total(?:{{.*}})? (\S+)$", told, re.MULTILINE)
        ]
        for name in ("queries", "hits")
    )
    assert queries, told[:2000]
    return sum(queries), sum(hits)


def long_library(db: Path, lm: TinyLM) -> tuple[Library, int]:
    """Store a library that fills the context but for ROOM tokens; return it and its length in tokens."""
    with Store.open(db) as store:
        library = store.create_library("long", templates.load("tiny").source("lessons"))
        for number in range(400):
            text = f"Treat prefix{number} as {('sum', 'max', 'gap')[number % 3]}."
            longer = library.with_edits([Edit(Op.ADD, text)])
            if len(lm.encode(longer.block())) > MAX_LENGTH - ROOM:
                break
            library = store.commit("long", [Edit(Op.ADD, text)], parent=library.version)
        return library, len(lm.encode(library.block()))


async def test_a_step_reads_its_library_from_the_prefix_cache(
    engine: Engine,
    world: Path,
    lm: TinyLM,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After the first wave 85% of the rollouts' prompt tokens are cache hits, with a library of 800 tokens or more."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    _, length = long_library(tmp_path / "x.db", lm)
    asked = api.setup(
        model="openai/tiny", base_url=engine.url, summarizer_model="scripted/teacher:silent", grader="exact",
        db=tmp_path / "x.db", library="long", epochs=1, limit=24, batch_size=24, group_size=GROUP, concurrency=4,
        gate="open", rollout__max_tokens=24, engine__join=False,
    )  # fmt: skip
    marks = []

    def start(run: Run) -> None:
        assert run.progress is not None
        run.progress.on_group = lambda: marks.append(counted(engine)) if not marks else None

    steps = [step async for step in api.execute(asked, str(world / "problems.jsonl"), 0, on_start=start)]
    queries, hits = (after - before for after, before in zip(counted(engine), marks[0], strict=True))
    rollouts = [r for step in steps for group in step.groups_P for r in group.rollouts_G]
    with capsys.disabled():
        print(
            f"\nprefix cache: {hits:,.0f} of {queries:,.0f} prompt tokens after the first wave were hits "
            f"({hits / queries:.1%}); {len(rollouts)} rollouts, library of {length} tokens"
        )
    assert len(rollouts) == 24 * GROUP
    assert all(r.failure is None for r in rollouts)
    assert length >= 800
    assert queries > (len(rollouts) - 8 * GROUP) * length
    assert hits / queries >= SHARE
