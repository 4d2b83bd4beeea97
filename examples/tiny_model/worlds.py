"""Write the problems of one operator world as two JSONL files, one to learn from and one held out.

    python examples/tiny_model/worlds.py --seed 7 --problems 100 --heldout 100 -o world7

A row never says what an operator means: that knowledge is only in this generator and in the answers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from random import Random

from grammar import OPERATORS, Problem, World, random_problem

PATIENCE = 400
"""Draws without a new problem after which a world counts as used up."""


class WorldUsedUp(ValueError):
    """Fewer different problems exist in this world than were asked for; ask for fewer or for more operators."""


def draw(world: World, count: int, *, held_out: bool, rng: Random) -> list[Problem]:
    """`count` different problems of one side of the split; a filler sentence alone makes no new problem."""
    problems: dict[str, Problem] = {}
    idle = 0
    while len(problems) < count:
        problem = random_problem(rng, world.operators)
        idle += 1
        if problem.held_out == held_out and problem.core not in problems:
            problems[problem.core] = problem
            idle = 0
        if idle > PATIENCE:
            raise WorldUsedUp(f"only {len(problems)} of {count} problems found; ask for fewer or for more operators")
    return list(problems.values())


def rows(world: World, problems: Iterable[Problem], prefix: str) -> list[dict[str, object]]:
    """Dataset rows `id`, `question`, `answer`, `metadata`, in the order of `problems`."""
    return [
        {
            "id": f"{prefix}-{index:04d}",
            "question": problem.text,
            "answer": world.answer(problem),
            "metadata": {"kind": problem.kind, "operators": list(problem.operators)},
        }
        for index, problem in enumerate(problems, 1)
    ]


def write_jsonl(path: Path, lines: Iterable[dict[str, object]]) -> None:
    """Write one JSON object a line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="which world")
    parser.add_argument("--problems", type=int, default=100, help="rows in problems.jsonl")
    parser.add_argument("--heldout", type=int, default=100, help="rows in heldout.jsonl")
    parser.add_argument("--operators", type=int, default=6, help=f"operators of the world, 2 to {len(OPERATORS)}")
    parser.add_argument("--truth", type=Path, help="also write the true lessons here, one a line")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    if not 2 <= options.operators <= len(OPERATORS):
        parser.error(f"--operators must be from 2 to {len(OPERATORS)}, not {options.operators}")
    return options


def main() -> int:
    """Write both files and say where they are."""
    options = parse_arguments()
    world = World.from_seed(options.seed, options.operators)
    name = f"w{options.seed}x{options.operators}"
    options.out.mkdir(parents=True, exist_ok=True)
    for stem, count, held_out in (("problems", options.problems, False), ("heldout", options.heldout, True)):
        # Each side has its own stream, so that asking for more of one leaves the other as it was.
        rng = Random(f"{name} {stem}")
        try:
            problems = draw(world, count, held_out=held_out, rng=rng)
        except WorldUsedUp as error:
            print(f"{stem}: {error}", file=sys.stderr)
            return 2
        write_jsonl(options.out / f"{stem}.jsonl", rows(world, problems, f"{name}-{stem[0]}"))
        print(f"{count} rows in {options.out / stem}.jsonl")
    if options.truth:
        options.truth.write_text("".join(lesson + "\n" for lesson in world.lessons()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
