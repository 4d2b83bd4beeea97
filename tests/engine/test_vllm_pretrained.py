"""vLLM serves the weights that llama.cpp runs elsewhere: a pretrained model attempts, writes lessons and is gated."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tfgrpo import api

from .conftest import Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
EXAMPLE = Path(__file__).parents[2] / "examples" / "real_model"


def test_the_weights_speak(pretrained: Engine) -> None:
    """Numbers, tokenizer and chat template came over whole: a plain question gets a plain answer."""
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    answer = pretrained.chat(asked, model="smollm2-135m", temperature=0.0, max_tokens=12)
    assert "Paris" in answer["choices"][0]["message"]["content"]


def test_the_loop_runs_through_vllm_on_a_pretrained_model(pretrained: Engine, tmp_path: Path, monkeypatch) -> None:
    """All three roles go through vLLM, nothing fails for any cause but a line that is no lesson."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    house = importlib.import_module("house")
    files = house.write("spanish", tmp_path, 0, (6, 12, 4))
    found = api.learn_sync(
        files["learn"],
        heldout=files["gate"],
        model="openai/smollm2-135m",
        base_url=[pretrained.url],
        grader=house.spanish,
        db=tmp_path / "vllm.db",
        config=EXAMPLE / "learn.toml",
        instructions=house.TASKS["spanish"].instructions,
        prompts="small",
        lessons__draws=4,
        lessons__candidates=2,
    )
    summary = found.summary
    assert summary["rollouts"] == 30
    assert summary["calls"]["contrast"]["new"] > 0
    assert summary["calls"]["gate"]["new"] > 0
    assert summary["edits"]["proposed"] > 0
    assert set(summary["failures"]) <= {"malformed"}
    assert found.library.place == "user_end"
