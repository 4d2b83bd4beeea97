"""Sixty labelled support questions at defaults: how many right lessons does so small a set teach, and how many wrong?

    python tests/benchmarks/support.py --seeds 14 [--first 0] [--rows 60] [--keep FILE] [--json]
    python tests/benchmarks/support.py --file support.csv --seeds 14

Each seed draws questions of its own: twelve words of twenty, each with a label, in as many questions as `--rows` has
room for. `--file` takes a table with columns `question` and `label` instead, the same for all seeds; its words must be
known here. The model is a script. It knows a label in three of ten cases and guesses among five else, follows a lesson
on the word in nine of ten, honours no seed, and four of five lessons that it writes are right. Nothing is tuned:
`tfgrpo.learn` at its defaults. A seed counts as learned with 9 right lessons of 12.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from experience_db import open_library
from tfgrpo import api, stats
from tfgrpo.types import Reply, Request, Usage

LABELS = ("billing", "account", "shipping", "returns", "general")
ASKED = {
    "refund": ("billing", "Can I get a refund for order {}, please?"),
    "charged": ("billing", "I was charged twice for order {}, what now?"),
    "invoice": ("billing", "Where do I find the invoice for order {}?"),
    "voucher": ("billing", "The voucher did not count for order {}."),
    "instalment": ("billing", "May I pay order {} by instalment?"),
    "password": ("account", "I forgot my password again, order {}."),
    "login": ("account", "My login fails since Monday (order {})."),
    "username": ("account", "How do I change my username? Last order was {}."),
    "profile": ("account", "My profile shows order {} of somebody else."),
    "newsletter": ("account", "Stop the newsletter, I only wanted order {}."),
    "parcel": ("shipping", "My parcel {} never arrived."),
    "courier": ("shipping", "The courier left order {} with a neighbour."),
    "tracking": ("shipping", "The tracking page of order {} says nothing."),
    "customs": ("shipping", "Order {} is stuck at customs, why?"),
    "delivery": ("shipping", "Which day is the delivery of order {}?"),
    "broken": ("returns", "The cup in order {} is broken."),
    "exchange": ("returns", "I'd like to exchange order {}; it's too big."),
    "wrong size": ("returns", "You sent the wrong size in order {}, sorry."),
    "scratched": ("returns", "The lid came scratched, order {}."),
    "warranty": ("returns", "Does the warranty cover order {}?"),
}
"""By word: the label, and a question that has it."""
KNOWS, FOLLOWS, RIGHT = 0.3, 0.9, 0.8
WORDS = 12
WANTED = 0.75
"""Share of the right lessons that makes a seed count."""
PROPOSED = re.compile(r"^(\d+)\. ADD \(support \d+\): (.*?) \| reason", re.MULTILINE)


def lesson(word: str, label: str) -> str:
    """Return the words of a lesson."""
    return f"When a customer mentions '{word}', label the question {label}, because that team handles it."


def word_of(prompt: str) -> str | None:
    """Return the word of the question that a prompt is about; lessons and examples in it do not count."""
    return next((w for w, (_, q) in ASKED.items() if max(q.split("{}"), key=len).strip(" ,.()") in prompt), None)


def reply(request: Request, rng: random.Random) -> str:
    """Answer as the script does, by the role of the request."""
    texts = [str(message["content"]) for message in request.messages]
    last, whole = texts[-1], "\n".join(texts)
    if request.role == "consolidate":
        joined: dict[str, list[int]] = {}
        for number, text in PROPOSED.findall(last):
            joined.setdefault(text, []).append(int(number))
        return edits(list(joined.items()))
    word = word_of(last)
    if request.role == "contrast":
        if word is None:
            return edits([])
        text = lesson(word, ASKED[word][0] if rng.random() < RIGHT else "general")
        return edits([] if text in last else [(text, [0, 1])])
    told = re.search(rf"mentions '{word}', label the question (\w+)", whole) if word else None
    if told and rng.random() < FOLLOWS:
        label = told[1]
    else:
        label = ASKED[word][0] if word and rng.random() < KNOWS else rng.choice(LABELS)
    return f"This is about {word}. Answer: \\boxed{{{label}}}"


def edits(found: Sequence[tuple[str, list[int]]]) -> str:
    """Return a reply that adds these lessons."""
    form = {"op": "ADD", "ids": [], "reason": "the better attempts did so", "when": None}
    return json.dumps({"edits": [{**form, "text": text, "attempts": attempts} for text, attempts in found]})


class Support:
    """The script as a backend; what it says depends on how many calls came before, never on a request's seed."""

    draw = random.Random(0)

    async def complete(self, request: Request) -> Reply:
        """Answer one request."""
        text = reply(request, self.draw)
        asked = sum(len(str(message["content"])) for message in request.messages) // 4
        return Reply(text, usage=Usage(asked, len(text) // 4))


def questions(seed: int, rows: int) -> list[dict[str, str]]:
    """Return the table of a seed."""
    rng = random.Random(seed)
    words = rng.sample(sorted(ASKED), WORDS)
    numbers = rng.sample(range(10_000, 100_000), rows)
    asked = [words[i % WORDS] for i in range(rows)]
    found = [{"question": ASKED[w][1].format(n), "answer": ASKED[w][0]} for w, n in zip(asked, numbers, strict=True)]
    rng.shuffle(found)
    return found


def read(path: Path) -> list[dict[str, str]]:
    """Return the table of a file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{"question": row["question"], "answer": row["label"]} for row in csv.DictReader(file)]


async def one_seed(seed: int, rows: list[dict[str, str]], changed: Sequence[str] = ()) -> dict:
    """Learn from `rows` at defaults; return what was learned, and what became of the right lessons that were not."""
    sys.modules.setdefault("support", sys.modules[__name__])
    sys.modules["support"].Support.draw = random.Random(f"support {seed}")
    words = {word_of(row["question"]) for row in rows} - {None}
    truth = {lesson(w, ASKED[w][0]) for w in words}
    fate: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "support.db"
        spent = 0
        options = {"model": "scripted/support:Support", "grader": "exact", "seed": seed, "overrides": changed}
        async for step in api.learn(rows, db=db, **options):
            for verdict in step.verdicts:
                for edit in verdict.edits:
                    if edit.text in truth:
                        fate.setdefault(edit.text, []).append(f"{verdict.decision}: {verdict.reason}")
                spent += sum(sum(e.detail.get("rollouts", {}).values()) for e in verdict.evidence)
        texts = {x.text for x in open_library("default", db=db)}
    missing = {text: fate.get(text, ["never proposed"]) for text in sorted(truth - texts)}
    counts = {"right": len(texts & truth), "of": len(truth), "wrong": len(texts - truth)}
    return {"seed": seed, **counts, "proved_with": spent, "missing": missing, "wrong_lessons": sorted(texts - truth)}


def main() -> None:
    """Run all seeds, print a line each and the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=14)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--file", type=Path, help="a table with columns question and label")
    parser.add_argument("--keep", type=Path, help="keep each seed here, and go on from what is there")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, as -s of learn")
    parser.add_argument("--why", action="store_true", help="print what became of right lessons that were not learned")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    kept = given.keep.read_text(encoding="utf-8").splitlines() if given.keep and given.keep.exists() else []
    found = {row["seed"]: row for row in map(json.loads, kept)}
    for seed in range(given.first, given.first + given.seeds):
        if seed not in found:
            rows = read(given.file) if given.file else questions(seed, given.rows)
            found[seed] = asyncio.run(one_seed(seed, rows, given.set))
            if given.keep:
                with given.keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found[seed]) + "\n")
        row = found[seed]
        print("seed {seed}: {right} of {of} right, {wrong} wrong".format_map(row), file=sys.stderr, flush=True)
        for text, said in row["missing"].items() if given.why else ():
            print(f"    {text[:50]}: {' / '.join(said)}", file=sys.stderr)
    told([found[seed] for seed in range(given.first, given.first + given.seeds)], as_json=given.json)


def told(rows: Sequence[dict], *, as_json: bool) -> None:
    """Print the sums."""
    learned = sum(row["right"] >= WANTED * row["of"] for row in rows)
    wrong, right = (sum(row[key] for row in rows) for key in ("wrong", "right"))
    low, high = stats.wilson(learned, len(rows))
    if as_json:
        print(json.dumps({"seeds": rows, "learned": learned, "right": right, "wrong": wrong}))
        return
    print(f"three quarters of the right lessons in {learned} of {len(rows)} seeds [{low:.0%}, {high:.0%}]")
    print(f"right {fmean(row['right'] for row in rows):.1f} a seed; wrong {wrong} of {wrong + right} lessons")


if __name__ == "__main__":
    main()
