"""What our test and the rules of others say about stored outcomes of real models, with and without a text.

    python tests/benchmarks/replay.py FILE.jsonl --draws 1000 --seed 0 --json

FILE holds rows `{"id", "before": [0/1, ...], "after": [...]}`, the outcome of each problem under two prompts; without
FILE the pairs beside this script are taken, whose rows name their source. A draw takes pairs of a row with replacement,
in the order a test would meet them. With `--swap` each row is also replayed with the two sides exchanged at random: a
text that does nothing, with this model's own noise. The table sums rows up by their true difference; `--rows` prints
each of them.

Rules: `ours` is the gate's test on problems of which no touch is known (128 pairs at most, looks of 16, level .05); the
larger mean of 10 or 30; a strictly larger sum of 3 (gepa's default door); a mean above k standard errors of 60
(cap-evolve); a t test at level .05 looked at every 16 pairs up to 128; the exact sign test at level .05 on 30 or 128.

With `--json` the last line is one object: by id `n`, `diff` and, by rule, the share of draws that accept; `ours` has
also the share that rejects as harmful, and the mean number of pairs.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev

from tfgrpo.gates import Design
from tfgrpo.gates.sequential import Answer
from tfgrpo.gates.touch import Touched
from tfgrpo.stats import t_quantile

FILE = Path(__file__).with_name("data") / "real_pairs.jsonl"
PAIRS = 128
LOOK = 16
LEVEL = 0.05

Rule = Callable[[Sequence[float]], bool]


def larger_mean(n: int) -> Rule:
    """Accept when the mean of n pairs is above 0."""
    return lambda d: sum(d[:n]) > 0


def above_errors(k: float, n: int = 60) -> Rule:
    """Accept when the mean of n pairs is above k standard errors."""
    return lambda d: fmean(d[:n]) > k * stdev(d[:n]) / math.sqrt(n)


def sign_test(n: int) -> Rule:
    """Accept when the exact one-sided sign test on n pairs has p <= .05."""

    def rule(d: Sequence[float]) -> bool:
        won, changed = sum(x > 0 for x in d[:n]), sum(x != 0 for x in d[:n])
        return sum(math.comb(changed, j) for j in range(won, changed + 1)) / 2**changed <= LEVEL

    return rule


def peeked_t(d: Sequence[float]) -> bool:
    """Accept at the first look at which a one-sided t test has p <= .05."""
    for n in range(LOOK, PAIRS + 1, LOOK):
        spread = stdev(d[:n])
        if spread and fmean(d[:n]) / spread * math.sqrt(n) >= t_quantile(1 - LEVEL, n - 1):
            return True
    return False


RULES: dict[str, Rule] = {
    "mean 10": larger_mean(10),
    "mean 30": larger_mean(30),
    "sum 3": larger_mean(3),
    "0.2 SE": above_errors(0.2),
    "1 SE": above_errors(1.0),
    "t peeked": peeked_t,
    "sign 30": sign_test(30),
    "sign 128": sign_test(128),
}


def ours(d: Sequence[float]) -> tuple[Answer, int]:
    """Return what the gate's test says, and after how many pairs."""
    plan = Design(nmax_all=PAIRS, look=LOOK).plan(Touched((), "all"), PAIRS, LEVEL)
    state = plan.start()
    while state.answer is Answer.OPEN and state.pairs < PAIRS:
        state = state.add(d[state.pairs : state.pairs + LOOK])
    return state.answer, state.pairs


def replayed(differences: Sequence[float], draws: int, rng: random.Random, *, swap: bool = False) -> dict:
    """Return the rates of all rules over so many draws of one row."""
    accepted, answers, pairs = dict.fromkeys(RULES, 0), dict.fromkeys(Answer, 0), 0
    for _ in range(draws):
        drawn = rng.choices(differences, k=PAIRS)
        if swap:
            drawn = [d if rng.random() < 0.5 else -d for d in drawn]
        for name, rule in RULES.items():
            accepted[name] += rule(drawn)
        answer, used = ours(drawn)
        answers[answer] += 1
        pairs += used
    rates = {"accept": answers[Answer.HELPS] / draws, "reject": answers[Answer.HARMS] / draws, "pairs": pairs / draws}
    mean = 0.0 if swap else fmean(differences)
    head = {"n": len(differences), "diff": mean, "changed": fmean(d != 0 for d in differences)}
    return {**head, "ours": rates, **{name: {"accept": k / draws} for name, k in accepted.items()}}


def rows_of(path: Path) -> dict[str, list[float]]:
    """Return the differences of each row by id; a row whose sides differ in length ends the program."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        row = json.loads(line)
        if len(row["before"]) != len(row["after"]) or not row["before"]:
            raise SystemExit(
                f"{path}, line {number}: before and after must have the same number of problems, at least 1"
            )
        found[row["id"]] = [float(b) - float(a) for a, b in zip(row["before"], row["after"], strict=True)]
    return found


NAMES = ("sum 3", "mean 10", "mean 30", "0.2 SE", "1 SE", "t peeked", "sign 30", "sign 128")
BANDS = (
    ("does nothing: sides exchanged at random", lambda id, row: id.endswith(SWAPPED)),
    ("does nothing: a prompt against its byte-identical copy", lambda id, row: id.startswith("A/A") and _given(id)),
    ("makes it worse", lambda id, row: row["diff"] < 0),
    ("no difference to speak of, up to +.015", lambda id, row: _given(id) and 0 <= row["diff"] < 0.015),
    ("+.05 to +.07", lambda id, row: 0.015 <= row["diff"] < 0.075),
    ("+.08 to +.10", lambda id, row: 0.075 <= row["diff"] < 0.105),
    ("+.13 to +.17", lambda id, row: 0.105 <= row["diff"] < 0.19),
    ("+.20 and more", lambda id, row: row["diff"] >= 0.19),
)
"""Rows of the table: what a text truly does."""
SWAPPED = ", sides exchanged at random"


def _given(id: str) -> bool:
    return not id.endswith(SWAPPED)


def summary(found: dict[str, dict]) -> str:
    """The mean rates over rows of about the same true difference, as a Markdown table."""
    lines = ["| what the text truly does (rows) | " + " | ".join(NAMES) + " | ours | harmful | pairs |"]
    lines.append("|---" * (len(NAMES) + 4) + "|")
    left = dict(found)
    for title, belongs in BANDS:
        rows = [left.pop(id) for id in list(left) if belongs(id, left[id])]
        if rows:
            rates = " | ".join(f"{fmean(row[name]['accept'] for row in rows):.2f}" for name in NAMES)
            accept, reject, pairs = (fmean(row["ours"][key] for row in rows) for key in ("accept", "reject", "pairs"))
            lines.append(f"| {title} ({len(rows)}) | {rates} | **{accept:.2f}** | {reject:.2f} | {pairs:.0f} |")
    return "\n".join(lines)


def table(found: dict[str, dict]) -> str:
    """The rates of each row as a Markdown table, the smallest difference first."""
    names = NAMES
    lines = ["| text, model (difference, problems, changed) | " + " | ".join(names) + " | ours | pairs |"]
    lines.append("|---" * (len(names) + 3) + "|")
    for id, row in sorted(found.items(), key=lambda item: item[1]["diff"]):
        rates = " | ".join(f"{row[name]['accept']:.2f}" for name in names)
        what = f"{id} ({row['diff']:+.3f}, {row['n']}, {row['changed']:.0%})"
        lines.append(f"| {what} | {rates} | **{row['ours']['accept']:.3f}** | {row['ours']['pairs']:.0f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, replay, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=FILE)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--swap", action="store_true", help="also each row with its sides exchanged at random")
    parser.add_argument("--rows", action="store_true", help="print every row, not only the summary")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found = {}
    for id, differences in rows_of(options.file).items():
        found[id] = replayed(differences, options.draws, random.Random(f"{options.seed}/{id}"))
        if options.swap:
            name = f"{id}{SWAPPED}"
            found[name] = replayed(differences, options.draws, random.Random(f"{options.seed}/{name}"), swap=True)
    print(json.dumps(found) if options.json else table(found) if options.rows else summary(found))


if __name__ == "__main__":
    main()
