"""Measure every role of a trained model on worlds and problems that it was not tuned on.

    python examples/tiny_model/evaluate.py --seed 1 [--model DIR] [--json FILE]

Seeds 0 to 9 are for development. Seed 10 is for the figures in the README, looked at when the weights were chosen.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import documents
import roles
from grammar import (
    BRIEF,
    CHECK,
    GENERIC,
    MEANINGS,
    OPERATORS,
    ORDERS,
    Attempt,
    Problem,
    World,
    attempt,
    random_problem,
    start,
    treat,
)
from worlds import draw

from tfgrpo.backends.tiny.model import Job, TinyLM, load

WORLDS = 10
BOX = re.compile(r"\\boxed\{([^}]*)\}")
BATCH = 64


@dataclass(frozen=True, slots=True)
class Row:
    """A measured share, with its 95 % Wilson interval."""

    name: str
    right: int
    count: int
    tokens: float
    """Mean length of a reply."""

    @property
    def share(self) -> float:
        """Right ones of all, 0 to 1."""
        return self.right / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval."""
        z, n, p = 1.96, self.count, self.share
        centre = (p + z * z / 2 / n) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n)
        return centre - half, centre + half

    def __str__(self) -> str:
        """Format as one line of the table."""
        low, high = self.interval
        return f"{self.name:42s} {self.share:.3f} [{low:.3f}, {high:.3f}]  n={self.count:<5d} tokens {self.tokens:.0f}"


@dataclass(slots=True)
class Tally:
    """Counts under several names at once: a row and its parts."""

    counts: dict[str, list[float]]

    def add(self, names: Iterable[str], right: bool, tokens: int) -> None:
        """Count one reply under each name."""
        for name in names:
            entry = self.counts.setdefault(name, [0, 0, 0])
            entry[0] += right
            entry[1] += 1
            entry[2] += tokens

    def rows(self) -> Iterator[Row]:
        """Rows in the order in which their names first came up, parts sorted behind their whole."""
        for name, (right, count, tokens) in sorted(self.counts.items()):
            yield Row(name, int(right), int(count), tokens / count)


class Asker:
    """Asks the model many questions, each with noise of its own."""

    def __init__(self, model: TinyLM, seed: int) -> None:
        self.model = model
        self.rng = Random(seed)

    def ask(self, chats: Sequence[list[roles.Message]], temperature: float) -> list[tuple[str, int]]:
        """Replies and their lengths in tokens."""
        jobs = [Job(self.model.chat_ids(chat), 160, temperature, seed=self.rng.getrandbits(64)) for chat in chats]
        order = sorted(range(len(jobs)), key=lambda index: len(jobs[index].prompt_ids))
        replies: dict[int, tuple[str, int]] = {}
        for first in range(0, len(order), BATCH):
            part = order[first : first + BATCH]
            for index, reply in zip(part, self.model.generate([jobs[index] for index in part]), strict=True):
                replies[index] = (reply.text, len(reply.ids))
        return [replies[index] for index in range(len(jobs))]


LessonsOf = Callable[[World, Random], list[str]]


def right(world: World, rng: Random) -> list[str]:
    """All true lessons of a world."""
    del rng
    return world.lessons()


def wrong(world: World, rng: Random) -> list[str]:
    """A false lesson on everything."""
    lessons = []
    for name, meaning in world.meanings.items():
        lessons.append(treat(name, rng.choice([other for other in MEANINGS if other != meaning])))
    return [*lessons, start(ORDERS[1 - ORDERS.index(world.order)])]


def irrelevant(world: World, rng: Random, count: int) -> list[str]:
    """Lessons about operators of other worlds, and generic ones."""
    others = [name for name in OPERATORS if name not in world.meanings]
    lessons = [treat(name, rng.choice(MEANINGS)) for name in others] + list(GENERIC)
    while len(lessons) < count:
        lessons.append(treat(rng.choice(others), rng.choice(MEANINGS)))
    return rng.sample(lessons, count)


CONDITIONS: tuple[tuple[str, LessonsOf, float], ...] = (
    ("no lessons", lambda world, rng: [], 1.0),
    ("9 right", right, 1.0),
    ("9 right, greedy", right, 0.0),
    ("9 wrong", wrong, 1.0),
    ("20 irrelevant", lambda world, rng: irrelevant(world, rng, 20), 1.0),
    ("9 right + 11 irrelevant", lambda world, rng: right(world, rng) + irrelevant(world, rng, 11), 1.0),
    ("9 right + 9 wrong", lambda world, rng: right(world, rng) + wrong(world, rng), 1.0),
    ("9 right + Check", lambda world, rng: [*right(world, rng), CHECK], 1.0),
    ("9 right + Brief", lambda world, rng: [*right(world, rng), BRIEF], 1.0),
)


def boxed(text: str) -> str | None:
    """The answer in the box of a reply."""
    match = BOX.search(text)
    return match[1] if match else None


def measure_solving(asker: Asker, seed: int, count: int) -> Iterator[Row]:
    """Reward under each kind of library, and that of the teacher where it samples."""
    for name, lessons_of, temperature in CONDITIONS:
        rng = Random(f"solve {seed} {name}")
        tasks: list[tuple[World, Problem, list[tuple[int, str]]]] = []
        for index in range(WORLDS):
            world = World.from_seed(100_000 * (seed + 1) + index)
            for problem in draw(world, count // WORLDS, held_out=True, rng=rng):
                lessons = lessons_of(world, rng)
                library = documents.with_ids(rng, rng.sample(lessons, len(lessons)))
                tasks.append((world, problem, library))
        replies = asker.ask([roles.solve_messages(problem, library) for _, problem, library in tasks], temperature)
        tally = Tally({})
        for (world, problem, library), (text, tokens) in zip(tasks, replies, strict=True):
            truth = world.answer(problem)
            tally.add((name, f"{name}: {problem.kind}"), boxed(text) == truth, tokens)
            if temperature:
                tried = attempt(problem, [lesson for _, lesson in library], rng)
                tally.add((f"{name} (teacher)",), tried.answer == truth, 0)
        yield from tally.rows()


def measure_summaries(asker: Asker, seed: int, count: int) -> Iterator[Row]:
    """Summaries that are right to the letter, and right but for the slip."""
    rng = Random(f"summarise {seed}")
    tried = [(attempt(random_problem(rng), (), rng, slip=0.2), rng.random() < 0.5) for _ in range(count)]
    replies = asker.ask([roles.summarise_messages(*each) for each in tried], 1.0)
    tally = Tally({})
    for each, (text, tokens) in zip(tried, replies, strict=True):
        wanted = roles.summary(*each)
        tally.add(("summarise",), text == wanted, tokens)
        same = text.replace(", slip", "") == wanted.replace(", slip", "")
        tally.add(("summarise, slip ignored",), same, tokens)
    yield from tally.rows()


def groups_of(rng: Random, wanted: str, count: int) -> list[tuple[Problem, list[Attempt], list[bool]]]:
    """Random groups that are mixed, all right or all wrong; right attempts come first."""
    found = []
    while len(found) < count:
        problem, attempts, rights = documents.random_group(rng)
        if ("mixed" if any(rights) and not all(rights) else "all right" if all(rights) else "all wrong") == wanted:
            order = sorted(range(len(attempts)), key=lambda index: not rights[index])
            found.append((problem, [attempts[index] for index in order], [rights[index] for index in order]))
    return found


def measure_contrast(asker: Asker, seed: int, count: int) -> Iterator[Row]:
    """Contrasts whose lesson some pair of a right and a wrong attempt allows; all-wrong groups may guess."""
    rng = Random(f"contrast {seed}")
    cases = (("mixed", 1.0, 1), ("mixed", 0.7, 1), ("all right", 1.0, 3), ("all wrong", 1.0, 3))
    for wanted, temperature, part in cases:
        name = f"contrast, {wanted}" + ("" if temperature == 1 else f", T={temperature}")
        tally = Tally({})
        groups = groups_of(rng, wanted, count // part)
        briefs = [wanted == "all right" and rng.random() < 0.3 for _ in groups]
        asked = []
        for (problem, attempts, rights), brief in zip(groups, briefs, strict=True):
            lines = [roles.summary(tried, right) for tried, right in zip(attempts, rights, strict=True)]
            asked.append(roles.contrast_messages(problem, lines, brief))
        replies = asker.ask(asked, temperature)
        for (problem, attempts, rights), brief, (text, tokens) in zip(groups, briefs, replies, strict=True):
            last = text.split("\n")[-1]
            good = last in roles.allowed(attempts, rights, brief)
            tally.add((name, f"{name}: {problem.kind}"), good, tokens)
            tally.add((f"{name}: valid JSON",), is_json(last), tokens)
        yield from tally.rows()


def measure_updates(asker: Asker, seed: int, count: int, temperature: float = 1.0) -> Iterator[Row]:
    """Updates whose edits are exactly the teacher's."""
    rng = Random(f"update {seed}")
    cases = []
    for _ in range(count):
        library = documents.random_library(rng, rng.choice([0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20]), conflicts=0.05)
        cases.append((library, documents.random_new(rng, [lesson for _, lesson in library])))
    name = "update" if temperature == 1 else f"update, T={temperature}"
    tally = Tally({})
    replies = asker.ask([roles.update_messages(library, new) for library, new in cases], temperature)
    for (library, new), (text, tokens) in zip(cases, replies, strict=True):
        edits = roles.operation(library, new)
        kind = str(edits[0]["op"]) if edits else "NONE"
        size = "0-4" if len(library) < 5 else "5-10" if len(library) < 11 else "11-20"
        last = text.split("\n")[-1]
        tally.add((name, f"{name}: {kind}", f"{name}: library of {size}"), last == roles.edits_json(*edits), tokens)
        tally.add((f"{name}: valid JSON",), is_json(last), tokens)
    yield from tally.rows()


def is_json(line: str) -> bool:
    """Whether a line is one JSON object with a list of edits."""
    try:
        return isinstance(json.loads(line)["edits"], list)
    except (ValueError, KeyError, TypeError):
        return False


def main() -> None:
    """Print all rows, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the model; without it, the one in the package")
    parser.add_argument("--seed", type=int, default=0, help="which worlds and problems; 9 is kept for the end")
    parser.add_argument("--count", type=int, default=1000, help="questions a row")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    options = parser.parse_args()
    asker = Asker(load(options.model), options.seed)
    rows = []
    for measure in (measure_summaries, measure_contrast, measure_updates, measure_solving):
        for row in measure(asker, options.seed, options.count):
            print(row, flush=True)
            rows.append(asdict(row) | {"share": row.share, "interval": row.interval})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
