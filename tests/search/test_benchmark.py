"""The side-by-side benchmark runs both searches on one server, counts there, and keeps ours within its calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import search_server as toy

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "search.py"


@pytest.mark.slow
def test_both_searches_are_run_and_counted_at_the_server():
    """A small comparison without latency, one arm each, in clean weather and with a kill."""
    pytest.importorskip("gepa", reason="needs the gepa package: pip install tfgrpo[test]")
    arms = "gepa 1x1,tfgrpo 1x4"
    command = [sys.executable, BENCHMARK, "--seeds", "1", "--calls", "120", "--latency", "0.01", "--json"]
    done = subprocess.run(
        [*command, "--arms", arms, "--weathers", "clean,kill"], stdout=subprocess.PIPE, check=True, text=True
    )
    table = json.loads(done.stdout)
    assert set(table) == {f"{weather}: {arm}" for weather in ("clean", "kill") for arm in arms.split(",")}
    assert all(row["failed"] == 0 for row in table.values())
    assert table["clean: tfgrpo 1x4"]["calls"] <= 120
    assert table["kill: tfgrpo 1x4"]["calls"] <= 120 + 16


def test_the_toy_is_the_same_for_both():
    """Each side's reflection names rules of words that were lost; a solver with the rule is right nine times in ten."""
    (row,) = toy.rows(1, 0)
    word = row["question"].split()[3]
    ours = toy.reply({"messages": [{"role": "user", "content": (
        f"## The library now\n\nempty\n\n## The attempts\n\n### Attempt 1: reward 0.00\n{row['question']}\n"
        "Now reflect, then reply with the JSON object."
    )}]})  # fmt: skip
    theirs = toy.reply({"messages": [{"role": "user", "content": (
        f"```\nStart.\n```\n\n# Example 1\n{row['question']}\nWrong. The answer is {row['answer']}.\n"
        "Your task is to write a new instruction for the assistant."
    )}]})  # fmt: skip
    assert json.loads(ours)["edits"][0]["text"].startswith(f"When a problem says {word}, ")
    assert theirs.startswith("```\nStart.\nWhen a problem says ")
    told = [toy.attempt(toy.rule(word, good=True), row["question"], seed) == row["answer"] for seed in range(300)]
    untold = [toy.attempt("", row["question"], seed) == row["answer"] for seed in range(300)]
    assert 0.85 < sum(told) / 300 < 0.95
    assert 0.08 < sum(untold) / 300 < 0.22
