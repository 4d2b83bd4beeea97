"""A small world for whole runs: problems, and a server's replies that are a function of the request alone.

Two made-up words stand for operations. `zorp` adds; a model that was told so in a lesson is right 19 times out of 20,
else one time in three. `blick` multiplies, and the lesson that contrasts propose for it is of no use, so a gate has
something to refuse. Because no reply depends on time or order, two runs that ask the same get the same.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

GOOD = "When a problem says zorp, add the two numbers, because zorp is a sum."
USELESS = "When a problem says blick, read the numbers twice before you reply."
PROBLEM = re.compile(r"What is (\d+) (zorp|blick) (\d+)\?")


def rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Return `count` different problems as rows of a dataset, three in four of them about zorp."""
    draw = random.Random(seed)
    pairs = draw.sample([(a, b) for a in range(10, 100) for b in range(10, 100)], count)
    return [_row(a, b, "blick" if i % 4 == 3 else "zorp") for i, (a, b) in enumerate(pairs)]


def write(path: Path, count: int, seed: int = 0) -> Path:
    """Write a dataset file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(count, seed)), encoding="utf-8")
    return path


def reply(body: dict[str, Any]) -> str:
    """Answer a chat body: a rollout has a seed, everything else asks for edits."""
    return _attempt(body) if "seed" in body else _edits(body)


def _row(a: int, b: int, word: str) -> dict[str, str]:
    return {"question": f"What is {a} {word} {b}?", "answer": str(a + b if word == "zorp" else a * b)}


def _attempt(body: dict[str, Any]) -> str:
    text = body["messages"][-1]["content"]
    found = PROBLEM.search(text)
    assert found is not None, text
    a, word, b = int(found[1]), found[2], int(found[3])
    taught = word == "zorp" and any(GOOD in m["content"] for m in body["messages"])
    luck = int.from_bytes(hashlib.sha256(f"{body['seed']}{text}".encode()).digest()[:4], "big") / 2**32
    right = a + b if word == "zorp" else a * b
    return f"\\boxed{{{right if luck < (0.95 if taught else 0.33) else a - b}}}"


def _edits(body: dict[str, Any]) -> str:
    text = body["messages"][-1]["content"]
    wanted = [GOOD] if "zorp" in text else []
    wanted += [USELESS] if "blick" in text else []
    held = text.partition("## The library now")[2].partition("\n## ")[0]
    edits = [
        {"op": "ADD", "ids": [], "text": t, "reason": "attempt 1 did", "attempts": [1], "when": None}
        for t in wanted
        if t not in held
    ]
    return json.dumps({"edits": edits})
