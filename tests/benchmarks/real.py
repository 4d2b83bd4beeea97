"""The whole loop on a real model: house tasks x seeds, before and after on questions that nothing of the run has seen.

    python tests/benchmarks/real.py --tasks json list poem yesno --seeds 0 1 2 --out real.jsonl
    python tests/benchmarks/real.py --tasks list --seeds 0 1 --shuffled --out real.jsonl
    python tests/benchmarks/real.py --out real.jsonl --table

Needs `pip install 'tfgrpo[local]'` and `tfgrpo models install smollm2-135m`. A run that stands in FILE is not made
again, and one that was cut goes on where its database is kept (`--keep`). `--shuffled` is the A/A of the loop: while it
learns, rewards are drawn by chance at the task's own rate and the grader says nothing, so each lesson that enters is a
false one; such runs are short (6 questions, 24 for the gate).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples" / "real_model")]

import house  # noqa: E402 - the folder of the example
import run as loop  # noqa: E402

from tfgrpo.backends.local import find  # noqa: E402
from tfgrpo.backends.local.weights import require_engine  # noqa: E402
from tfgrpo.errors import UsageError  # noqa: E402
from tfgrpo.types import Problem, Rollout, Score  # noqa: E402

CONTROLS = ("empty", "same", "filler", "tips", "best-of-n")


def by_chance(problem: Problem, rollout: Rollout) -> Score:
    """Reward a rollout by chance, whatever it says."""
    return Score(float(Random(f"{problem.id} {rollout.index} {rollout.answer}").random() < 0.25))


AA: dict[str, Any] = {
    "grader": by_chance,
    "sizes": (6, 24, 4),
    "lessons__draws": 4,
    "lessons__candidates": 2,
    "rollout__max_tokens": 4,
}
"""How a run by chance is made: short, because what counts is whether anything enters."""


def lacking() -> str:
    """Return what the runs need and this environment has not; '' when all is there."""
    try:
        find(loop.MODEL)
        require_engine()
    except UsageError as error:
        return str(error)
    return ""


def rows_of(file: Path) -> list[dict]:
    """Return the runs made so far."""
    return [json.loads(row) for row in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def table(rows: Sequence[dict]) -> str:
    """Return the runs as Markdown."""
    lines = [
        "| task | seed | before | after | gain | same | filler | tips | best of n | lessons | rollouts | minutes |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        means = [r["controls"].get(name, {}).get("mean") for name in ("same", "filler", "tips", "best-of-n")]
        low, high = r["gain_ci"]
        gain = "" if r["gain"] is None else f"{r['gain']:+.2f} [{low:+.2f}, {high:+.2f}]"
        lessons = "; ".join(r["lessons"]) or "none"
        said = [
            f"{r['task']}{', rewards by chance' if r['shuffled'] else ''}",
            str(r["seed"]),
            "" if r["before"] is None else f"{r['before']:.2f}",
            f"{r['after']:.2f}",
            gain,
            *("" if mean is None else f"{mean:.2f}" for mean in means),
            lessons,
            str(r["rollouts"] + r["calls"].get("gate", 0)),
            f"{r['seconds']['learning'] / 60:.1f}",
        ]
        lines.append(f"| {' | '.join(said)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs that are missing, or print those that were made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["list"], choices=list(house.TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--controls", nargs="*", default=list(CONTROLS))
    parser.add_argument("--shuffled", action="store_true", help="rewards by chance while learning")
    parser.add_argument("--threads", type=int, default=0, help="of the engine; 0 takes the cores there are")
    parser.add_argument("--out", type=Path, help="runs, one a line; default: a file that is removed")
    parser.add_argument("--keep", type=Path, help="folder of the databases; default: one that is removed")
    parser.add_argument("--table", action="store_true", help="print what was measured")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args(arguments)
    if options.out is None:
        with tempfile.TemporaryDirectory() as folder:
            main([*(arguments or sys.argv[1:]), "--out", str(Path(folder) / "real.jsonl")])
        return
    if not options.table and (missing := lacking()):
        print(json.dumps({"rows": [], "missing": missing}) if options.json else missing)
        return
    known = {(r["task"], r["seed"], r["shuffled"]) for r in rows_of(options.out)}
    wanted = [(task, seed) for seed in options.seeds for task in options.tasks]
    for task, seed in [] if options.table else wanted:
        if (task, seed, options.shuffled) in known:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            how = AA if options.shuffled else {"controls": tuple(options.controls)}
            folder = options.keep / ("shuffled" if options.shuffled else "") if options.keep else Path(temporary)
            found = loop.run(task, seed, folder, engine__local__threads=options.threads, **how)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**found, "shuffled": options.shuffled}) + "\n")
    rows = rows_of(options.out)
    print(json.dumps({"rows": rows}) if options.json else table(rows))


if __name__ == "__main__":
    main()
