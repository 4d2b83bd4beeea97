"""Does it learn? Held-out reward per epoch over many unseen worlds of the embedded model, with intervals.

    python tests/benchmarks/learning.py --worlds 20 --json

Each world is learned from its own problems, gated on a pool of its own, and measured on a third set that neither saw.
All variants share worlds, problems and seeds, so their paired differences are the ones to trust.

With `--json` the last line is one object: `variants` holds by name `reward` (mean over worlds before learning and after
each epoch), `right` and `wrong` (lessons a world at the end), `untested_right` (right lessons a world that were
proposed, never met the gate, and are missing at the end), `proving_rollouts` and `learning_rollouts` (a world), those
that scored edits before the gate (`pilot_rollouts`), and beside them the intervals and every single world. Lines below
the table compare each variant with the first, paired over worlds: reward, lessons, tokens of the library, rollouts that
proved per lesson that entered, and right proposals per contrast.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import fmean

from experience_db import Store, open_library
from tfgrpo import api, datasets, stats
from tfgrpo.types import Verdict

WORLDS = Path(__file__).parents[2] / "examples" / "tiny_model" / "worlds.py"

VARIANTS = {
    "default": {},
    "open": {"gate": "open"},
    "no-contrast": {"gate": "open", "lessons__contrast": False},
    "training-free-grpo": {"method": "training-free-grpo"},
    "word": {"gate__options": {"touch": "word"}},
    "e-lond": {"gate__options": {"spending": "e-lond"}},
    "ordered": {"edit_score__order": "on"},
    "single": {"gate": "variants:single"},
    "mean": {"gate": "variants:mean"},
}
"""What is compared: options of `tfgrpo.learn`; any other name is a preset."""
COUNTED = ("right", "of", "wrong", "untested_right", "proving_rollouts", "learning_rollouts", "pilot_rollouts")
"""Counts of a world that are averaged."""
COMPARED = (
    "reward",
    "right",
    "lessons",
    "library_tokens",
    "proving_rollouts",
    "proving_per_lesson",
    "right_per_contrast",
)
"""Figures of a world that are compared with the first variant."""
POISON = {
    "model": "scripted/variants:Poisoned",
    # What the model `tiny` sets for itself; the name of the one that wraps it says nothing.
    "overrides": ["prompts=tiny", "evaluation.temperature=0.3", "evaluation.top_p=0.95"],
}
POISONED = ("default", "open", "single", "mean", "word", "e-lond")
VARIANTS |= {f"poisoned {name}": {**VARIANTS[name], **POISON} for name in POISONED}


def one_world(seed: int, variant: str, sizes: argparse.Namespace) -> dict:
    """Learn one world; return the reward on its test set before and after every epoch."""
    return asyncio.run(_one_world(seed, variant, sizes))


async def _one_world(seed: int, variant: str, sizes: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        learn, pool, test, truth = make_world(Path(folder), seed, sizes)
        options = {"model": "tiny", "grader": "exact", "seed": seed, "db": Path(folder) / "world.db"}
        chosen = {**options, "epochs": sizes.epochs, **(VARIANTS.get(variant) or {"method": variant})}
        versions, proposed, tested, right_said = {}, set(), set(), 0
        async for step in api.learn(learn, heldout=pool, **chosen):
            versions[step.epoch] = step.version_after
            proposed |= {p.edit.text for p in step.proposals}
            right_said += sum(p.edit.text in truth for p in step.proposals)
            tested |= {edit.text for v in step.verdicts if _met_the_gate(v) for edit in v.edits}
        curve = [
            (await api.evaluate(test, library=name, **options)).summary["mean"]
            for name in ("", *(f"default@{v}" for v in versions.values()))
        ]
        library = open_library("default", db=options["db"])
        texts = {lesson.text for lesson in library}
        spent = rollouts(options["db"])
    about = {text for text in texts if text.startswith(("Treat", "Start"))}
    return {
        "seed": seed,
        "curve": curve,
        "right": len(about & truth),
        "wrong": len(about - truth),
        "of": len(truth),
        "proposed_right": len(proposed & truth),
        "untested_right": len((proposed & truth) - tested - texts),
        "wrong_lessons": sorted(about - truth),
        "missing": sorted(truth - about),
        "reward": curve[-1],
        "lessons": len(texts),
        "library_tokens": len(library.block()) / 4,
        "proving_per_lesson": (spent["proving_rollouts"] + spent["pilot_rollouts"]) / max(len(texts), 1),
        "right_per_contrast": right_said / max(spent["contrasts"], 1),
        **spent,
    }


def _met_the_gate(verdict: Verdict) -> bool:
    """Whether rollouts spoke for or against an edit; refusals in code and `untested` are none."""
    return verdict.decision != "untested" and bool(verdict.evidence)


def rollouts(db: Path) -> dict[str, int]:
    """Return how many rollouts taught, proved and scored edits in the runs of a database, calls of the model alone."""
    with Store.open(db, readonly=True) as store:
        spent = [store.usage(run.id) for run in store.runs() if run.kind == "learn"]
    return {
        name: sum(usage[role].calls for usage in spent if role in usage)
        for name, role in (
            ("learning_rollouts", "rollout"),
            ("proving_rollouts", "gate"),
            ("pilot_rollouts", "pilot"),
            ("contrasts", "contrast"),
        )
    }


def make_world(folder: Path, seed: int, sizes: argparse.Namespace) -> tuple:
    """Write one world and return its learning problems, gate pool, test set and true lessons."""
    sized = ["--seed", seed, "--problems", sizes.problems, "--heldout", sizes.pool + sizes.test]
    command = [sys.executable, WORLDS, *sized, "--truth", folder / "truth", "-o", folder]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    rest = datasets.load(folder / "heldout.jsonl")
    truth = set((folder / "truth").read_text(encoding="utf-8").splitlines())
    return datasets.load(folder / "problems.jsonl"), rest[: sizes.pool], rest[sizes.pool :], truth


def main() -> None:
    """Run the chosen variants over all worlds and print the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--first", type=int, default=5000, help="seed of the first world")
    parser.add_argument("--problems", type=int, default=96)
    parser.add_argument("--pool", type=int, default=64, help="problems of the gate")
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--variants", default="default,open,no-contrast")
    parser.add_argument("--keep", type=Path, help="keep each world here, and go on from what is there")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    sizes = parser.parse_args()
    table = {}
    seeds = range(sizes.first, sizes.first + sizes.worlds)
    with ProcessPoolExecutor(sizes.processes) as pool:
        for variant in sizes.variants.split(","):
            worlds = measured(pool, variant, seeds, sizes)
            columns = list(zip(*(w["curve"] for w in worlds), strict=True))
            table[variant] = {
                "n": len(worlds),
                "reward": [fmean(column) for column in columns],
                "ci": [stats.bootstrap_mean(column, seed=0) for column in columns],
                **{key: fmean(w[key] for w in worlds) for key in COUNTED},
                "worlds": worlds,
            }
            told = "  ".join(
                _cell(*column) for column in zip(table[variant]["reward"], table[variant]["ci"], strict=True)
            )
            kept = (
                "right {right:.2f} of {of:.1f} ({untested_right:.2f} proposed and untested), wrong {wrong:.2f}; "
                "{learning_rollouts:.0f} rollouts taught, {proving_rollouts:.0f} proved, {pilot_rollouts:.0f} ranked"
            ).format_map(table[variant])
            print(f"{variant:20s}{told}  {kept}", file=sys.stderr, flush=True)
    first, *others = table
    for other in others:
        found = paired(table[other]["worlds"], table[first]["worlds"])
        print(f"{first} minus {other}, at the end, over worlds: {stats.describe(found)}", file=sys.stderr)
        for figure in COMPARED:
            before, after = ([w[figure] for w in table[name]["worlds"]] for name in (first, other))
            print(f"{other} {figure}: {fmean(after):.2f} against {fmean(before):.2f}, {_apart(before, after)}",
                  file=sys.stderr)  # fmt: skip
    if sizes.json:
        print(json.dumps({"variants": table}))


def measured(pool: ProcessPoolExecutor, variant: str, seeds: Sequence[int], sizes: argparse.Namespace) -> list[dict]:
    """Measure a variant in every world; with `--keep` what is in that file is not measured again."""
    keep = sizes.keep
    lines = keep.read_text(encoding="utf-8").splitlines() if keep and keep.exists() else []
    known = {row["seed"]: row for row in map(json.loads, lines) if row["variant"] == variant}
    missing = [seed for seed in seeds if seed not in known]
    for world in pool.map(partial(one_world, variant=variant, sizes=sizes), missing):
        known[world["seed"]] = world
        if keep:
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"variant": variant, **world}) + "\n")
    return [known[seed] for seed in seeds]


def paired(before: Sequence[dict], after: Sequence[dict]) -> stats.Difference:
    """Return the difference of the last rewards of two variants, paired over worlds."""
    return stats.paired_difference([w["curve"][-1] for w in before], [w["curve"][-1] for w in after], seed=0)


def _apart(before: Sequence[float], after: Sequence[float]) -> str:
    """Return the mean difference with Student's interval over worlds, and how many there are."""
    apart = [b - a for a, b in zip(before, after, strict=True)]
    low, high = stats.mean_interval(apart)
    return f"{fmean(apart):+.2f} [{low:+.2f}, {high:+.2f}], n={len(apart)}"


def _cell(mean: float, interval: tuple[float, float]) -> str:
    return f"{mean:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


if __name__ == "__main__":
    main()
