"""What each method decides, and whether it shows: every preset beside `default` on a set made for its decision.

    python tests/benchmarks/methods.py                     # all of them
    python tests/benchmarks/methods.py dapo grpo --seeds 8 --json

The sets are those of `method_scenes.py`: scripted, drawn by the seed, learned by whole runs of the loop. Each line is
one figure: the method's, that of what it is compared with, their difference paired by seed with its 95% interval, and
n, the number of seeds. Controls are settings of the method itself, such as random pairs in place of the best ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import method_scenes

from experience_db import Store
from tfgrpo import api, datasets, stats
from tfgrpo.studies.decisions import over_run


@dataclass(frozen=True, slots=True)
class Show:
    """Where the decision of a method shows."""

    scene: str
    figures: tuple[str, ...]
    """Which figures of a run are compared."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `learn` that all sides share."""
    own: tuple[str, ...] = ()
    """Settings that the method needs on a small set."""
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Settings by name that take the decision out of the method."""
    preset: str = ""
    """The method, where the name of the line is another one."""


COMMON = ("lessons.consolidate=join", "lessons.candidates=0")
"""On all sides: equal proposals become one, no model stands between."""
OPEN = {"gate": "open", "heldout": 0, "epochs": 1, "group_size": 5}
PAIRED = {"epochs": 1, "group_size": 5}
SCORED = {"epochs": 2, "group_size": 5, "batch_size": 24}
BRIEF = {"epochs": 3, "group_size": 8}
BEFORE = ("advantage.prior=fixed", "selection.contrast=all")

SHOWS: dict[str, Show] = {
    "grpo": Show(
        "graded", ("right_per_call", "calls"), OPEN, controls={
            "random pairs": ("selection.contrast=random-pair", "selection.weighting=equal"),
        },
    ),
    "dr-grpo": Show(
        "near-flat", ("right_per_call", "calls"), OPEN, controls={"grpo's weights": ("selection.weighting=grpo",)},
    ),
    "dapo": Show("skewed", ("contrasts_per_100_rollouts", "rollouts"), {**OPEN, "batch_size": 10}),
    "gdpo": Show("two-scores", ("objectives_learned", "reward"), {**PAIRED, "batch_size": 20}),
    "gfpo": Show("wordy", ("tokens", "accuracy"), BRIEF),
    "gfpo-efficiency": Show("wordy", ("tokens", "accuracy"), BRIEF),
    "gfpo-adaptive": Show("wordy", ("tokens", "accuracy"), BRIEF),
    "ppo": Show(
        "usual", ("contrasts", "right_per_call"), {"epochs": 4, "group_size": None}, controls={"fixed prior": BEFORE},
    ),
    "ppo, region": Show(
        "crowded", ("rolled_back", "refused_elsewhere", "moved_at_once", "lessons", "reward"),
        {"epochs": 4, "group_size": None, "batch_size": 100}, controls={"no region": ("gate.max_edits=1000",)},
        preset="ppo",
    ),
    "gspo": Show("likely", ("library_tokens", "reward", "right"), SCORED),
    "gvpo": Show("likely", ("proving_per_lesson", "reward", "right"), SCORED),
    "disco": Show("likely", ("right_per_call", "proving_per_lesson", "reward"), SCORED),
    "disco-b": Show("likely", ("right_per_call", "proving_per_lesson", "reward"), SCORED),
    "hicra": Show("slips", ("accepted_per_proposed", "calls"), PAIRED),
}  # fmt: skip


async def learned(show: Show, method: str, seed: int, overrides: Sequence[str], folder: Path) -> dict[str, float]:
    """Learn one scene by one method; return every figure."""
    scene = method_scenes.SCENES[show.scene]
    model, grader = method_scenes.player(show.scene)
    asked = {"model": model, "grader": grader, "seed": seed, "db": folder / f"{abs(hash((method, *overrides)))}.db"}
    changed = {k: v for k, v in show.asked.items() if not (k == "group_size" and (v is None or method == "ppo"))}
    changed.setdefault("heldout", datasets.from_rows(scene.problems(seed, 1)))
    ended: list[api.LearnResult] = []
    heldout = changed.pop("heldout")
    setup = api.setup(method=method, overrides=[*COMMON, *overrides], **asked, **changed)
    async for _ in api.execute(setup, datasets.from_rows(scene.problems(seed)), heldout, on_end=ended.append):
        pass
    (result,) = ended
    library = f"default@{result.library.version}" if result.library.version else ""
    test = {**asked, "overrides": []}
    found = await api.evaluate(datasets.from_rows(scene.problems(seed, 2)), library=library, k=2, **test)
    with Store.open(asked["db"], readonly=True) as store:
        spent = [store.usage(run.id) for run in store.runs() if run.kind == "learn"]
    proved = sum(used[role].calls for used in spent for role in ("gate", "pilot") if role in used)
    return figures(scene, result, found, proved)


async def default_on(method: str, folder: Path) -> dict[str, Any]:
    """Return what `default` decides on the set of a method."""
    return await decision(method, folder, preset="default")


async def decision(
    method: str, folder: Path, overrides: Sequence[str] = (), *, preset: str = "", seed: int = 1
) -> dict[str, Any]:
    """Return what a method decides in one pass over a small cut of its set, its gate left open.

    Args:
        method: whose set.
        folder: where the database goes.
        overrides: settings beyond the preset's.
        preset: another preset on the same set; empty is the method's own.
        seed: which world.
    """
    show, preset = SHOWS[method], preset or method
    scene = replace(method_scenes.SCENES[show.scene], each=3)
    model, grader = method_scenes.player(show.scene)
    more = [*COMMON, *show.own, *overrides]
    size = {} if preset == "ppo" else {"group_size": show.asked.get("group_size") or 5}
    setup = api.setup(
        method=preset, overrides=more, model=model, grader=grader, seed=seed, db=folder / f"{preset}.db", gate="open",
        epochs=2 if method == "ppo" else 1, batch_size=show.asked.get("batch_size", 50), **size,
    )  # fmt: skip
    steps = [step async for step in api.execute(setup, datasets.from_rows(scene.problems(seed)), 0)]
    told = over_run(step.decided for step in steps)
    sources = [source for step in steps for p in step.proposals for source in p.edit.sources]
    return {
        "rollouts": sum(len(g.rollouts_G) for step in steps for g in step.groups_P),
        "side_by_side": sorted((source.problem_id, source.rollouts) for source in sources),
        "tested": [edit.text for step in steps for v in step.verdicts if v.decision == "accepted" for edit in v.edits],
        **{name: told[name] for name in ("contrasts", "objectives", "passed_over", "held", "pruned")},
    }


def figures(scene: method_scenes.Scene, result: Any, found: Any, proved: int = 0) -> dict[str, float]:
    """Return what a run did and what its library is worth on problems that it never saw."""
    decided = [dict(step.decided) for step in result.steps]
    rollouts = sum(len(g.rollouts_G) for step in result.steps for g in step.groups_P)
    contrasts = sum(d["contrasts"] for d in decided)
    proposed = [p.edit.text for step in result.steps for p in step.proposals]
    accepted = {x.text for x in result.library}
    right, every = scene.right(), [g for row in found.evaluation.graded_P_K for g in row]
    scores = {m.score: m for t in scene.topics.values() for m in t if m.score}
    learned_scores = {
        m.score for topic, moves in scene.topics.items() for m in moves if method_scenes.use(topic, m.name) in accepted
    } & set(scores)
    return {
        "contrasts": contrasts,
        "calls": contrasts,
        "rollouts": rollouts,
        "contrasts_per_100_rollouts": 100 * contrasts / rollouts,
        "right_per_call": sum(text in right for text in proposed) / max(contrasts, 1),
        "accepted_per_proposed": len(accepted) / max(len(set(proposed)), 1),
        "objectives_learned": float(len(learned_scores)),
        "lessons": float(len(accepted)),
        "library_tokens": len(result.library.block()) / 4,
        "proving_per_lesson": proved / max(len(accepted), 1),
        "right": float(len(accepted & right)),
        "moved_at_once": float(max((d["moved"] for d in decided), default=0)),
        "rolled_back": float(sum("rolled_back" in step.monitor for step in result.steps)),
        "refused_elsewhere": float(
            sum(v.reason.startswith("harmful elsewhere") for step in result.steps for v in step.verdicts)
        ),
        "reward": fmean(found.evaluation.means_P),
        "accuracy": fmean(found.evaluation.means_P),
        "tokens": fmean(g.rollout.usage.completion_tokens for g in every),
    }


def compared(method: str, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each figure of a method against `default` and against its controls, paired by seed."""
    show = SHOWS[method]
    preset = show.preset or method
    sides: dict[str, tuple[str, tuple[str, ...]]] = {
        method: (preset, show.own),
        "default": ("default", ()),
        **{name: (preset, (*show.own, *settings)) for name, settings in show.controls.items()},
    }
    table: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            for name, (preset, overrides) in sides.items():
                table[name].append(asyncio.run(learned(show, preset, seed, overrides, Path(folder))))
    return [
        {
            "method": method, "scene": show.scene, "figure": figure, "against": other,
            "own": fmean(f[figure] for f in table[method]), "other": fmean(f[figure] for f in table[other]),
            **difference([f[figure] for f in table[other]], [f[figure] for f in table[method]]),
        }
        for other in sides if other != method
        for figure in show.figures
    ]  # fmt: skip


def difference(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    """Return the mean difference with Student's interval; the ends are the mean where all seeds agree."""
    apart = [b - a for a, b in zip(before, after, strict=True)]
    low, high = stats.mean_interval(apart) if len(set(apart)) > 1 else (apart[0], apart[0])
    return {"diff": fmean(apart), "low": low, "high": high, "n": len(apart)}


def line(row: Mapping[str, Any]) -> str:
    """Return a row in words."""
    return (
        f"{row['method']:16s}{row['scene']:11s}{row['figure']:27s}{row['own']:8.3f}  {row['against']:>22s} "
        f"{row['other']:8.3f}  {row['diff']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], n={row['n']}"
    )


def main(arguments: Sequence[str] | None = None, told: Callable[[str], None] = print) -> None:
    """Run the named methods, or all, and print their lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="NAME", help=f"of: {', '.join(SHOWS)}; all by default")
    parser.add_argument("--seeds", type=int, default=10, help="worlds of each set")
    parser.add_argument("--first", type=int, default=100, help="seed of the first one")
    parser.add_argument("--json", action="store_true", help="print one object at the end")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.methods) - set(SHOWS):
        parser.error(f"no set for {min(unknown)}; there are: {', '.join(SHOWS)}")
    rows = []
    for method in asked.methods or SHOWS:
        for row in compared(method, range(asked.first, asked.first + asked.seeds)):
            rows.append(row)
            told(line(row))
            sys.stdout.flush()
    if asked.json:
        told(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
