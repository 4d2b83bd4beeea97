"""Where the gate's level is thin: few problems with skewed effects, carried tests, races, a question asked again.

    python tests/benchmarks/gate_limits.py [--runs 300] [--seed 0]

Each row is an edit or text, its mean effect over all problems of its kind 0 or less but for those that help: how often
it passes, with Wilson's 95% interval; then how many of those passed whose problems at hand gain nothing on average
themselves, and how often it passes where `gate.options.beyond` asks for others than these.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from gate_scenes import Scripted, pool, uniform

from experience_db import Edit, Lesson, Library, Op
from tfgrpo.gates import Design, PairedGate, Rewards
from tfgrpo.gates.comparison import FEW as FEW_PROBLEMS
from tfgrpo.gates.comparison import Comparison, Question, compare
from tfgrpo.gates.sequential import Answer
from tfgrpo.gates.touch import Touched
from tfgrpo.proving.judge import Design as Proof
from tfgrpo.stats import wilson
from tfgrpo.types import Problem, Proposal

OLD, NEW = Library("s"), Library("s", 1, (Lesson(1, "edit", 1, 1),))


@dataclass
class World:
    """Rewards of a problem: right with its own chance, and with another one by the edit."""

    rng: random.Random
    chances: Sequence[tuple[float, float]]
    """Of each problem without and with the edit."""
    exact: bool
    """Whether the chance itself is the reward."""

    async def measure(self, library: Library, cases: Sequence[tuple[Problem, int]]) -> list[float]:
        """Draw one reward per case."""
        chances = [self.chances[int(p.id)][bool(library.lessons)] for p, _ in cases]
        return chances if self.exact else [float(self.rng.random() < c) for c in chances]


Draw = Callable[[random.Random], tuple[float, float]]


def skewed(base: float, gain: float, loss: float) -> Draw:
    """Gain a little on most problems, and lose as much in all on the others."""
    share = loss / (gain + loss)
    return lambda rng: (base, base + (gain if rng.random() < share else -loss))


def apart(share: float, low: float, gain: float, high: float) -> Draw:
    """Gain on hard problems, and lose all on the easy ones, as much in all."""
    return lambda rng: (low, low + gain) if rng.random() < share else (high, 0.0)


EFFECTS: dict[str, tuple[Draw, bool]] = {
    "noise": (lambda rng: (0.5, 0.5), False),
    "+-.4 by problem": (lambda rng: (0.5, rng.choice((0.1, 0.9))), False),
    "0/1, .9 gains .1 on nine tenths, loses .9 on the rest": (skewed(0.9, 0.1, 0.9), False),
    "0/1, .8 gains .2 on four fifths, loses .8 on the rest": (skewed(0.8, 0.2, 0.8), False),
    "0/1, .6 gains .3 on two thirds, loses .6 on the rest": (skewed(0.6, 0.3, 0.6), False),
    "0/1, .4 gains .2 on two thirds, loses .4 on the rest": (skewed(0.4, 0.2, 0.4), False),
    "fractional, .5 gains .05 on nine tenths, loses .45 on the rest": (skewed(0.5, 0.05, 0.45), True),
    "fractional, .5 gains .2 on five sevenths, loses .5 on the rest": (skewed(0.5, 0.2, 0.5), True),
    "0/1, two thirds .44 to .94, one third 1 to 0": (apart(2 / 3, 0.44, 0.5, 1.0), False),
    "helps: .44 to .94": (lambda rng: (0.44, 0.94), False),
    "helps: .5 to .8": (lambda rng: (0.5, 0.8), False),
    "helps: .2 to .5": (lambda rng: (0.2, 0.5), False),
    "helps: .1 to .9": (lambda rng: (0.1, 0.9), False),
}
"""Chances without and with the edit, and whether the chance itself is the reward."""
FEW = (4, 5, 6, 8, 11, 12, 16, 24)


async def asked(kind: str, n: int, times: int, seed: str, *, beyond: bool = False) -> tuple[bool, float]:
    """Return whether an edit on `n` touched problems passes when it is asked up to `times` times while undecided.

    Beside it stands its true mean effect on these problems.
    """
    draw, exact = EFFECTS[kind]
    rng, design = random.Random(seed), Design(beyond=beyond)
    pool = tuple(Problem(str(i), "?") for i in range(n))
    world, touch, earlier = World(rng, [draw(rng) for _ in pool], exact), Touched(pool, "word"), None
    own = fmean(with_it - without for without, with_it in world.chances)
    for turn in range(times):
        question = Question(OLD, NEW, touch, f"{seed}/{turn}", earlier=earlier)
        plan = design.plan(touch, n, 0.025 if earlier else 0.05)
        found: Comparison = await compare(world, Rewards(), question, design, plan)  # type: ignore[arg-type]
        if found.answer is not Answer.OPEN:
            return found.answer is Answer.HELPS, own
        earlier = found
    return False, own


def proved_again(share: float, seed: str) -> bool:
    """Return whether a text that does nothing is said to help with 64 pairs or, if it is not, with 128 of the same."""
    rng = random.Random(seed)
    differences = [float((rng.random() < share) - (rng.random() < share)) for _ in range(128)]
    for pairs in (64, 128):
        state = Proof(500, pairs=pairs).plan().start()
        for start in range(0, pairs, 16):
            state = state.add(differences[start : start + 16])
        if state.answer is Answer.HELPS:
            return True
    return False


async def raced(rivals: int, n: int, key: str) -> bool:
    """Return whether one of several rivals passes that each shift single problems by .4 and the mean by nothing."""

    def chance(acting: frozenset[str], problem: Problem) -> float:
        text = min(acting, default="")
        return 0.5 + (0.0 if not text else 0.4 if uniform(key, text, problem.id) < 0.5 else -0.4)

    edits = [Proposal(Edit(Op.ADD, f"glorp is {letter}"), subject="glorp") for letter in "abcdefgh"[:rivals]]
    verdicts = await PairedGate(0)(Library("s"), edits, Scripted(key, pool(["glorp"], n, 48), chance))
    return any(verdict.decision == "accepted" for verdict in verdicts)


def told(name: str, passed: Sequence[bool], beside: str = "") -> None:
    """Print one row."""
    low, high = wilson(sum(passed), len(passed))
    print(f"| {name} | {fmean(passed):.3f} [{low:.3f}, {high:.3f}] |{beside}", flush=True)


def told_asked(kind: str, n: int, times: int, runs: int, seed: int) -> None:
    """Print the row of an edit that is asked."""
    name = f"{kind}; {n} touched" + (f", asked up to {times} times" if times > 1 else "")
    keys = [f"{seed}/{name}/{run}" for run in range(runs)]
    rows = [asyncio.run(asked(kind, n, times, key)) for key in keys]
    idle = [passed for passed, own in rows if own < 1e-9]
    strict = ""
    if n < FEW_PROBLEMS:
        strict = f" {fmean(asyncio.run(asked(kind, n, times, key, beyond=True))[0] for key in keys):.3f}"
    told(name, [passed for passed, _ in rows], f" {sum(idle)} of {len(idle)} |{strict} |")


def main() -> None:
    """Print all rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    for kind in EFFECTS:
        for n in FEW:
            told_asked(kind, n, 1, given.runs, given.seed)
    for kind in ("noise", "+-.4 by problem"):
        for n in (8, 32):
            told_asked(kind, n, 6, given.runs, given.seed)
    for rivals in (2, 4, 8):
        for n in (16, 32):
            name = f"+-.4 by problem; {n} touched, {rivals} rivals"
            told(name, [asyncio.run(raced(rivals, n, f"{given.seed}/{name}/{run}")) for run in range(given.runs)])
    for share in (0.5, 0.8):
        name = f"right in {share}: 64 pairs, then 128"
        told(name, [proved_again(share, f"{given.seed}/{name}/{run}") for run in range(4 * given.runs)])


if __name__ == "__main__":
    main()
