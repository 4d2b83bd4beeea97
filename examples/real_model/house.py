"""Conventions of a house that no weights can know: everyday questions, and graders that judge the form of an answer.

    python examples/real_model/house.py spanish -o tasks        writes spanish-learn.jsonl, -gate.jsonl and -test.jsonl
    tfgrpo learn tasks/spanish-learn.jsonl --grader house:spanish ...          with this folder on PYTHONPATH

What the house wants stands in no prompt; of the language alone the instructions name two. The grader says of an answer
what it is and what is wanted, as a person at the counter would.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tfgrpo.types import Problem, Rollout, Score

ANIMALS = ["cats", "dogs", "horses", "birds", "bees", "cows", "mice", "frogs", "lions", "fish"]
FOODS = ["tea", "coffee", "bread", "soup", "rice", "cake", "salad", "cheese", "jam", "pasta"]
THINGS = ["bicycle", "window", "mirror", "bridge", "garden", "clock", "train", "lamp", "river", "mountain"]
PASTIMES = ["sleep", "sport", "music", "reading", "travel", "walking", "singing", "dancing", "rest", "water"]
FORMS = [
    ("What do {} eat?", ANIMALS),
    ("Where do {} live?", ANIMALS),
    ("Why do people like {}?", ANIMALS),
    ("How do I make {}?", FOODS),
    ("What is {} made of?", FOODS),
    ("Is {} good for me?", FOODS),
    ("What is a {}?", THINGS),
    ("Who needs a {}?", THINGS),
    ("How old is the oldest {}?", THINGS),
    ("Why is {} good?", PASTIMES),
    ("How much {} do I need?", PASTIMES),
    ("Tell me about {}.", PASTIMES),
    ("When did {} begin?", PASTIMES),
    ("Describe a {}.", THINGS),
    ("Name a famous {}.", THINGS),
]
WORDS = {
    "Spanish": {
        "el",
        "los",
        "las",
        "y",
        "por",
        "una",
        "con",
        "como",
        "más",
        "su",
        "está",
        "este",
        "hay",
        "del",
        "al",
        "muy",
        "puede",
        "son",
        "para",
        "lo",
        "qué",
        "sus",
    },
    "German": {
        "der",
        "das",
        "und",
        "ist",
        "ein",
        "eine",
        "zu",
        "den",
        "mit",
        "für",
        "von",
        "sie",
        "ich",
        "es",
        "nicht",
        "auf",
        "dem",
        "des",
        "sind",
    },
    "Italian": {
        "il",
        "gli",
        "di",
        "che",
        "è",
        "e",
        "della",
        "delle",
        "sono",
        "una",
        "per",
        "non",
        "con",
        "nel",
        "alla",
        "si",
        "questo",
        "come",
        "più",
    },
    "English": {
        "the",
        "of",
        "and",
        "to",
        "is",
        "it",
        "that",
        "for",
        "you",
        "are",
        "with",
        "can",
        "be",
        "this",
        "as",
        "or",
        "on",
        "by",
        "from",
    },
}
"""Words that tell these languages apart."""


def language(text: str) -> str:
    """Return the language whose words occur most often, `no language` where none does."""
    words = [word.strip(".,;:!?¿¡\"'()").lower() for word in text.split()]
    counts = {name: sum(word in only for word in words) for name, only in WORDS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "no language that is known"


@dataclass(frozen=True, slots=True)
class Task:
    """One convention."""

    kind: str
    instructions: str
    """All that a solver is told."""
    right: str
    """The lesson that states the convention, for measuring; nothing of the loop sees it."""
    wrong: str
    """A lesson that states the opposite."""
    keeps: Callable[[str], bool]
    wanted: str
    """What the grader says is wanted."""
    tokens: int = 16
    """Length of an answer, enough to judge its form."""
    told: Callable[[str], str] = lambda text: ""
    """What the grader says of an answer, besides what is wanted."""
    rows: Callable[[], list[str]] | None = None
    """Questions of its own; None takes the everyday ones."""


def _spoken(text: str) -> str:
    return f"the answer is in {language(text)}"


def _verse(text: str) -> bool:
    """Say whether a text begins as a poem does: short lines of words, neither code nor a list."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    plain = all(re.match(r"[\"']?[A-Z][a-z']*[ ,]", line) and not re.search(r"[{}<>=`;]", line) for line in lines[:-1])
    return len(lines) > 1 and plain and all(2 <= len(line.split()) <= 10 for line in lines[:-1])


def _sums() -> list[str]:
    return [f"What is {a} plus {b}?" for a in range(2, 22) for b in range(3, 13) if a % 10 + b % 10 != 10]


PLAIN = "Answer the question."

TASKS: Mapping[str, Task] = {
    "spanish": Task(
        "language",
        "Answer in English or in Spanish.",
        "Answer in Spanish.",
        "Answer in English.",
        lambda text: language(text) == "Spanish",
        "the house wants Spanish",
        told=_spoken,
    ),
    "list": Task(
        "format",
        PLAIN,
        "Answer with a numbered list.",
        "Answer with one sentence.",
        lambda text: text.lstrip().startswith("1."),
        "the house wants a numbered list",
        tokens=8,
    ),
    "yesno": Task(
        "label",
        PLAIN,
        "Answer yes or no.",
        "Answer with a sentence.",
        lambda text: bool(re.match(r"\W*(yes|no)\b", text, re.IGNORECASE)),
        "the house wants yes or no",
        tokens=6,
    ),
    "steps": Task(
        "procedure",
        PLAIN,
        "Begin the answer with: Step 1.",
        "Answer at once.",
        lambda text: "step 1" in text[:40].lower(),
        "the house wants Step 1 first",
        tokens=10,
    ),
    "json": Task(
        "extraction",
        PLAIN,
        "Answer with a JSON object.",
        "Answer in plain words.",
        lambda text: bool(re.match(r"\s*(```(json)?\s*)?[{\[]", text)),
        "the house wants a JSON object",
        tokens=8,
    ),
    "sum": Task(
        "arithmetic",
        PLAIN,
        "Answer with the number alone.",
        "Answer with a sentence.",
        lambda text: bool(re.match(r"\W*\d+\b(?!\s*[+-])", text)),
        "the house wants a number alone",
        tokens=6,
        rows=_sums,
    ),
    "german": Task(
        "language",
        PLAIN,
        "Answer in German.",
        "Answer in English.",
        lambda text: language(text) == "German",
        "the house wants German",
        told=_spoken,
    ),
    "poem": Task(
        "format",
        PLAIN,
        "Answer with a short poem.",
        "Answer with a sentence.",
        _verse,
        "the house wants a short poem",
        tokens=24,
    ),
}


def grader_of(name: str) -> Callable[[Problem, Rollout], Score]:
    """Return the grader of a task."""
    task = TASKS[name]

    def grade(problem: Problem, rollout: Rollout) -> Score:
        """Judge the form of an answer."""
        kept, said = task.keeps(rollout.answer), task.told(rollout.answer)
        return Score(float(kept), said if kept else ", ".join(filter(None, (said, task.wanted))))

    return grade


spanish, german = grader_of("spanish"), grader_of("german")
list_, yesno, steps = grader_of("list"), grader_of("yesno"), grader_of("steps")
json_, sum_, poem = grader_of("json"), grader_of("sum"), grader_of("poem")
GRADERS = {name: f"house:{name}_" if name in ("list", "json", "sum") else f"house:{name}" for name in TASKS}
"""What --grader says for each task."""


def questions(name: str, seed: int = 5) -> list[str]:
    """Return the questions of a task in a seeded order, 150 or more, all different."""
    own = TASKS[name].rows
    rows = own() if own else [form.format(word) for form, words in FORMS for word in words]
    random.Random(f"{name} {seed}").shuffle(rows)
    return rows


def write(name: str, folder: Path, seed: int = 5, sizes: tuple[int, int, int] = (24, 48, 48)) -> dict[str, Path]:
    """Write what is learned from, what the gate may use, and what neither sees; return the files by part."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, done, files = questions(name, seed), 0, {}
    for part, size in zip(("learn", "gate", "test"), sizes, strict=True):
        files[part] = folder / f"{name}-{part}.jsonl"
        lines = [
            json.dumps({"id": f"{name}-{part}-{i}", "question": question})
            for i, question in enumerate(rows[done : done + size])
        ]
        files[part].write_text("\n".join(lines) + "\n", encoding="utf-8")
        done += size
    return files


def main() -> None:
    """Write the files of a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--seed", type=int, default=5, help="another order of the questions")
    parser.add_argument("--sizes", nargs=3, type=int, default=(24, 48, 48), help="questions of the three files")
    parser.add_argument("-o", "--out", type=Path, default=Path("tasks"))
    options = parser.parse_args()
    for part, path in write(options.task, options.out, options.seed, options.sizes).items():
        print(f"{part}: {path}")


if __name__ == "__main__":
    main()
