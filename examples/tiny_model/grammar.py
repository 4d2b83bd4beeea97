"""Operator worlds: a task that only lessons can teach, and the teacher whose attempts the model learns to imitate.

A world gives every made-up operator one hidden meaning and picks one order of evaluation. Nothing in the
weights can know them: one model serves every world, so whatever a library gains was learnt from rewards.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

OPERATORS = (
    *("glorp", "dax", "wug", "blick", "fep", "zib", "tova", "mip"),
    *("kiki", "sno", "rull", "vex", "pim", "quon", "lart", "yob"),
)
FUNCTIONS: Mapping[str, Callable[[int, int], int]] = {
    "sum": lambda a, b: (a + b) % 10,
    "diff": lambda a, b: (a - b) % 10,
    "product": lambda a, b: (a * b) % 10,
    "max": max,
    "min": min,
    "gap": lambda a, b: abs(a - b),
    "twice": lambda a, b: (2 * a + b) % 10,
    "next": lambda a, b: (a + b + 1) % 10,
}
MEANINGS = tuple(FUNCTIONS)
ORDERS = ("left", "right")
ORDER = "order"
"""The aspect of a plan that is not an operator: which of two operators comes first."""
FILLERS = (
    "Please help me with this one.",
    "Here is another one for you.",
    "My friend asked me this today.",
    "It is part of a long list.",
    "Take the time you need.",
)
GENERIC = (
    "Read the problem with care.",
    "Write the answer in a box.",
    "Stay calm.",
    "Copy the digits with care.",
    "Do not guess.",
    "Say the plan first.",
    "Trust the plan.",
    "Ask what the goal is.",
)
CHECK = "Check each result."
BRIEF = "Keep it brief."

# The next four numbers are chosen, not found: they set how good the model is meant to be.
SLIP = 0.03
CHECK_SLIP = 0.01
FOLLOW = 0.99
FOLLOW_LOSS = 0.003


def follow_probability(lessons: int) -> float:
    """Chance in [0, 1] that the teacher obeys a lesson: by design it falls with the length of the library."""
    return FOLLOW - FOLLOW_LOSS * max(0, lessons - 4)


@dataclass(frozen=True, slots=True)
class Problem:
    """One exercise: kind S is `a o b`, P is `a o b, then c o d`, C is `a o1 b o2 c`; digits throughout."""

    kind: str
    numbers: tuple[int, ...]
    operators: tuple[str, ...]
    filler: str = ""

    @property
    def core(self) -> str:
        """Identity of the problem without its filler sentence, as text that never changes."""
        return repr((self.kind, list(self.numbers), list(self.operators)))

    @property
    def held_out(self) -> bool:
        """True for the quarter of all problems that the learning loop never sees."""
        return zlib.crc32(self.core.encode()) % 4 == 0

    @property
    def aspects(self) -> tuple[str, ...]:
        """What a plan has to decide: each operator, and the order where there are two of them."""
        return (*self.operators, ORDER) if self.kind == "C" else self.operators

    @property
    def text(self) -> str:
        """The question as the model reads it."""
        n, o = self.numbers, self.operators
        if self.kind == "S":
            core = f"Compute {n[0]} {o[0]} {n[1]}."
        elif self.kind == "P":
            core = f"Compute {n[0]} {o[0]} {n[1]}, then {n[2]} {o[0]} {n[3]}."
        else:
            core = f"Compute {n[0]} {o[0]} {n[1]} {o[1]} {n[2]}."
        return f"{self.filler} {core}" if self.filler else core


def random_problem(rng: Random, operators: Sequence[str] = OPERATORS, kinds: str = "SPC") -> Problem:
    """Draw a problem over at least two `operators`; three of ten carry one or two filler sentences."""
    kind = rng.choice(kinds)
    numbers = tuple(rng.randrange(10) for _ in range({"S": 2, "P": 4, "C": 3}[kind]))
    chosen = tuple(rng.sample(operators, 2)) if kind == "C" else (rng.choice(operators),)
    filler = " ".join(rng.sample(FILLERS, rng.choice([1, 1, 2]))) if rng.random() < 0.3 else ""
    return Problem(kind, numbers, chosen, filler)


@dataclass(frozen=True, slots=True)
class World:
    """One hidden truth: the meaning of each operator and the order of evaluation."""

    meanings: Mapping[str, str]
    order: str

    @classmethod
    def from_seed(cls, seed: int, operators: int = 8) -> World:
        """The world of `seed` with 2 to 16 operators; the same seed always gives the same world."""
        rng = Random(seed)
        names = rng.sample(OPERATORS, operators)
        return cls({name: rng.choice(MEANINGS) for name in names}, rng.choice(ORDERS))

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators that this world gives a meaning."""
        return tuple(self.meanings)

    def answer(self, problem: Problem) -> str:
        """The right answer, one digit for each result that counts, for example `5 3`."""
        return " ".join(str(value) for value in results(problem, self.meanings, self.order))

    def lessons(self) -> list[str]:
        """The lessons that state this world in full."""
        return [treat(name, meaning) for name, meaning in self.meanings.items()] + [start(self.order)]


Step = tuple[str, int | None, int | None]
"""A function name and two operands; None stands for the result before it."""


def steps(problem: Problem, meanings: Mapping[str, str], order: str) -> list[Step]:
    """The one or two applications that a plan needs."""
    n = problem.numbers
    first = meanings[problem.operators[0]]
    if problem.kind == "S":
        return [(first, n[0], n[1])]
    if problem.kind == "P":
        return [(first, n[0], n[1]), (first, n[2], n[3])]
    second = meanings[problem.operators[1]]
    if order == "left":
        return [(first, n[0], n[1]), (second, None, n[2])]
    return [(second, n[1], n[2]), (first, n[0], None)]


def results(problem: Problem, meanings: Mapping[str, str], order: str) -> list[int]:
    """All results of a plan carried out without a mistake, digits 0-9."""
    values: list[int] = []
    for name, a, b in steps(problem, meanings, order):
        values.append(FUNCTIONS[name](values[-1] if a is None else a, values[-1] if b is None else b))
    return values


def treat(operator: str, meaning: str) -> str:
    """The lesson that gives an operator a meaning."""
    return f"Treat {operator} as {meaning}."


def start(order: str) -> str:
    """The lesson that says which operator comes first."""
    return f"Start with the {order} one."


def do_not_treat(operator: str, meaning: str) -> str:
    """The proposal to drop what a library says about an operator."""
    return f"Do not treat {operator} as {meaning}."


def do_not_start(order: str) -> str:
    """The proposal to drop what a library says about the order."""
    return f"Do not start with the {order} one."


def lesson_for(aspect: str, value: str) -> str:
    """The lesson that sets `aspect`, an operator or `order`, to `value`."""
    return start(value) if aspect == ORDER else treat(aspect, value)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A lesson taken apart: what it is about and what it says."""

    aspect: str
    """An operator, `order`, `style`, or for a generic lesson its first word."""
    value: str
    negated: bool = False
    """True for a proposal of the form `Do not ...`."""

    @property
    def decides(self) -> bool:
        """True where the lesson can change an answer: it is about an operator or the order."""
        return self.aspect == ORDER or self.aspect in OPERATORS


TREAT = re.compile(r"(Treat|Do not treat) (\w+) as (\w+)\.")
START = re.compile(r"(Start|Do not start) with the (left|right) one\.")


def parse(lesson: str) -> Parsed:
    """Take a lesson apart; text of no known form counts as generic."""
    if match := TREAT.fullmatch(lesson):
        return Parsed(match[2], match[3], match[1] != "Treat")
    if match := START.fullmatch(lesson):
        return Parsed(ORDER, match[2], match[1] != "Start")
    word = lesson.split(" ", 1)[0]
    return Parsed("style", word) if lesson in (CHECK, BRIEF) else Parsed(word, word)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a solver decided and what came out of it."""

    problem: Problem
    plan: Mapping[str, str]
    """The value chosen for each aspect of the problem."""
    work: tuple[tuple[str, int, int, tuple[int, ...]], ...]
    """Function, two operands and the results written down: one, or two where the solver checks."""
    slipped: bool

    @property
    def long(self) -> bool:
        """True where every result was checked."""
        return len(self.work[0][3]) > 1

    @property
    def answer(self) -> str:
        """The last result of each step, as it stands in the box."""
        return " ".join(str(written[-1]) for *_, written in self.work)

    @property
    def text(self) -> str:
        """The reply: plan, work and boxed answer."""
        plan = "".join(f" I treat {name} as {self.plan[name]}." for name in self.problem.operators)
        if ORDER in self.plan:
            plan += f" I start with the {self.plan[ORDER]} one."
        work = ""
        for name, a, b, written in self.work:
            work += f" {name} of {a} and {b} is {written[0]}."
            work += "".join(f" Check: {name} of {a} and {b} is {again}." for again in written[1:])
        return f"Plan:{plan}\nWork:{work}\nAnswer: \\boxed{{{self.answer}}}"


def attempt(problem: Problem, lessons: Iterable[str], rng: Random, slip: float = SLIP) -> Attempt:
    """Let the teacher try `problem` under `lessons`; a wrong digit slips in at each result with chance `slip`."""
    said: dict[str, list[str]] = {}
    count = 0
    for lesson in lessons:
        parsed = parse(lesson)
        said.setdefault(parsed.aspect, []).append(parsed.value)
        count += 1
    obey = follow_probability(count)

    def decide(aspect: str, otherwise: Sequence[str]) -> str:
        return rng.choice(said[aspect] if aspect in said and rng.random() < obey else otherwise)

    plan = {name: decide(name, MEANINGS) for name in problem.operators}
    if ORDER in problem.aspects:
        plan[ORDER] = decide(ORDER, ORDERS)
    checks = rng.random() < {"": 0.3, "Check": 0.97, "Keep": 0.02}[decide("style", [""])]
    work = []
    slipped = False
    before = 0
    for name, left, right in steps(problem, plan, plan.get(ORDER, "left")):
        a = before if left is None else left
        b = before if right is None else right
        right_result = FUNCTIONS[name](a, b)
        written = [_write(right_result, slip, rng)]
        if checks:
            written.append(_write(right_result, CHECK_SLIP, rng))
        before = written[-1]
        slipped |= before != right_result
        work.append((name, a, b, tuple(written)))
    return Attempt(problem, plan, tuple(work), slipped)


def _write(result: int, slip: float, rng: Random) -> int:
    if rng.random() >= slip:
        return result
    return rng.choice([digit for digit in range(10) if digit != result])
