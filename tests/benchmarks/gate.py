"""How often the gate errs and what it costs: `python tests/benchmarks/gate.py --seed 0 --runs 500 --json`.

Parts, all of them unless `--parts` names some: `single` gates on simulated rewards with known effects (the worlds of
`gate_sim.py`); whole `runs` of 8 to 25 gates over one pool, how often a run accepts any useless edit under a fixed
alpha and under e-LOND, and whether a pool wears out; and the scenes of `gate_scenes.py`: `batches` with useless,
harmful, duplicate, contradicting and jointly useful members at any share of common luck, `edits` with failing
rollouts, few or repeated problems and harm elsewhere, `trades` between objectives, whole runs of batches (`fdr`).
With `--tiny` also real rollouts of the embedded model: right, wrong and filler edits, and A/A.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from statistics import fmean

import gate_scenes
from gate_sim import WORLDS, simulate
from tiny_worlds import make_world

from experience_db import Edit, Library, Op, Store
from tfgrpo import api, build
from tfgrpo.evaluation import credit
from tfgrpo.gates import Alpha, Design, PairedGate
from tfgrpo.learning.run import evaluation_sampling
from tfgrpo.types import Problem, Proposal

DESIGN = Design(nmax_all=64)
"""The default; 64 pairs also where a simulated edit touches all problems, as touched ones would get."""
RULES = ("fixed", "e-lond")
LENGTHS = (8, 16, 25)
"""Gates of a run."""


async def single(runs: int, seed: int) -> tuple[dict, list[dict]]:
    """Fresh gates on fresh pools: the headline numbers, and a row per world."""
    rows = [asdict(await simulate(name, "paired 64", runs, seed)) for name in WORLDS]
    by = {kind: [row for row in rows if row["kind"] == kind] for kind in ("null", "right", "wrong")}
    return {
        "false_accept": max(row["accepted"] for row in by["null"]),
        "accept_right": fmean(row["accepted"] for row in by["right"]),
        "accept_wrong": fmean(row["accepted"] for row in by["wrong"]),
        "undecided": fmean(row["undecided"] for row in rows),
        "mean_rollouts": fmean(row["mean_rollouts"] for row in by["right"]),
    }, rows


@dataclass(frozen=True, slots=True)
class Scene:
    """What the gates of a run meet."""

    pool: int
    """Problems that an edit is tested on."""
    common: float = 0.0
    """Share of rollouts whose luck does not change with the library: 0 fresh noise, near 1 the same seeds."""
    spread: float = 0.0
    """An edit that changes nothing in the mean may still shift single problems by this much, up or down."""
    fresh: bool = False
    """A new pool for every gate: what the same gates do when nothing wears."""
    right: float = 0.0
    """Share of edits that help by .5; above 0 each edit has a pool of its own, as edits with words have."""


SCENES = {
    "nulls, fresh noise, pool of 64": Scene(64),
    "nulls, fresh noise, pool of 16": Scene(16),
    "nulls, same seeds, pool of 64": Scene(64, common=0.98),
    "shifting nulls, pool of 64": Scene(64, spread=0.3),
    "shifting nulls, pool of 16": Scene(16, spread=0.3),
    "shifting nulls, a new pool of 64 each": Scene(64, spread=0.3, fresh=True),
    "half of the edits right": Scene(16, right=0.5),
}


@dataclass(frozen=True, slots=True)
class Wearing:
    """A trial whose rewards are a function of lessons, problem and seed index."""

    scene: Scene
    key: str
    age: int
    """Gates so far; names the pool where there is one for each."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The pool."""
        name = f"{self.age}-" if self.scene.fresh or self.scene.right else ""
        return tuple(Problem(f"{name}{i}", "") for i in range(self.scene.pool))

    async def measure(self, library: Library, cases: Sequence[tuple[Problem, int]]) -> tuple[float, ...]:
        """Draw rewards; the same question again gets the same answer."""
        texts = [lesson.text for lesson in library]
        return tuple(self._reward(texts, problem.id, index) for problem, index in cases)

    def _reward(self, texts: Sequence[str], problem: str, index: int) -> float:
        chance = (
            0.1 + 0.3 * self.uniform("base", problem) if self.scene.right else 0.3 + 0.4 * self.uniform("b", problem)
        )
        if f"right {self.age}" in texts:
            chance += 0.5
        if texts and self.scene.spread:
            # Only the newest lesson shifts problems, so that shifts do not add up beyond 0 and 1.
            chance += self.scene.spread * (1 if self.uniform("shift", problem, texts[-1]) < 0.5 else -1)
        shared = self.uniform("share", problem, index) < self.scene.common
        return float(self.uniform("luck", problem, index, "" if shared else texts) < chance)

    def uniform(self, *parts: object) -> float:
        """Return a number in [0, 1) that depends on the parts alone."""
        digest = blake2b("/".join(map(str, (self.key, *parts))).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


@dataclass(frozen=True, slots=True)
class Decided:
    """One gate of a run."""

    right: bool
    accepted: bool
    pairs: int


async def course(scene: Scene, rule: str, key: str) -> list[Decided]:
    """One run: gates one after the other, one alpha, one cache of rewards; accepted edits stay."""
    gate = PairedGate(0, DESIGN, Alpha(0.05, rule))
    library, decided = Library(key), []
    for age in range(max(LENGTHS)):
        trial = Wearing(scene, key, age)
        right = trial.uniform("right", age) < scene.right
        edit = Edit(Op.ADD, f"{'right' if right else 'null'} {age}")
        (verdict,) = await gate(library, [Proposal(edit)], trial)
        accepted = verdict.decision == "accepted"
        decided.append(Decided(right, accepted, verdict.evidence[0].detail["pairs"]))
        library = library.with_edits((edit,)) if accepted else library
    return decided


async def whole_runs(scene: str, rule: str, runs: int, seed: int) -> dict:
    """Many runs of one scene under one rule: errors per run, per gate, and by the age of the pool."""
    found = [await course(SCENES[scene], rule, f"{seed}/{scene}/{run}") for run in range(runs)]

    def wrong(run: Sequence[Decided]) -> int:
        return sum(d.accepted and not d.right for d in run)

    def rate(first: int, last: int) -> float:
        null = [d.accepted for run in found for d in run[first:last] if not d.right]
        return fmean(null) if null else 0.0

    shares = [wrong(run) / max(sum(d.accepted for d in run), 1) for run in found]
    right = [d for run in found for d in run if d.right]
    return {
        "scene": scene,
        "rule": rule,
        "any_false_accept": {str(n): fmean(wrong(run[:n]) > 0 for run in found) for n in LENGTHS},
        "false_discovery_rate": fmean(shares),
        "false_accept": rate(0, max(LENGTHS)),
        "false_accept_young": rate(0, 8),
        "false_accept_old": rate(17, 25),
        "accept_right": fmean(d.accepted for d in right) if right else None,
        "mean_rollouts_right": fmean(d.pairs for d in right) if right else None,
    }


@dataclass(frozen=True, slots=True)
class Swapped:
    """A null from a real edit: on a random half of the cases the two sides change places."""

    pool: credit.AuditTrial
    text: str

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The pool."""
        return self.pool.problems

    async def measure(self, library: Library, cases: Sequence[tuple[Problem, int]]) -> tuple[float, ...]:
        """Measure each case under the library, or under its counterpart."""
        known = next((lesson for lesson in library if lesson.text == self.text), None)
        edit = Edit(Op.ADD, self.text) if known is None else Edit(Op.DELETE, None, (known.id,))
        sides = (library, library.with_edits((edit,)))
        swapped = [blake2b(f"{self.text}/{p.id}/{i}".encode(), digest_size=1).digest()[0] % 2 for p, i in cases]
        rewards = [await self.pool.measure(side, cases) for side in sides]
        return tuple(rewards[swap][place] for place, swap in enumerate(swapped))


@dataclass(frozen=True, slots=True)
class Again:
    """A/A: the candidate is the current library on other seeds."""

    pool: credit.AuditTrial
    text: str
    shift: int

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The pool."""
        return self.pool.problems

    async def measure(self, library: Library, cases: Sequence[tuple[Problem, int]]) -> tuple[float, ...]:
        """Measure the current library on the cases, with seed indices of their own for the candidate."""
        known = next((lesson for lesson in library if lesson.text == self.text), None)
        if known is not None:
            library = library.with_edits((Edit(Op.DELETE, None, (known.id,)),))
            cases = [(problem, index + self.shift) for problem, index in cases]
        return await self.pool.measure(library, cases)


MEANINGS = ("sum", "diff", "product", "max", "min", "gap", "twice", "next")


def reworded(text: str, rng: random.Random) -> str:
    """Return a lesson with another meaning for the same operator."""
    start, _, meaning = text.rstrip(".").rpartition(" ")
    return f"{start} {rng.choice([m for m in MEANINGS if m != meaning])}."


async def tiny_world(seed: int) -> list[tuple[str, str, str, int]]:
    """Let gates decide about edits of one world; returns kind, edit, decision and pairs of each."""
    with tempfile.TemporaryDirectory() as folder:
        _, pool, true = make_world(Path(folder), seed, learning=1, heldout=64)
        async with AsyncExitStack() as stack:
            store = stack.enter_context(Store.open(Path(folder) / "gate.db"))
            wanted = api.setup(model="tiny", grader="exact", db=Path(folder) / "gate.db", seed=seed)
            parts = build.open_components(wanted, store, stack)
            trial = credit.AuditTrial(parts.actor(), pool, evaluation_sampling(wanted.config), "gate")
            known, unknown = true[3:], true[:3]
            library = Library("tiny", template=parts.prompts.source("lessons"))
            library = library.with_edits([Edit(Op.ADD, text) for text in known])
            found = []
            for kind, edit, lab in questions(library, unknown, trial, random.Random(f"edits {seed}")):
                (verdict,) = await PairedGate(seed, DESIGN)(library, [Proposal(edit)], lab)
                pairs = verdict.evidence[0].detail["pairs"]
                found.append((kind, edit.text or f"delete {edit.ids}", verdict.decision, pairs))
    return found


def questions(library: Library, unknown: Sequence[str], trial: credit.AuditTrial, rng: random.Random) -> list[tuple]:
    """Edits of every kind, each with the trial that it is put to."""
    about = [lesson for lesson in library if lesson.text.startswith("Treat")]
    asked: list[tuple] = []
    for text in unknown:
        asked.append(("right", Edit(Op.ADD, text), trial))
        asked.append(("swapped", Edit(Op.ADD, text), Swapped(trial, text)))
        asked.append(("wrong, unknown operator", Edit(Op.ADD, reworded(text, rng)), trial))
    for lesson in about:
        asked.append(("wrong", Edit(Op.UPDATE, reworded(lesson.text, rng), (lesson.id,)), trial))
        asked.append(("wrong", Edit(Op.DELETE, None, (lesson.id,)), trial))
        asked.append(("wrong, beside the right one", Edit(Op.ADD, reworded(lesson.text, rng)), trial))
    asked += [("filler", Edit(Op.ADD, text), trial) for text in ("Stay calm.", "Copy the digits with care.")]
    asked += [("A/A", Edit(Op.ADD, f"again {n}"), Again(trial, f"again {n}", 1000 * n)) for n in range(1, 5)]
    return asked


def tiny_summary(found: Sequence[tuple[str, str, str, int]]) -> dict:
    """The headline numbers on real rollouts, and a row per kind of edit."""
    rows = {}
    for kind in dict.fromkeys(kind for kind, *_ in found):
        own = [(decision, pairs) for k, _, decision, pairs in found if k == kind]
        count = Counter(decision for decision, _ in own)
        shares = {name: count[name] / len(own) for name in ("accepted", "rejected", "undecided")}
        rows[kind] = {"gates": len(own), **shares, "mean_rollouts": fmean(pairs for _, pairs in own)}
    nulls = [decision == "accepted" for kind, _, decision, _ in found if kind in ("A/A", "swapped", "filler")]
    return {
        "false_accept": fmean(nulls),
        "accept_right": rows["right"]["accepted"],
        "accept_wrong": rows["wrong"]["accepted"],
        "undecided": fmean(decision == "undecided" for _, _, decision, _ in found),
        "mean_rollouts": rows["right"]["mean_rollouts"],
        "kinds": rows,
        "wrong_accepted": [edit for kind, edit, decision, _ in found if "wrong" in kind and decision == "accepted"],
    }


async def measure(options: argparse.Namespace) -> dict:
    """All parts that were asked for."""
    facts: dict = {"seed": options.seed, "runs": options.runs}
    many, seed, parts = max(1, options.runs // 5), options.seed, options.parts.split(",")
    if "single" in parts:
        headline, rows = await single(options.runs, seed)
        facts |= {**headline, "worlds": rows}
    if "runs" in parts:
        facts["whole_runs"] = [await whole_runs(s, rule, many, seed) for s in SCENES for rule in RULES]
    facts |= await scenes(parts, options.runs, many, seed)
    if options.tiny:
        first = 9000 + 100 * options.seed
        facts["tiny"] = tiny_summary([row for w in range(first, first + options.worlds) for row in await tiny_world(w)])
    return facts


async def scenes(parts: Sequence[str], runs: int, many: int, seed: int) -> dict:
    """The parts of `gate_scenes.py` that were asked for."""
    facts: dict = {}
    if "batches" in parts:
        kinds = [(name, luck) for name in gate_scenes.BATCHES for luck in gate_scenes.LUCK]
        facts["batches"] = [await gate_scenes.batch(name, luck, many, seed) for name, luck in kinds]
        mixed = [(luck, right, useless) for luck in (0.0, 0.9) for right, useless in ((2, 3), (1, 4), (0, 4))]
        facts["screen"] = [await gate_scenes.screen(luck, many, seed, r, u) for luck, r, u in mixed]
    if "edits" in parts:
        facts["edits"] = [await gate_scenes.single(name, runs, seed) for name in gate_scenes.SINGLES]
        away = [(name, size, luck) for name, size in gate_scenes.ELSEWHERE.items() for luck in (0.0, 0.9)]
        facts["elsewhere"] = [await gate_scenes.harm_elsewhere(*kind, many, seed) for kind in away]
        facts["asked_again"] = [await gate_scenes.asked_again(times, runs, seed) for times in (1, 3)]
    if "trades" in parts:
        traded = [(name, luck) for name in gate_scenes.TRADES for luck in (0.0, 0.9)]
        facts["trades"] = [await gate_scenes.trade(name, luck, many, seed) for name, luck in traded]
    if "fdr" in parts:
        ruled = [(rule, luck) for rule in RULES for luck in gate_scenes.LUCK]
        facts["batched_runs"] = [await gate_scenes.batched_runs(rule, luck, many, seed) for rule, luck in ruled]
    return facts


def told(row: dict) -> str:
    """A row of facts as text: words first, then numbers."""
    flat = {k: v for k, v in row.items() if not isinstance(v, dict)} | {
        f"{k} {name}": x for k, v in row.items() if isinstance(v, dict) for name, x in v.items()
    }
    words = " ".join(f"{v}" for v in flat.values() if isinstance(v, str))
    numbers = ", ".join(
        f"{k} {'-'.join(f'{x:.3f}' for x in v) if isinstance(v, list | tuple) else f'{v:.3g}'}"
        for k, v in flat.items()
        if isinstance(v, float | int | list | tuple)
    )
    return f"{words:58}{numbers}"


def table(facts: dict) -> str:
    """The facts as text."""
    names = ("false_accept", "accept_right", "accept_wrong", "undecided", "mean_rollouts")
    lines = []
    if "worlds" in facts:
        lines += ["single gates, simulated: " + ", ".join(f"{name} {facts[name]:.3f}" for name in names)]
        lines += [told(row) for row in facts["worlds"]]
    for part in ("batches", "screen", "edits", "elsewhere", "asked_again", "trades", "batched_runs"):
        lines += ["", part, *map(told, facts[part])] if part in facts else []
    if "whole_runs" in facts:
        lines += ["", *_courses(facts)]
    if "tiny" in facts:
        lines += ["", *_tiny(facts["tiny"])]
    return "\n".join(lines)


def _courses(facts: dict) -> list[str]:
    lines = [f"{'runs of 25 gates':40}{'rule':8}{'any false: 8, 16, 25':>24}{'FDR':>7}{'gates 1-8':>11}{'18-25':>7}"]
    for r in facts["whole_runs"]:
        any_false = ", ".join(f"{share:.2f}" for share in r["any_false_accept"].values())
        ages = f"{r['false_accept_young']:11.3f}{r['false_accept_old']:7.3f}"
        right = "" if r["accept_right"] is None else f"   right {r['accept_right']:.2f}"
        right += "" if r["accept_right"] is None else f" at {r['mean_rollouts_right']:.1f} rollouts"
        lines.append(f"{r['scene']:40}{r['rule']:8}{any_false:>24}{r['false_discovery_rate']:7.2f}{ages}{right}")
    return lines


def _tiny(tiny: dict) -> list[str]:
    names = ("false_accept", "accept_right", "accept_wrong", "undecided", "mean_rollouts")
    lines = ["embedded model: " + ", ".join(f"{name} {tiny[name]:.3f}" for name in names)]
    return lines + [
        f"{kind:30}{row['gates']:4} gates, accepted {row['accepted']:.3f}, rejected {row['rejected']:.3f}, "
        f"undecided {row['undecided']:.3f}, {row['mean_rollouts']:.1f} rollouts"
        for kind, row in tiny["kinds"].items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--runs", type=int, default=500, help="single gates per world; a fifth of it whole runs per scene"
    )
    parser.add_argument("--parts", default="single,runs,batches,edits,trades,fdr")
    parser.add_argument("--tiny", action="store_true", help="also on the embedded model")
    parser.add_argument("--worlds", type=int, default=6, help="with --tiny")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    facts = asyncio.run(measure(options))
    facts["seconds"] = time.perf_counter() - start
    print(json.dumps(facts) if options.json else table(facts))


if __name__ == "__main__":
    main()
