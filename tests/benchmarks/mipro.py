"""Ours beside dspy's MIPROv2: the toy task of `search.py`, the same loopback server, calls counted there.

    python tests/benchmarks/mipro.py [--seeds 20] [--first 100] [--auto light] [--json]

dspy (3.4) compiles `Predict` over the toy's signature with 4 bootstrapped and 4 labeled demonstrations and its `auto`
setting. Preset `mipro` then gets as many calls as the server counted for it on that seed, twice: as it is, and without
lessons (`search.candidates = 0`). Lessons are ours: their reflections see which attempts lost, and MIPROv2 has none.
All have 36 learning and 30 held-out problems; what they end with is judged on 240 others. The writer of instructions is
scripted (`tests/support/instruction_writer.py`) and the same for all. `started` is the prompt before.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search import SLOTS, START, judged, problems, server
from search import stats as counted


def theirs(url: str, seed: int, auto: str) -> str:
    """Compile with dspy; returns all that stands before a question."""
    import dspy

    class Solve(dspy.Signature):
        question: str = dspy.InputField()
        answer: str = dspy.OutputField()

    Solve.__doc__ = START
    lm = dspy.LM("openai/toy", api_base=url, api_key="none", cache=False)
    sets = [[dspy.Example(**row).with_inputs("question") for row in rows] for rows in problems(seed)[:2]]
    with dspy.context(lm=lm):
        optimizer = dspy.MIPROv2(
            metric=lambda row, said, trace=None: said.answer.strip() == row.answer, auto=auto, seed=seed + 1,
            num_threads=SLOTS,
        )  # fmt: skip
        found = optimizer.compile(dspy.Predict(Solve), trainset=sets[0], valset=sets[1])
    shown = [f"{demo['question']}\n{demo['answer']}" for demo in found.demos]
    return "\n".join([found.signature.instructions, *shown])


def ours(url: str, seed: int, calls: int, folder: Path, candidates: int) -> str:
    """Search with preset `mipro` and so many lessons at most; returns all that stands before a question."""
    import tfgrpo

    learn, held, _ = problems(seed)
    result = tfgrpo.learn_sync(
        learn, heldout=held, model="openai/toy", base_url=url, grader="exact", db=folder / "x.db", method="mipro",
        seed=seed, concurrency=SLOTS, budget_calls=calls, search__candidates=candidates,
    )  # fmt: skip
    messages: Sequence[Any] = result.library.inject([{"role": "user", "content": ""}])
    return "\n".join(str(message["content"]) for message in messages)


ARMS = {"tfgrpo": 12, "tfgrpo without lessons": 0}
"""Lessons that our search chooses from."""


def one(seed: int, auto: str, latency: float) -> dict[str, Any]:
    """Run all on one seed."""
    with server(latency=latency) as url:
        prompt = theirs(url, seed, auto)
        cost = counted(url)
    found: dict[str, Any] = {"seed": seed, "started": judged((START, None), seed), "dspy": judged((prompt, None), seed)}
    spent = {"dspy": cost}
    for name, candidates in ARMS.items():
        with server(latency=latency) as url, tempfile.TemporaryDirectory() as folder:
            found[name] = judged((ours(url, seed, cost["calls"], Path(folder), candidates), None), seed)
            spent[name] = counted(url)
    found |= {f"{name} - dspy": found[name] - found["dspy"] for name in ARMS}
    return found | {f"{what} of {name}": told[what] for name, told in spent.items() for what in ("calls", "tokens")}


def main() -> None:
    """Run all seeds and print means with Student's interval, and the paired difference."""
    from tfgrpo import stats

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--auto", choices=("light", "medium", "heavy"), default="light")
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = []
    for seed in range(given.first, given.first + given.seeds):
        rows.append(one(seed, given.auto, given.latency))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    table = {name: [row[name] for row in rows] for name in rows[0] if name != "seed"}
    found = {
        name: {"mean": sum(values) / len(values), "ci": stats.mean_interval(values), "n": len(values)}
        for name, values in table.items()
    }
    if given.json:
        print(json.dumps({"rows": rows, "means": found}))
        return
    for name, row in found.items():
        print(f"{name:32} {row['mean']:11,.3f} [{row['ci'][0]:,.3f}, {row['ci'][1]:,.3f}]")


if __name__ == "__main__":
    main()
