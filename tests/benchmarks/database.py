"""How large a database gets for each completion, and how long it takes to open: texts kept once and compressed, or not.

    python tests/benchmarks/database.py [--problems 60] [--group 5] [--turns 1] [--json]
    python tests/benchmarks/database.py --codecs FILE.jsonl
    python tests/benchmarks/database.py --open 2000

A whole `tfgrpo.learn` against a loopback server with prompts of the size that work has: a library of 30 lessons of 40
words, problems of 80 words, replies of 300 words with --turns 1. Words are drawn by Zipf's law, whose texts compress
about as English does. The parts: bytes a completion with texts in place, kept once, and after `runs prune` and `db
vacuum`. --codecs compares zlib and, where it is installed, zstandard on the longest texts of a file's rows. --open
fills a file with so many MiB and times `Store.open` at a tenth of it and at all of it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfgrpo
from experience_db import Edit, Journal, Op, Store
from tfgrpo.types import Reply, Request, Usage

WORDS = [f"{a}{b}{c}" for a in ("", "s", "tr", "pl") for b in ("an", "o", "ing", "er", "u") for c in "bcdfghklmnprst"]
WEIGHTS = [1 / (rank + 3) for rank in range(len(WORDS))]
LESSONS, LESSON_WORDS, PROBLEM_WORDS, REPLY_WORDS = 30, 40, 80, 300


def words(seed: str, count: int) -> str:
    """Return `count` words that hang on `seed` alone."""
    return " ".join(random.Random(seed).choices(WORDS, WEIGHTS, k=count))


class Model:
    """Answers at length, sometimes right; proposes nothing."""

    async def complete(self, request: Request) -> Reply:
        """Answer as the seed and the problem say."""
        if request.role != "rollout":
            return Reply('{"edits": []}', "stop", Usage(900, 5))
        seed = f"{request.messages[-1]['content']}{request.sampling.seed}{request.attempt}"
        text = f"{words(seed, REPLY_WORDS)} \\boxed{{{random.Random(seed).randrange(2)}}}"
        return Reply(text, "stop", Usage(900, 400))


def learned(folder: Path, problems: int, group: int, share: bool) -> dict[str, Any]:
    """Learn once; returns completions and bytes as they are, pruned, and pruned and vacuumed."""
    path = folder / f"{share}.db"
    with Store.open(path) as store:
        store.create_library("default")
        store.commit("default", [Edit(Op.ADD, words(f"l{i}", LESSON_WORDS)) for i in range(LESSONS)], parent=0)
    rows = [{"question": words(f"q{i}", PROBLEM_WORDS), "answer": "1"} for i in range(problems)]
    began = time.process_time()
    done = tfgrpo.learn_sync(
        rows, heldout=0, gate="open", model="scripted/database:Model", grader="exact", db=path, epochs=1,
        batch_size=20, group_size=group, engine__share_texts=share,
    )  # fmt: skip
    seconds = time.process_time() - began
    calls = sum(row["new"] for row in done.summary["calls"].values())
    found: dict[str, Any] = {"completions": calls, "cpu_ms_per_completion": seconds / calls * 1e3}
    with Store.open(path) as store:
        found["bytes"] = store.vacuum().after
        ids = [run.id for run in store.runs()]
        found["foretold"] = store.prune(ids).bytes
        store.prune(ids, dry=False)
        found["pruned"] = store.vacuum().after
    return found


def codecs(file: Path) -> dict[str, Any]:
    """Return share of bytes left and microseconds, by codec and by size of what is compressed together."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    texts = [max((v for v in row.values() if isinstance(v, str)), key=len).encode() for row in rows]
    ways: dict[str, Callable[[bytes], bytes]] = {f"zlib {n}": lambda b, n=n: zlib.compress(b, n) for n in (1, 6)}  # type: ignore[misc]
    if importlib.util.find_spec("zstandard"):
        import zstandard

        ways |= {f"zstd {n}": zstandard.ZstdCompressor(n).compress for n in (3, 9)}
    found: dict[str, Any] = {}
    for together in (1, 5, 20):
        parts = [b"\n".join(texts[i : i + together]) for i in range(0, len(texts), together)]
        whole = sum(map(len, parts))
        for name, way in ways.items():
            began = time.process_time()
            left = sum(len(way(part)) for part in parts) / whole
            each = (time.process_time() - began) / len(parts) * 1e6
            found[f"{name}, {whole // len(parts)} bytes"] = {"left": round(left, 3), "us": round(each, 1)}
    return found


def opened(folder: Path, mib: int) -> dict[str, Any]:
    """Fill a file and time opening and what is asked first, at a tenth and at all of `mib`."""
    path, found, many = folder / "large.db", {}, 0
    with Store.open(path) as store:
        store.create_library("default")
        store.start_run("r", name="r", kind="learn", fingerprint="f", config={}, library="default", base_version=0,
                        dataset="d")  # fmt: skip
        store.share_texts = False
    for goal in (mib / 10, mib):
        with Store.open(path) as store:
            store.share_texts = False
            journal = Journal(store)
            while path.stat().st_size < goal * 2**20:
                with store.atomic():
                    for _ in range(500):
                        many += 1
                        journal.put(f"{many:064}", role="rollout", model="m", request={"m": "x" * 2000},
                                    reply={"text": "y" * 1500}, run="r")  # fmt: skip
        times = []
        for _ in range(9):
            began = time.perf_counter()
            Store.open(path, readonly=True).close()
            times.append((time.perf_counter() - began) * 1e3)
        with Store.open(path, readonly=True) as store:
            began = time.perf_counter()
            store.usage("r")
            usage = time.perf_counter() - began
        found[f"{path.stat().st_size / 2**20:.0f} MiB"] = {
            "calls": many, "open_ms": round(statistics.median(times), 2), "usage_of_a_run_s": round(usage, 3)
        }  # fmt: skip
    return found


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--problems", type=int, default=60)
    asked.add_argument("--group", type=int, default=5)
    asked.add_argument("--codecs", type=Path)
    asked.add_argument("--open", type=int, metavar="MIB")
    asked.add_argument("--json", action="store_true", help="print one JSON object")
    told = asked.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if told.codecs:
            found = codecs(told.codecs)
        elif told.open:
            found = opened(Path(name), told.open)
        else:
            found = {way: learned(Path(name), told.problems, told.group, way == "kept once")
                     for way in ("in place", "kept once")}  # fmt: skip
            for row in found.values():
                row["bytes_per_completion"] = round(row["bytes"] / row["completions"])
                row["pruned_per_completion"] = round(row["pruned"] / row["completions"])
    if told.json:
        print(json.dumps(found))
    else:
        for name, row in found.items():
            print(
                f"{name}: " + ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
            )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
