"""How often gates err, and what they cost, on simulated rewards: `python tests/benchmarks/gate_sim.py --runs 500`.

Each gate meets an edit whose true effect is known: pairs of rewards are won, lost or tied with given chances. The
reported columns are what the same designs did on rollouts of the small embedded model; the sizes of effects differ a
little there, so they are a check of order, not of the last digit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from experience_db import Edit, Library, Op
from tfgrpo.gates import LITE, Design, Gate, MeanGate, PairedGate
from tfgrpo.types import Problem, Proposal


@dataclass(frozen=True, slots=True)
class World:
    """What an edit does to the reward of a pair."""

    kind: str
    """`null`, `right`, `weak` or `wrong`."""
    win: float
    """Chance that the candidate has 1 and the current library 0."""
    lose: float
    size: float = 1.0
    """The difference of a won pair; below 1 for fractional rewards."""


WORLDS = {
    "A/A, 17% discordant": World("null", 0.085, 0.085),
    "swapped, 51% discordant": World("null", 0.255, 0.255),
    "swapped, 12% discordant": World("null", 0.06, 0.06),
    "fractional, 51% discordant": World("null", 0.255, 0.255, 0.5),
    "filler, same seeds": World("null", 0.005, 0.005),
    "right, +.5": World("right", 0.53, 0.03),
    "weak, +.1": World("weak", 0.13, 0.03),
    "harmful, -.35": World("wrong", 0.03, 0.38),
}
DESIGNS = {
    "mean 10": lambda seed: MeanGate(10, seed),
    "mean 30": lambda seed: MeanGate(30, seed),
    "mean 100": lambda seed: MeanGate(100, seed),
    "paired 64": lambda seed: PairedGate(seed, Design(nmax_all=64)),
    "paired 128": PairedGate,
    "paired 256": lambda seed: PairedGate(seed, Design(nmax_all=256)),
    "paired lite": lambda seed: PairedGate(seed, LITE),
}
REPORTED = {
    ("A/A, 17% discordant", "mean 10"): 0.37,
    ("A/A, 17% discordant", "mean 30"): 0.42,
    ("A/A, 17% discordant", "mean 100"): 0.47,
    ("A/A, 17% discordant", "paired 256"): 0.042,
    ("swapped, 51% discordant", "mean 10"): 0.42,
    ("swapped, 51% discordant", "mean 30"): 0.43,
    ("swapped, 51% discordant", "mean 100"): 0.47,
    ("swapped, 51% discordant", "paired 256"): 0.032,
    ("swapped, 12% discordant", "mean 10"): 0.28,
    ("swapped, 12% discordant", "mean 30"): 0.38,
    ("swapped, 12% discordant", "mean 100"): 0.42,
    ("swapped, 12% discordant", "paired 256"): 0.027,
    ("filler, same seeds", "paired 128"): 0.0,
    ("right, +.5", "mean 10"): 1.0,
    ("right, +.5", "mean 30"): 1.0,
    ("right, +.5", "mean 100"): 1.0,
    ("right, +.5", "paired 128"): 1.0,
    ("harmful, -.35", "paired 128"): 0.0,
}
"""Share of accepted edits on rollouts of the embedded model."""
BUNDLE_REPORTED = {"right": 1.0, "weak": 0.93, "wrong": 0.0, "candidate_rollouts": 116.0}


@dataclass(frozen=True, slots=True)
class Row:
    """One design in one world."""

    world: str
    kind: str
    design: str
    accepted: float
    rejected: float
    undecided: float
    mean_rollouts: float
    """Candidate rollouts; the baseline is cached in a real run."""
    reported: float | None


@dataclass
class Simulated:
    """A trial with made-up rewards; the same problem and seed index gives the same luck on both sides."""

    effects: dict[str, World]
    """Lesson text to what it does on the problems that name its first word; without words it acts on all of them."""
    chance: random.Random
    problems: tuple[Problem, ...]
    luck: dict[tuple[str, str, int], tuple[float, float]] = field(default_factory=dict)
    candidate: int = 0
    """Rollouts under any library but the empty one."""

    async def measure(self, library: Library, cases: Sequence[tuple[Problem, int]]) -> tuple[float, ...]:
        """Draw the rewards that are not drawn yet."""
        present = {lesson.text for lesson in library}
        self.candidate += len(cases) if present else 0
        return tuple(self._reward(present, problem, index) for problem, index in cases)

    def _reward(self, present: set[str], problem: Problem, index: int) -> float:
        text = next((text for text in self.effects if not problem.question or text.split()[0] in problem.question), "")
        return self._pair(text, problem, index)[text in present]

    def _pair(self, text: str, problem: Problem, index: int) -> tuple[float, float]:
        key = (text, problem.id, index)
        if key not in self.luck:
            self.luck[key] = draw(self.effects[text], self.chance) if text else (0.5, 0.5)
        return self.luck[key]


def draw(world: World, chance: random.Random) -> tuple[float, float]:
    """Rewards without and with the edit."""
    u, low = chance.random(), chance.choice((0.0, 1.0 - world.size))
    if u < world.win:
        return low, low + world.size
    if u < world.win + world.lose:
        return low + world.size, low
    tie = chance.choice((0.0, 1.0))
    return tie, tie


async def simulate(name: str, design: str, runs: int, seed: int) -> Row:
    """Let fresh gates decide about fresh edits of one kind."""
    world, count, rollouts = WORLDS[name], {"accepted": 0, "rejected": 0, "undecided": 0}, 0
    pool = tuple(Problem(str(i), f"lesson {i}") for i in range(256))
    proposals = [Proposal(Edit(Op.ADD, "lesson"))]
    for run in range(runs):
        trial = Simulated({"lesson": world}, random.Random(f"{seed}/{run}/{name}"), pool)
        gate: Gate = DESIGNS[design](seed * 1_000_003 + run)
        (verdict,) = await gate(Library("sim"), proposals, trial)
        count[verdict.decision] += 1
        rollouts += trial.candidate
    shares = {decision: n / runs for decision, n in count.items()}
    return Row(name, world.kind, design, **shares, mean_rollouts=rollouts / runs, reported=REPORTED.get((name, design)))


async def simulate_bundles(runs: int, seed: int) -> dict[str, float]:
    """A bundle of three right edits, a weak one and one that spoils: which of them enter, and what it costs."""
    members = {
        "glorp is max": WORLDS["right, +.5"],
        "dax is sum": WORLDS["right, +.5"],
        "wug is min": WORLDS["right, +.5"],
        "zim goes left": WORLDS["weak, +.1"],
        "blick is gap": WORLDS["harmful, -.35"],
    }
    names = [text.split()[0] for text in members]
    pool = tuple(Problem(str(i), f"Compute {i} {names[i % 5]} 4.") for i in range(80))
    proposals = [Proposal(Edit(Op.ADD, text)) for text in members]
    count = {"right": 0, "weak": 0, "wrong": 0, "candidate_rollouts": 0}
    for run in range(runs):
        trial = Simulated(members, random.Random(f"{seed}/{run}/bundle"), pool)
        verdicts = await PairedGate(seed * 1_000_003 + run)(Library("sim"), proposals, trial)
        count["candidate_rollouts"] += sum(e.detail["pairs"] for v in verdicts for e in v.evidence)
        for verdict in verdicts:
            count[members[verdict.edits[0].text].kind] += verdict.decision == "accepted"
    return {name: n / runs / (3 if name == "right" else 1) for name, n in count.items()}


def summary(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Per design: the largest share of false accepts, and what became of right, weak and wrong edits."""
    found = {}
    for design in DESIGNS:
        own = [row for row in rows if row.design == design]
        found[design] = {
            "false_accept": max(row.accepted for row in own if row.kind == "null"),
            "accept_right": max(row.accepted for row in own if row.kind == "right"),
            "accept_weak": max(row.accepted for row in own if row.kind == "weak"),
            "accept_wrong": max(row.accepted for row in own if row.kind == "wrong"),
            "undecided": sum(row.undecided for row in own) / len(own),
            "mean_rollouts": sum(row.mean_rollouts for row in own) / len(own),
        }
    return found


def table(rows: Sequence[Row], bundle: dict[str, float]) -> str:
    """The rows as text."""
    lines = [f"{'world':28}{'design':13}{'accepted':>9}{'reported':>9}{'rejected':>9}{'undecided':>10}{'rollouts':>9}"]
    for row in rows:
        reported = "" if row.reported is None else f"{row.reported:.3f}"
        numbers = f"{row.accepted:9.3f}{reported:>9}{row.rejected:9.3f}{row.undecided:10.3f}{row.mean_rollouts:9.1f}"
        lines.append(f"{row.world:28}{row.design:13}{numbers}")
    lines += ["", f"{'bundle of 5':28}{'measured':>13}{'reported':>9}"]
    lines += [f"{name:28}{value:13.3f}{BUNDLE_REPORTED[name]:9.2f}" for name, value in bundle.items()]
    return "\n".join(lines)


async def measure(runs: int, seed: int) -> tuple[list[Row], dict[str, float]]:
    """All designs in all worlds, then bundles."""
    rows = [await simulate(world, design, runs, seed) for world in WORLDS for design in DESIGNS]
    return rows, await simulate_bundles(max(1, runs // 5), seed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    rows, bundle = asyncio.run(measure(options.runs, options.seed))
    if options.json:
        seconds = time.perf_counter() - start
        facts = {"runs": options.runs, "seed": options.seed, "seconds": seconds, "designs": summary(rows)}
        print(json.dumps(facts | {"bundle": bundle, "rows": [asdict(row) for row in rows]}))
    else:
        print(table(rows, bundle))


if __name__ == "__main__":
    main()
