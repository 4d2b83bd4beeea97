"""Where the gate's level is thin: few problems with skewed effects, tests that are carried on, a question asked again.

    python tests/benchmarks/gate_limits.py [--runs 300] [--seed 0]

Each row is a useless edit or text, its mean effect 0 or less: how often it passes, with Wilson's 95% interval.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from experience_db import Lesson, Library
from tfgrpo.gates import Design, Rewards
from tfgrpo.gates.comparison import Comparison, Question, compare
from tfgrpo.gates.sequential import Answer
from tfgrpo.gates.touch import Touched
from tfgrpo.proving.judge import Design as Proof
from tfgrpo.stats import wilson
from tfgrpo.types import Problem

OLD, NEW = Library("s"), Library("s", 1, (Lesson(1, "edit", 1, 1),))


@dataclass
class World:
    """Rewards of a problem: right with chance `base`, by the edit with `base` and the problem's own shift."""

    rng: random.Random
    shifts: Sequence[float]
    base: float
    exact: bool
    """Whether the chance itself is the reward."""

    async def measure(self, library: Library, cases: Sequence[tuple[Problem, int]]) -> list[float]:
        """Draw one reward per case."""
        chances = [self.base + (self.shifts[int(p.id)] if library.lessons else 0.0) for p, _ in cases]
        return chances if self.exact else [float(self.rng.random() < c) for c in chances]


EFFECTS: dict[str, tuple[Callable[[random.Random], float], float, bool]] = {
    "noise": (lambda rng: 0.0, 0.5, False),
    "+-.4 by problem": (lambda rng: rng.choice((-0.4, 0.4)), 0.5, False),
    "0/1, +.1 on nine tenths, -.9 on the rest": (lambda rng: 0.1 if rng.random() < 0.9 else -0.9, 0.9, False),
    "fractional, +.05 on nine tenths, -.45 on the rest": (lambda rng: 0.05 if rng.random() < 0.9 else -0.45, 0.5, True),
}


async def asked(kind: str, n: int, times: int, seed: str) -> bool:
    """Return whether an edit on `n` touched problems passes when it is asked up to `times` times while undecided."""
    draw, base, exact = EFFECTS[kind]
    rng, design = random.Random(seed), Design()
    pool = tuple(Problem(str(i), "?") for i in range(n))
    world, touch, earlier = World(rng, [draw(rng) for _ in pool], base, exact), Touched(pool, "word"), None
    for turn in range(times):
        question = Question(OLD, NEW, touch, f"{seed}/{turn}", earlier=earlier)
        plan = design.plan(touch, n, 0.025 if earlier else 0.05)
        found: Comparison = await compare(world, Rewards(), question, design, plan)  # type: ignore[arg-type]
        if found.answer is not Answer.OPEN:
            return found.answer is Answer.HELPS
        earlier = found
    return False


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


def told(name: str, passes: Callable[[str], bool], runs: int, seed: int) -> None:
    """Print one row."""
    k = sum(passes(f"{seed}/{name}/{run}") for run in range(runs))
    low, high = wilson(k, runs)
    print(f"| {name} | {k / runs:.3f} [{low:.3f}, {high:.3f}] |", flush=True)


def main() -> None:
    """Print all rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    def row(kind: str, n: int, times: int) -> None:
        name = f"{kind}; {n} touched" + (f", asked up to {times} times" if times > 1 else "")
        told(name, lambda key: asyncio.run(asked(kind, n, times, key)), given.runs, given.seed)

    for kind in EFFECTS:
        for n in (4, 6, 8, 11):
            row(kind, n, 1)
    for kind in ("noise", "+-.4 by problem"):
        for n in (8, 32):
            row(kind, n, 6)
    for share in (0.5, 0.8):
        told(f"right in {share}: 64 pairs, then 128", partial(proved_again, share), 4 * given.runs, given.seed)


if __name__ == "__main__":
    main()
