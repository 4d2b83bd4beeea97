"""Tasks that wait for a stronger model than SmolLM2-135M: a house taxonomy, a procedure, and two objectives at once.

    python examples/real_model/larger.py taxonomy -o tasks      writes the files, prints the commands to use them

They wait for a stronger model and have never been run on one: the only weights at hand follow no rule for a label and
add no numbers. Generators are seeded, graders are code.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shlex
from pathlib import Path

from tfgrpo.types import Problem, Rollout, Score

GOODS = ["lamp", "kettle", "chair", "radio", "clock", "scarf", "teapot", "desk", "rug", "mirror"]
CODES = {
    "N4": ("I want my money back for the {}.", "Please refund the {}.", "The {} was charged twice, return the sum."),
    "B7": ("Where is my {}?", "The {} should have come on Monday.", "When will the {} be delivered?"),
    "T2": ("The {} came in pieces.", "My {} does not switch on.", "The {} has a crack."),
    "H1": ("I love the {}.", "Thank you for the lovely {}.", "The {} is better than I hoped."),
}
"""House codes, and messages that belong to them; the codes stand in no weights."""
INSTRUCTIONS = {
    "taxonomy": f"Give the code of the message: one of {', '.join(sorted(CODES))}. Answer with the code alone.",
    "procedure": "Solve the problem. End with the number alone on the last line.",
    "objectives": "Answer the question.",
}


def _taxonomy(rng: random.Random) -> list[dict[str, str]]:
    rows = [
        {"question": text.format(thing), "answer": code}
        for code, texts in CODES.items()
        for text in texts
        for thing in GOODS
    ]
    rng.shuffle(rows)
    return rows


def _procedure(rng: random.Random) -> list[dict[str, str]]:
    """Draw problems of several steps; who writes each result down before the next step gets more of them right."""
    rows: dict[str, dict[str, str]] = {}
    while len(rows) < 120:
        trays, each, broken, shops = rng.randint(3, 9), rng.randint(11, 29), rng.randint(2, 9), rng.randint(2, 4)
        left = trays * each - broken * trays
        question = (
            f"A baker fills {trays} trays with {each} rolls each. On every tray {broken} rolls burn. The rest is "
            f"shared equally by {shops} shops, and what cannot be shared stays. How many rolls does each shop get?"
        )
        rows[question] = {"question": question, "answer": str(left // shops)}
    return list(rows.values())


def _objectives(rng: random.Random) -> list[dict[str, str]]:
    rows = [
        {
            "question": f"What is {a} times {b}, and is it even or odd?",
            "answer": f"{a * b} {'odd' if a * b % 2 else 'even'}",
        }
        for a in range(3, 13)
        for b in range(4, 16)
    ]
    rng.shuffle(rows)
    return rows


ROWS = {"taxonomy": _taxonomy, "procedure": _procedure, "objectives": _objectives}


def taxonomy(problem: Problem, rollout: Rollout) -> Score:
    """Right when the only code in the answer is the wanted one."""
    said = set(re.findall(r"\b[A-Z]\d\b", rollout.answer))
    right = said == {problem.answer}
    return Score(float(right), "" if right else f"the house files this message under {problem.answer}")


def procedure(problem: Problem, rollout: Rollout) -> Score:
    """Right when the last number of the answer is the reference."""
    numbers = re.findall(r"-?\d+", rollout.answer.replace(",", ""))
    right = bool(numbers) and numbers[-1] == problem.answer
    return Score(float(right), "" if right else f"the last number is {numbers[-1] if numbers else 'missing'}")


def correct(problem: Problem, rollout: Rollout) -> Score:
    """The first objective: number and word are both there."""
    number, _, word = (problem.answer or "").partition(" ")
    found = re.findall(r"\w+", rollout.answer.lower())
    return Score(float(number in found and word in found), "correct needs the number and even or odd")


def brief(problem: Problem, rollout: Rollout) -> Score:
    """The second objective: at most eight words."""
    count = len(rollout.answer.split())
    return Score(float(0 < count <= 8), f"the answer has {count} words, the house wants eight at most")


GRADERS = {
    "taxonomy": "larger:taxonomy",
    "procedure": "larger:procedure",
    "objectives": 'weighted -s \'grader.parts={"larger:correct"=0.7, "larger:brief"=0.3}\'',
}


def write(name: str, folder: Path, seed: int = 0) -> dict[str, Path]:
    """Write 24 problems to learn from, 48 for the gate and 48 that neither sees; return the files by part."""
    rows, done, files = ROWS[name](random.Random(f"{name} {seed}")), 0, {}
    folder.mkdir(parents=True, exist_ok=True)
    for part, size in (("learn", 24), ("gate", 48), ("test", 48)):
        files[part] = folder / f"{name}-{part}.jsonl"
        lines = [json.dumps({"id": f"{name}-{part}-{i}", **row}) for i, row in enumerate(rows[done : done + size])]
        files[part].write_text("\n".join(lines) + "\n", encoding="utf-8")
        done += size
    return files


def commands(name: str, files: dict[str, Path]) -> list[str]:
    """Return the commands that learn a task from its files and measure what was learned on questions of their own."""
    how = f"--grader {GRADERS[name]} --model local/PATH.gguf --instructions {shlex.quote(INSTRUCTIONS[name])}"
    room = f"--prompts default --db {name}.db -s engine.local.context=8192"
    return [
        f"export PYTHONPATH={shlex.quote(str(Path(__file__).parent))}",
        f"tfgrpo learn {files['learn']} --heldout {files['gate']} {how} {room}",
        f"tfgrpo eval {files['test']} {how} {room} --library default --control same,empty",
    ]


def main() -> None:
    """Write the files of a task and print what to do with them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=ROWS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, default=Path("tasks"))
    options = parser.parse_args()
    files = write(options.task, options.out, options.seed)
    print("waits for a stronger model than SmolLM2-135M; put the path of its GGUF file in place of PATH.gguf:")
    print("\n".join(commands(options.task, files)))


if __name__ == "__main__":
    main()
