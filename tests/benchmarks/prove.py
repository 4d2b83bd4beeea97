"""What `tfgrpo prove` says about stored outcomes of real models, beside the rules of other tools.

    python tests/benchmarks/prove.py [FILE.jsonl] --draws 400 --seed 0 --json

FILE is as for `replay.py`; without it the pairs beside this script are taken. Each row is replayed as it is, and with
its two sides exchanged at random: a text that does nothing, with this model's own noise. A draw takes 128 pairs of a
row with replacement. First table: verdicts of `prove` (looks of 16, 128 pairs at most, level .05 for `helps` and for
`harms`) with 95% Wilson intervals, how often its interval held the true difference, and the exact sign test on the
same 128 pairs, whose power is what can be had. Second table: the same draws under rules of others. Third table: gepa's
acceptance on minibatches of three, its default against `tfgrpo.integrations.gepa.Acceptance`, with metric calls.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import replay

from tfgrpo.gates.sequential import Answer
from tfgrpo.integrations.gepa import Acceptance
from tfgrpo.proving.judge import LOOK, PAIRS, Design
from tfgrpo.stats import wilson

BANDS = (
    ("does nothing (sides exchanged at random)", lambda row: row["swapped"]),
    ("harms or does nothing, as stored", lambda row: row["diff"] <= 0),
    ("up to +.075", lambda row: row["diff"] < 0.075),
    ("+.075 to +.105", lambda row: row["diff"] < 0.105),
    ("+.105 to +.19", lambda row: row["diff"] < 0.19),
    ("+.19 and more", lambda row: True),
)
RULES = ("sum 3", "mean 10", "mean 30", "0.2 SE", "1 SE", "t peeked", "sign 30")


@dataclass
class Proposal:
    """What gepa hands to an acceptance rule."""

    candidate: dict[str, str]
    subsample_scores_before: list[float]
    subsample_scores_after: list[float]
    subsample_indices: list[int] = field(default_factory=lambda: [0, 1, 2])
    parent_program_ids: list[int] = field(default_factory=lambda: [0])


@dataclass
class State:
    """What an acceptance rule reads of gepa's state."""

    program_candidates: list[dict[str, str]] = field(default_factory=lambda: [{"p": "old"}])


def proved(drawn: Sequence[float]) -> Any:
    """Return the state in which `prove` ends on a sequence of differences."""
    state = Design(PAIRS, pairs=PAIRS).plan().start()
    while state.answer is Answer.OPEN and state.pairs < PAIRS:
        state = state.add(drawn[state.pairs : state.pairs + LOOK])
    return state


def accepted(drawn: Sequence[float], seed: int) -> tuple[bool, bool, int]:
    """Return whether gepa's default and our rule accept a candidate of which these are the differences; our calls."""
    scores = {i: (max(-d, 0.0), max(d, 0.0)) for i, d in enumerate(drawn)}

    def evaluate(candidate: Mapping[str, str], batch: Sequence[int]) -> list[float]:
        return [scores[i][candidate["p"] == "new"] for i in batch]

    proposal = Proposal({"p": "new"}, [scores[i][0] for i in range(3)], [scores[i][1] for i in range(3)])
    rule = Acceptance(evaluate, range(len(drawn)), seed=seed)
    taken = rule.should_accept(proposal, State())
    return sum(proposal.subsample_scores_after) > sum(proposal.subsample_scores_before), taken, rule.calls


def measured(differences: Sequence[float], draws: int, rng: random.Random, *, swapped: bool) -> dict[str, Any]:
    """Return counts over so many draws of one row."""
    true = 0.0 if swapped else fmean(differences)
    found: dict[str, Any] = {"n": len(differences), "diff": true, "swapped": swapped, "draws": draws}
    found |= dict.fromkeys(("pairs", "covered", "sign 128", "gepa default", "gepa ours", "gepa calls"), 0)
    found |= dict.fromkeys((*RULES, *(a.value for a in Answer)), 0)

    def draw_pairs(k: int) -> list[float]:
        drawn = rng.choices(differences, k=k)
        return [d if rng.random() < 0.5 else -d for d in drawn] if swapped else drawn

    for draw in range(draws):
        drawn = draw_pairs(PAIRS)
        state = proved(drawn)
        low, high = state.interval
        found[state.answer.value] += 1
        found["pairs"] += state.pairs
        found["covered"] += low <= true <= high
        for name in (*RULES, "sign 128"):
            found[name] += replay.RULES[name](drawn)
        default, ours, calls = accepted(draw_pairs(PAIRS + 3), draw)
        found["gepa default"] += default
        found["gepa ours"] += ours
        found["gepa calls"] += calls
    return found


def share(count: int, of: int) -> str:
    """Return a share with its Wilson interval."""
    low, high = wilson(count, of)
    return f"{count / of:.3f} [{low:.3f}, {high:.3f}]"


def banded(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, dict[str, float]]]:
    """Return the rows summed by what the text truly does."""
    left, found = list(rows), []
    for title, belongs in BANDS:
        own = [row for row in left if belongs(row)]
        left = [row for row in left if not any(row is o for o in own)]
        if own:
            keys = [k for k, v in own[0].items() if isinstance(v, int) and k not in ("n", "swapped")]
            found.append((title, len(own), {k: sum(row[k] for row in own) for k in keys}))
    return found


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the three tables as Markdown."""
    bands = banded(rows)
    heads = ("what the text truly does (rows)", "helps", "harms", "no worth", "cannot tell", "pairs", "interval holds")
    heads = (*heads, "sign test, same 128", "power kept")
    out = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for title, n, s in bands:
        d = int(s["draws"])
        kept = f"{s['helps'] / s['sign 128']:.2f}" if s["sign 128"] > 0.1 * d else ""
        out.append(
            f"| {title} ({n}) | {share(int(s['helps']), d)} | {share(int(s['harms']), d)} | {s['no worth'] / d:.2f} | "
            f"{s['open'] / d:.2f} | {s['pairs'] / d:.0f} | {s['covered'] / d:.3f} | {s['sign 128'] / d:.3f} | {kept} |"
        )
    out += ["", "| what the text truly does | " + " | ".join(RULES) + " | prove |", "|---" * (len(RULES) + 2) + "|"]
    for title, _, s in bands:
        d = s["draws"]
        out.append(f"| {title} | " + " | ".join(f"{s[r] / d:.2f}" for r in RULES) + f" | {s['helps'] / d:.2f} |")
    out += ["", "| what the candidate truly does | gepa's default accepts | with our rule | metric calls a proposal |"]
    out += ["|---|---|---|---|"]
    for title, _, s in bands:
        d = int(s["draws"])
        calls = f"6 + {s['gepa calls'] / d:.0f}"
        out.append(f"| {title} | {share(int(s['gepa default']), d)} | {share(int(s['gepa ours']), d)} | {calls} |")
    return "\n".join(out)


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=replay.FILE)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="last line is one object by row")
    asked = parser.parse_args()
    found = {}
    for name, differences in replay.rows_of(asked.file).items():
        for swapped in (False, True):
            rng = random.Random(f"{asked.seed}/{name}/{swapped}")
            key = f"{name}{replay.SWAPPED}" if swapped else name
            found[key] = measured(differences, asked.draws, rng, swapped=swapped)
    print(tables(list(found.values())))
    if asked.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
