"""Do edit scores tell right lessons from wrong ones? Every possible lesson of unseen worlds of the embedded model.

    python tests/benchmarks/edit_scores.py --worlds 6 --json

A world with 6 operators has 50 lessons that could be proposed: 8 meanings of each operator and two orders; 7 are right.
Each is scored as `edit_score.order` does it, on pilot rollouts of the gate's pool, once under an empty library and once
where three right lessons are in. Per kind of score: the share of edits that got one, the AUC of right against wrong
ones, the mean rank of the right meaning among its 8 alternatives (4.5 by chance), and the share of right lessons whose
score lies below 0. With `--json` the last line is one object with all of it and the intervals over worlds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import fmean

from tiny_worlds import make_world

from experience_db import Edit, Library, Op
from tfgrpo import build, config, stats
from tfgrpo.config.method import EditScoreConfig
from tfgrpo.gates.edit_score import gains
from tfgrpo.gates.scored_rollouts import Floor
from tfgrpo.learning.gate_queue import Scored, score_edits
from tfgrpo.learning.setup import Setup
from tfgrpo.types import Proposal

MEANINGS = ("sum", "diff", "product", "max", "min", "gap", "twice", "next")
KINDS: Mapping[str, EditScoreConfig] = {
    "gvpo, one beta": EditScoreConfig("gvpo", {"beta": 0.1}),
    "gvpo, beta fitted to each": EditScoreConfig("gvpo", {"beta": "fit"}),
    "gspo, no clip": EditScoreConfig("gspo", {"clip": "unclipped"}),
    "gspo, published clip": EditScoreConfig("gspo", {"clip": "gspo"}),
    "disco": EditScoreConfig("disco"),
    "disco, tau of the spread": EditScoreConfig("disco", {"tau": "spread"}),
    "surrogate, no clip": EditScoreConfig("surrogate", {"clip": "unclipped"}),
    "surrogate, clip of PPO": EditScoreConfig("surrogate", {"clip": "ppo"}),
}
"""What is compared; all on the same rollouts."""


async def one_world(seed: int, options: argparse.Namespace) -> list[dict[str, dict[str, float]]]:
    """Score all lessons of a world under two libraries; return the figures by kind for each."""
    with tempfile.TemporaryDirectory() as folder:
        learning, pool, truth = make_world(Path(folder), seed, learning=16, heldout=options.pool)
        drawn = [f"edit_score.rollouts={options.rollouts}", f"edit_score.problems={options.problems}"]
        wanted = config.load("default", None, ["edit_score.order=on", f"seed={seed}", *drawn])
        async with AsyncExitStack() as stack:
            made = Setup(model="tiny", grader="exact", db=Path(folder) / "world.db", config=wanted)
            run = build.open_run(made, learning, pool, stack)
            empty = Library("scores", template=run.library.template)
            known = empty.with_edits([Edit(Op.ADD, text) for text in sorted(truth)[:3]])
            found = []
            for library in (empty, known):
                there = {lesson.text for lesson in library}
                edits = [Proposal(Edit(Op.ADD, text)) for text in candidates(truth) if text not in there]
                scored = await score_edits(run, library, edits, lambda _: pool)
                found.append({name: figures(scored, kind, set(truth) - there) for name, kind in KINDS.items()})
            return found


def candidates(truth: Sequence[str]) -> list[str]:
    """Return every lesson that could be proposed in a world."""
    operators = sorted({text.split()[1] for text in truth if text.startswith("Treat")})
    treat = [f"Treat {operator} as {meaning}." for operator in operators for meaning in MEANINGS]
    return [*treat, "Start with the left one.", "Start with the right one."]


def figures(scored: Sequence[Scored], kind: EditScoreConfig, truth: set[str]) -> dict[str, float]:
    """Return what a kind of score says of right and wrong lessons; an edit without a score counts as 0."""
    values, known = {}, 0
    for each in scored:
        own = [0.0 if math.isnan(g) else g for g in gains(each.sides_P, kind, Floor())]
        values[each.proposal.edit.text or ""] = fmean(own) if own else 0.0
        known += any(own)
    right = [value for text, value in values.items() if text in truth]
    wrong = [value for text, value in values.items() if text not in truth]
    ranks = [_rank(text, values) for text in truth if text.startswith("Treat")]
    return {
        "scored": known / len(scored),
        "auc": fmean(_above(r, w) for r in right for w in wrong),
        "rank": fmean(ranks),
        "right_below_0": fmean(value < 0 for value in right),
    }


def _above(one: float, other: float) -> float:
    return 0.5 if one == other else float(one > other)


def _rank(text: str, values: Mapping[str, float]) -> float:
    rivals = [value for other, value in values.items() if other != text and other.split()[:2] == text.split()[:2]]
    return 1.0 + sum(_above(value, values[text]) for value in rivals)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=6)
    parser.add_argument("--first", type=int, default=9300, help="seed of the first world")
    parser.add_argument("--pool", type=int, default=64, help="problems of the gate")
    parser.add_argument("--rollouts", type=int, default=EditScoreConfig().rollouts)
    parser.add_argument("--problems", type=int, default=EditScoreConfig().problems)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.worlds)
    worlds = [asyncio.run(one_world(seed, options)) for seed in seeds]
    table = {}
    for name in KINDS:
        rows = [{key: fmean(state[name][key] for state in world) for key in world[0][name]} for world in worlds]
        table[name] = {
            key: [fmean(row[key] for row in rows), *stats.bootstrap_mean([row[key] for row in rows], seed=0)]
            for key in rows[0]
        }
        told = "  ".join(f"{key} {mean:.2f} [{low:.2f}, {high:.2f}]" for key, (mean, low, high) in table[name].items())
        print(f"{name:28}{told}")
    if options.json:
        print(json.dumps({"worlds": options.worlds, "lessons": 50, "kinds": table}))


if __name__ == "__main__":
    main()
