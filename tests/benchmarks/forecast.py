"""How far off is the forecast of a run while it goes on? Whole runs, and what was foreseen for all of it on the way.

    python tests/benchmarks/forecast.py [--runs NAME,...] [--first 0] [--seeds 3] [--keep FILE] [--json]

A run is looked at from a fifth of its calls on, at every twentieth. What counts is the share of those looks whose
likely number of calls, and of tokens, is within 30 percent of what the run took in the end; the interval is over runs,
by bootstrap. `--keep` writes what was seen as JSON lines and goes on from what is there, so that a change of the
arithmetic is judged on the same runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median
from typing import Any

import support as desk
from tiny_worlds import make_world

from tfgrpo import api
from tfgrpo.api.face import setup
from tfgrpo.cli.progress_lines import plan_of
from tfgrpo.learning.forecast import Plan, Seen, forecast
from tfgrpo.learning.run import Run
from tfgrpo.types import Reply, Request, Usage

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart" / "problems.jsonl"
FROM, EVERY, WITHIN = 0.2, 0.05, 0.3
DRAWS = 2000


class Talker:
    """Answers at random and proposes words of its own for nearly every group: lessons that do nothing."""

    draw = random.Random(0)
    fresh = 0.8
    """Share of contrasts that say what was not said before."""

    async def complete(self, request: Request) -> Reply:
        """Answer one request."""
        last = str(request.messages[-1]["content"])
        if request.role == "consolidate":
            joined: dict[str, list[int]] = {}
            for number, text in desk.PROPOSED.findall(last):
                joined.setdefault(text, []).append(int(number))
            text = desk.edits(list(joined.items()))
        elif request.role == "contrast":
            which = self.draw.randrange(10**6) if self.draw.random() < self.fresh else self.draw.randrange(4)
            text = desk.edits([(f"Look twice at number {which} before you answer.", [0, 1])])
        else:
            text = f"Answer: \\boxed{{{self.draw.choice(desk.LABELS)}}}"
        asked = sum(len(str(message["content"])) for message in request.messages) // 4
        return Reply(text, usage=Usage(asked, len(text) // 4))


class Repeater(Talker):
    """Proposes the same few words again and again."""

    fresh = 0.0


def quickstart(seed: int, folder: Path) -> dict[str, Any]:
    """The README's run, with other seeds."""
    return {"problems": QUICKSTART, "model": "tiny", "seed": seed}


def world(seed: int, folder: Path) -> dict[str, Any]:
    """A world of the embedded model with held-out problems of its own."""
    learning, heldout, _ = make_world(folder, 500 + seed, learning=90, heldout=60)
    return {"problems": learning, "heldout": heldout, "model": "tiny", "seed": seed}


def brief(seed: int, folder: Path) -> dict[str, Any]:
    """One pass over a small world in steps of twenty."""
    learning, heldout, _ = make_world(folder, 700 + seed, learning=60, heldout=40)
    return {"problems": learning, "heldout": heldout, "model": "tiny", "seed": seed, "epochs": 1, "batch_size": 20}


def _desk(seed: int, rows: int, **more: Any) -> dict[str, Any]:
    sys.modules["support"].Support.draw = random.Random(f"forecast {seed}")
    return {"problems": desk.questions(900 + seed, rows), "model": "scripted/support:Support", "seed": seed, **more}


def support(seed: int, folder: Path) -> dict[str, Any]:
    """Sixty support questions."""
    return _desk(seed, 60)


def large_support(seed: int, folder: Path) -> dict[str, Any]:
    """Two hundred of them, groups of eight, two passes."""
    return _desk(seed, 200, group_size=8, epochs=2)


def _talk(seed: int, name: str, rows: int, **more: Any) -> dict[str, Any]:
    sys.modules.setdefault("forecast", sys.modules[__name__])
    Talker.draw = random.Random(f"forecast {seed}")
    sys.modules["forecast"].Talker.draw = Talker.draw
    return {"problems": desk.questions(300 + seed, rows), "model": f"scripted/forecast:{name}", "seed": seed, **more}


def talker(seed: int, folder: Path) -> dict[str, Any]:
    """Nothing to learn, and ever new words."""
    return _talk(seed, "Talker", 80)


def repeater(seed: int, folder: Path) -> dict[str, Any]:
    """Nothing to learn, and few words."""
    return _talk(seed, "Repeater", 80)


RUNS: dict[str, Callable[[int, Path], dict[str, Any]]] = {
    found.__name__: found for found in (quickstart, world, brief, support, large_support, talker, repeater)
}


async def watch(seed: int, name: str) -> dict[str, Any]:
    """Make one run; return what was seen at each look, and what it took."""
    with tempfile.TemporaryDirectory() as folder:
        said = RUNS[name](seed, Path(folder))
        wanted = setup(grader="exact", db=Path(folder) / "x.db", **{k: v for k, v in said.items() if k not in DATA})
        running: list[Run] = []
        looks: list[dict[str, Any]] = []

        def look() -> None:
            run = running[0]
            if run.progress is not None and run.progress.groups.total():
                looks.append({"plan": asdict(plan_of(run)), "seen": asdict(run.progress.seen())})

        async def keep_looking() -> None:
            before = 0
            while True:
                await asyncio.sleep(0.01)
                if running and running[0].progress and running[0].progress.calls > before * 1.01 + 1:
                    before = running[0].progress.calls
                    look()

        looking = asyncio.create_task(keep_looking())
        steps = api.execute(wanted, said["problems"], said.get("heldout"), on_start=running.append)
        async for _ in steps:
            look()
        looking.cancel()
        look()
    return {"run": name, "seed": seed, "looks": looks}


DATA = {"problems", "heldout"}


def seen_of(kept: dict[str, Any]) -> Seen:
    """Return a look as it was kept."""
    usage = {role: Usage(**found) for role, found in kept["usage"].items()}
    return Seen(**{**kept, "usage": usage})


def errors(run: dict[str, Any]) -> list[dict[str, float]]:
    """Return for each twentieth of a run how far its forecast was off, as shares of what it took."""
    last = seen_of(run["looks"][-1]["seen"])
    whole, tokens = sum(last.calls.values()), _tokens(last.usage.values())
    found: list[dict[str, float]] = []
    for kept in run["looks"]:
        seen = seen_of(kept["seen"])
        at = sum(seen.calls.values()) / whole
        if at >= FROM and at < 1 and (not found or at >= found[-1]["at"] + EVERY):
            told = forecast(Plan(**kept["plan"]), seen)
            inside = told.calls(0) <= whole <= told.calls(2)
            foreseen = {"calls": told.calls() / whole - 1, "tokens": _tokens([told.usage()]) / tokens - 1}
            found.append({"at": at, **foreseen, "inside": inside})
    return found


def _tokens(used: Iterable[Usage]) -> int:
    return sum(one.prompt_tokens + one.completion_tokens for one in used)


def summed(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the shares of looks within 30 percent, each run counting alike, with intervals over runs."""
    of = [(run, found) for run in runs if (found := errors(run))]
    told: dict[str, Any] = {"runs": len(of), "looks": sum(len(found) for _, found in of)}
    for what in ("calls", "tokens"):
        shares = [fmean(abs(look[what]) <= WITHIN for look in found) for _, found in of]
        told[what] = {
            "within": fmean(shares),
            "interval": _interval(shares),
            "median_error": median(abs(look[what]) for _, found in of for look in found),
            "worst": max((look[what] for _, found in of for look in found), key=abs),
            "first_look_within": fmean(abs(found[0][what]) <= WITHIN for _, found in of),
        }
    told["between_low_and_high"] = fmean(look["inside"] for _, found in of for look in found)
    return told


def _interval(shares: list[float]) -> tuple[float, float]:
    rng = random.Random(0)
    drawn = sorted(fmean(rng.choices(shares, k=len(shares))) for _ in range(DRAWS))
    return drawn[round(0.025 * DRAWS)], drawn[round(0.975 * DRAWS) - 1]


def main() -> None:
    """Make the runs, print a line each and the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default=",".join(RUNS), help="of: " + ", ".join(RUNS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="keep what was seen here, and go on from what is there")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    lines = given.keep.read_text(encoding="utf-8").splitlines() if given.keep and given.keep.exists() else []
    kept = {(run["run"], run["seed"]): run for run in map(json.loads, lines)}
    runs = []
    for seed in range(given.first, given.first + given.seeds):
        for name in given.runs.split(","):
            if (name, seed) not in kept:
                kept[name, seed] = asyncio.run(watch(seed, name))
                if given.keep:
                    with given.keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(kept[name, seed]) + "\n")
            run = kept[name, seed]
            runs.append(run)
            found = errors(run)
            calls = ", ".join(f"{look['at']:.0%} {look['calls']:+.0%}" for look in found)
            share = fmean(abs(look["calls"]) <= WITHIN for look in found) if found else float("nan")
            print(f"{name} {seed}: {share:.2f} within; {calls}", file=sys.stderr, flush=True)
    found = summed(runs)
    if given.json:
        print(json.dumps(found))
        return
    print(f"{found['runs']} runs, {found['looks']} looks from a fifth of the calls on")
    for what in ("calls", "tokens"):
        one = found[what]
        low, high = one["interval"]
        print(
            f"{what}: {one['within']:.0%} [{low:.0%}, {high:.0%}] within {WITHIN:.0%}, at the first look "
            f"{one['first_look_within']:.0%}; half of all are off by {one['median_error']:.0%} at most, "
            f"the worst by {one['worst']:+.0%}"
        )
    print(f"calls between low and high: {found['between_low_and_high']:.0%}")


if __name__ == "__main__":
    main()
