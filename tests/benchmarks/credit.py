"""Is credit honest? Bias, coverage and power of both estimators: `python tests/benchmarks/credit.py --seed 0 --json`.

Synthetic rollouts with known effects: six operators, eight lessons that help, harm, contradict one another or do
nothing, and problems that touch one operator or two. With `--tiny` also on rollouts of the embedded model, where the
truth is unknown: there each part of a world's problems is compared with the rest of them, which is an estimate as good
as any and independent of the part; an honest pair of intervals holds their difference in 95 of 100 cases.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean

from tiny_worlds import make_world

from experience_db import Edit, Library, Op, Store
from tfgrpo import api, build, stats
from tfgrpo.evaluation import credit
from tfgrpo.learning.run import evaluation_sampling
from tfgrpo.prompting.templates import load_for_model

GROUP, MISSING = credit.GROUP, credit.MISSING
SIZES = (24, 48, 96)
"""Problems of a pass; about 22% of them touch an operator's lesson."""
LONE = {"right b": (1, 0.5), "right c": (2, 0.4), "wrong": (3, -0.12), "weak": (4, 0.1), "filler": (5, 0.0)}
"""Lessons without a rival: operator and effect."""
RIVALS = {(): 0.25, ("right a",): 0.75, ("conflict",): 0.1, ("right a", "conflict"): 0.4}
"""Chance to be right on operator 0 by which of its two lessons is shown."""
LESSONS = ("right a", "conflict", *LONE, "filler everywhere")
TINY_SIZES = (48, 96, 192)
"""Problems of a part; about a quarter of them touch an operator's lesson."""
SEEN = ("right", "contradiction", "idle")
OPERATORS = [(o,) for o in range(6)] * 5 + list(itertools.combinations(range(6), 2))
"""Kinds of problems: two in three touch one operator, the others two."""


def chance_right(operators: Sequence[int], shown: frozenset[str], easy: float) -> float:
    """Chance that a rollout is right: the mean over its operators, plus how easy the problem is."""
    found = []
    for operator in operators:
        if operator == 0:
            found.append(RIVALS[tuple(name for name in LESSONS[:2] if name in shown)])
        else:
            found.append(0.3 + sum(e for name, (o, e) in LONE.items() if o == operator and name in shown))
    return fmean(found) + easy


def touches(operators: Sequence[int]) -> list[bool]:
    """Return which lessons act on a problem, or might."""
    about = {"right a": 0, "conflict": 0, **{name: o for name, (o, _) in LONE.items()}}
    return [name not in about or about[name] in operators for name in LESSONS]


def truth(lesson: str, share: float) -> float:
    """Mean effect of a lesson on the problems it touches, each other lesson being shown with chance `share`."""
    place, rest = LESSONS.index(lesson), [name for name in LESSONS if name != lesson]
    gains = []
    for operators in (o for o in OPERATORS if touches(o)[place]):
        gain = 0.0
        for hidden in itertools.product((True, False), repeat=len(rest)):
            weight = math.prod(share if shown else 1 - share for shown in hidden)
            if weight:
                others = frozenset(name for name, shown in zip(rest, hidden, strict=True) if shown)
                gain += weight * (chance_right(operators, others | {lesson}, 0) - chance_right(operators, others, 0))
        gains.append(gain)
    return fmean(gains)


@dataclass
class Hits:
    """What became of one lesson under one estimator at one size."""

    errors: list[float] = field(default_factory=list)
    covered: list[bool] = field(default_factory=list)
    above: list[bool] = field(default_factory=list)
    below: list[bool] = field(default_factory=list)

    def add(self, found: credit.Credit, true: float) -> None:
        """Count one estimate."""
        if math.isnan(found.estimate):
            return
        self.errors.append(found.estimate - true)
        self.above.append(found.low > 0)
        self.below.append(found.high < 0)
        if not math.isnan(found.low):
            self.covered.append(found.low <= true <= found.high)


def one_pass(problems: int, rng: random.Random) -> tuple[list, list, list]:
    """Draw a dropout pass: rewards, masks and touches."""
    rewards, shown, near = [], [], []
    for _ in range(problems):
        operators, easy = rng.choice(OPERATORS), rng.uniform(-0.1, 0.1)
        masks = credit.balanced_masks(len(LESSONS), GROUP, MISSING, rng)
        sets = [frozenset(n for n, mask in zip(LESSONS, masks, strict=True) if mask[g]) for g in range(GROUP)]
        rewards.append([float(rng.random() < chance_right(operators, s, easy)) for s in sets])
        shown.append(masks)
        near.append(touches(operators))
    return rewards, shown, near


def left_out(problems: int, k: int, rng: random.Random) -> list[credit.Credit]:
    """Draw a leave-one-out audit: the same luck on both sides, k rollouts per touched problem."""
    drawn = [(rng.choice(OPERATORS), rng.uniform(-0.1, 0.1)) for _ in range(problems)]
    luck = [[rng.random() for _ in range(k)] for _ in drawn]
    everything, found = frozenset(LESSONS), []
    for place, lesson in enumerate(LESSONS):
        gains = []
        for (operators, easy), us in zip(drawn, luck, strict=True):
            if touches(operators)[place]:
                high = chance_right(operators, everything, easy)
                low = chance_right(operators, everything - {lesson}, easy)
                gains.append(fmean((u < high) - (u < low) for u in us))
        found.append(credit.credit_from_differences(gains, k))
    return found


ESTIMATORS: dict[str, Callable[[int, random.Random], Sequence[credit.Credit]]] = {
    "dropout, joint regression": lambda n, rng: credit.joint_regression(*one_pass(n, rng)),
    "dropout, within problems": lambda n, rng: credit.within_problems(*one_pass(n, rng)),
    "leave-one-out, k=1": lambda n, rng: left_out(n, 1, rng),
    "leave-one-out, k=2": lambda n, rng: left_out(n, 2, rng),
}


def simulate(estimator: str, problems: int, runs: int, seed: int) -> dict:
    """Repeat one pass; return bias, coverage and flags by lesson, and over all lessons."""
    share = 1.0 if estimator.startswith("leave") else 1 - MISSING
    true = {lesson: truth(lesson, share) for lesson in LESSONS}
    table = {lesson: Hits() for lesson in LESSONS}
    rng = random.Random(f"{seed} {estimator} {problems}")
    for _ in range(runs):
        for lesson, found in zip(LESSONS, ESTIMATORS[estimator](problems, rng), strict=True):
            table[lesson].add(found, true[lesson])
    lessons = {
        lesson: {
            "truth": true[lesson],
            "bias": fmean(hits.errors),
            "sd": math.sqrt(fmean(e * e for e in hits.errors)),
            "coverage": fmean(hits.covered) if hits.covered else None,
            "above_0": fmean(hits.above),
            "below_0": fmean(hits.below),
        }
        for lesson, hits in table.items()
    }
    covered = [c for hits in table.values() for c in hits.covered]
    return {
        "estimator": estimator,
        "problems": problems,
        "bias": max((row["bias"] for row in lessons.values()), key=abs),
        "coverage": fmean(covered),
        "power_right": fmean(lessons[name]["above_0"] for name in ("right b", "right c")),
        "power_conflict": lessons["conflict"]["below_0"],
        "false_flags": fmean(
            lessons[name][side] for name in ("filler", "filler everywhere") for side in ("above_0", "below_0")
        ),
        "lessons": lessons,
    }


async def tiny_world(seed: int, problems: int) -> list[dict]:
    """One world of the embedded model: are parts of its problems as far from the rest as their intervals say?"""
    with tempfile.TemporaryDirectory() as folder:
        _, asked, true = make_world(Path(folder), seed, learning=1, heldout=problems)
        library = planted(true, seed)
        async with AsyncExitStack() as stack:
            store = stack.enter_context(Store.open(Path(folder) / "credit.db"))
            wanted = api.setup(model="tiny", grader="exact", db=Path(folder) / "credit.db", seed=seed)
            actor = build.open_components(wanted, store, stack).actor()
            pool = credit.AuditTrial(actor, tuple(asked), evaluation_sampling(wanted.config))
            done = await credit.dropout_pass(library, pool, actor.executor, seed=seed, limit=actor.concurrency)
            gains = await left_out_gains(library, pool)
    rows = []
    for size in TINY_SIZES:
        if 2 * size <= problems:
            rows.append(_parts("dropout", size, problems, library, true, lambda places: done.part(places).joint()))
            rows.append(_parts("leave-one-out", size, problems, library, true, partial(_left_out, gains)))
    return rows


async def left_out_gains(library: Library, pool: credit.AuditTrial) -> list[list[float]]:
    """Return per lesson and problem what the lesson gains there with the same luck; nan where it does not touch."""
    cases = [(problem, 0) for problem in pool.problems]
    whole = await pool.measure(library, cases)
    found = []
    for lesson, touch in zip(library, credit.touched_by_lesson(library, pool.problems), strict=True):
        near = {problem.id for problem in touch.problems}
        without = library.with_edits((credit.deletion_of(lesson.id),))
        rewards = await pool.measure(without, [case for case in cases if case[0].id in near])
        rest = dict(zip((case[0].id for case in cases if case[0].id in near), rewards, strict=True))
        found.append([w - rest.get(p.id, math.nan) for w, (p, _) in zip(whole, cases, strict=True)])
    return found


def _left_out(gains: Sequence[Sequence[float]], places: Sequence[int]) -> tuple[credit.Credit, ...]:
    return tuple(credit.credit_from_differences([own[i] for i in places]) for own in gains)


def _parts(
    way: str,
    size: int,
    problems: int,
    library: Library,
    true: Sequence[str],
    estimate: Callable[[Sequence[int]], Sequence[credit.Credit]],
) -> dict:
    """Per size: how often a part and the rest differ by no more than their joint noise, and what a part shows."""
    inside, touching, seen = [], [], {"right": [], "contradiction": [], "idle": []}
    for start in range(0, problems - size + 1, size):
        own = estimate(range(start, start + size))
        rest = estimate([i for i in range(problems) if not start <= i < start + size])
        for lesson, part, other in zip(library, own, rest, strict=True):
            if math.isnan(part.low) or math.isnan(other.low):
                continue
            inside.append(_near(part, other))
            touching.append(part.n)
            if lesson.text.startswith("Treat"):
                kind = "right" if lesson.text in true else "contradiction"
                seen[kind].append(part.low > 0 if kind == "right" else part.high < 0)
            elif lesson.text not in true:
                seen["idle"].append(part.low > 0 or part.high < 0)
    return {"way": way, "problems": size, "inside": inside, "touching": touching, **seen}


def pooled(worlds: Sequence[Sequence[dict]]) -> list[dict]:
    """The rows of all worlds together."""
    rows = []
    for same in zip(*worlds, strict=True):
        lists = {key: [x for row in same for x in row[key]] for key in ("inside", "touching", *SEEN)}
        shares = {key: fmean(values) if values else None for key, values in lists.items()}
        low, high = stats.wilson(sum(lists["inside"]), len(lists["inside"]))
        named = {"coverage": shares.pop("inside"), "coverage_ci": [low, high], "comparisons": len(lists["inside"])}
        rows.append({"way": same[0]["way"], "problems": same[0]["problems"], **named, **shares})
    return rows


def planted(true: Sequence[str], seed: int) -> Library:
    """All true lessons, a contradiction of two of them, and a sentence that says nothing."""
    rng = random.Random(f"planted {seed}")
    meanings = ("sum", "diff", "product", "max", "min", "gap", "twice", "next")
    spoilt = []
    for text in [t for t in true if t.startswith("Treat")][:2]:
        start, _, meaning = text.rstrip(".").rpartition(" ")
        spoilt.append(f"{start} {rng.choice([m for m in meanings if m != meaning])}.")
    texts = [*true, *spoilt, "Stay calm."]
    empty = Library("planted", template=load_for_model("tiny", None).source("lessons"))
    return empty.with_edits([Edit(Op.ADD, text) for text in texts])


def _near(part: credit.Credit, rest: credit.Credit) -> bool:
    """Whether two measurements of the same effect differ by no more than their noise says, with 95%."""

    def error(c: credit.Credit) -> float:
        return (c.high - c.low) / 2 / stats.t_quantile(0.975, c.n - 1)

    noise = math.hypot(error(part), error(rest))
    return abs(part.estimate - rest.estimate) <= stats.t_quantile(0.975, part.n - 1) * noise


def table(rows: Sequence[dict]) -> str:
    """The rows as text."""
    head = ("problems", "bias", "coverage", "right > 0", "conflict < 0", "false flags")
    widths = (9, 8, 9, 10, 13, 12)
    lines = [f"{'estimator':28}" + "".join(f"{word:>{width}}" for word, width in zip(head, widths, strict=True))]
    for r in rows:
        numbers = f"{r['bias']:+8.3f}{r['coverage']:9.3f}{r['power_right']:10.2f}{r['power_conflict']:13.2f}"
        lines.append(f"{r['estimator']:28}{r['problems']:9}{numbers}{r['false_flags']:12.3f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=400, help="simulated passes per row")
    parser.add_argument("--tiny", action="store_true", help="also on the embedded model")
    parser.add_argument("--worlds", type=int, default=6, help="with --tiny")
    parser.add_argument("--problems", type=int, default=384, help="with --tiny: problems per world")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    rows = [simulate(name, size, options.runs, options.seed) for name in ESTIMATORS for size in SIZES]
    main_row = next(row for row in rows if row["problems"] == 48)
    facts = {name: main_row[name] for name in ("bias", "coverage", "power_right", "power_conflict", "false_flags")}
    facts = {"seed": options.seed, "runs": options.runs, **facts, "power": main_row["power_right"], "rows": rows}
    if options.tiny:
        worlds = range(8000 + 100 * options.seed, 8000 + 100 * options.seed + options.worlds)
        facts["tiny"] = pooled([asyncio.run(tiny_world(world, options.problems)) for world in worlds])
    facts["seconds"] = time.perf_counter() - start
    if options.json:
        print(json.dumps(facts))
        return
    print(table(rows))
    for row in facts.get("tiny", ()):
        said = {key: "-" if row[key] is None else f"{row[key]:.2f}" for key in SEEN}
        low, high = row["coverage_ci"]
        print(
            f"tiny, {row['way']:14}{row['problems']:4} problems, {row['touching']:5.1f} touching: coverage "
            f"{row['coverage']:.3f} [{low:.3f}, {high:.3f}] of {row['comparisons']}, right > 0 {said['right']}, "
            f"contradiction < 0 {said['contradiction']}, idle flagged {said['idle']}"
        )


if __name__ == "__main__":
    main()
