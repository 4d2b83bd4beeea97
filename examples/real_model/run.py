"""The whole loop on a real model and a house task: before, after, lessons, controls, bill. `make real` runs it.

    python examples/real_model/run.py list --seed 0

The learning questions, those of the gate and those that give before and after are three sets that share nothing. The
convention stands in no prompt: the model attempts, the grader says what the house wants of each answer, the same model
writes orders, the gate keeps those that help on questions of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import house

from tfgrpo import api
from tfgrpo.cli.print_results import NEUTRAL

HERE = Path(__file__).parent
MODEL = "local/smollm2-135m"
SIZES = (12, 48, 48)
"""Questions to learn from, for the gate, and for before and after."""


def run(
    task: str,
    seed: int,
    folder: Path,
    *,
    grader: Any = None,
    controls: tuple[str, ...] = (),
    sizes: tuple[int, int, int] = SIZES,
    **more: Any,
) -> dict[str, Any]:
    """Learn a task from nothing and measure it on questions that nothing of the run has seen.

    Args:
        task: name of the house task.
        seed: another order of the questions, and other draws.
        folder: where files and database go.
        grader: another judge than the house's, for the learning alone.
        controls: what else to measure, see `tfgrpo eval --control`.
        sizes: questions to learn from, for the gate, and for before and after.
        more: further settings, as `tfgrpo.api.learn` takes them.
    """
    began = time.monotonic()
    files = house.write(task, folder, seed, sizes)
    judge = house.GRADERS[task]
    tokens = house.TASKS[task].tokens
    options = {
        "model": MODEL,
        "db": folder / f"{task}-{seed}.db",
        "config": HERE / "learn.toml",
        "instructions": house.TASKS[task].instructions,
        "seed": seed,
        "rollout__max_tokens": tokens,
        "evaluation__max_tokens": tokens,
        **more,
    }
    learned = api.learn_sync(files["learn"], heldout=files["gate"], grader=grader or judge, **options)
    seconds = {"learning": time.monotonic() - began}
    after = api.evaluate_sync(files["test"], library="default", grader=judge, controls=controls, **options)
    seconds["all"] = time.monotonic() - began
    before = after.summary["controls"].get("empty", {"mean": None, "diff": None, "diff_ci": (None, None)})
    return {
        "task": task,
        "seed": seed,
        "before": before["mean"],
        "after": after.summary["mean"],
        "gain": before["diff"],
        "gain_ci": before["diff_ci"],
        "controls": after.summary["controls"],
        "lessons": [lesson.text for lesson in learned.library],
        "edits": learned.summary["edits"],
        "rollouts": learned.summary["rollouts"],
        "calls": {role: made["new"] for role, made in learned.summary["calls"].items()},
        "usage": learned.summary["usage"],
        "seconds": seconds,
    }


def told(found: dict[str, Any]) -> str:
    """Return a run in words."""
    task, (low, high) = house.TASKS[found["task"]], found["gain_ci"]
    lines = [
        f'what the solver is told: "{task.instructions}"; what the grader says: "{task.wanted}"',
        f"before {found['before']:.2f}, after {found['after']:.2f} on 48 questions that neither learning nor gate saw: "
        f"{found['gain']:+.2f} [{low:+.2f}, {high:+.2f}]",
        "lessons, written by the model itself and proved by fresh rollouts on questions they do not come from:",
        *(f"  {text}" for text in found["lessons"] or ["  none"]),
    ]
    for name, row in found["controls"].items():
        if row["mean"] is None or name == "empty":
            continue
        lines.append(f"control {name}: {row['mean']:.2f}, the library is {row['diff']:+.2f} above it")
        moved = row["mean"] - found["before"]
        if name == "filler" and abs(moved) >= NEUTRAL:
            lines[-1] += f"; words that say nothing are not neutral here, {moved:+.2f} against none"
    usage, calls = found["usage"], sum(found["calls"].values())
    lines.append(
        f"bill of the learning: {calls} calls, {usage['prompt_tokens']:,} tokens read, "
        f"{usage['completion_tokens']:,} written, {found['seconds']['learning']:.0f} s; no key, no network"
    )
    return "\n".join(lines)


def main() -> None:
    """Run one task and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", default="list", choices=house.TASKS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--keep", type=Path, help="folder for files and database; default: one that is removed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        found = run(options.task, options.seed, folder, controls=("same", "empty", "filler", "tips"))
    print(json.dumps(found) if options.json else told(found))


if __name__ == "__main__":
    main()
