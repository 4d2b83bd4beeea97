"""The engine at the scale of papers, against endpoints that are simulated: what it costs, and what breaks first.

    python tests/benchmarks/simulate.py [--problems 200] [--rollouts 16] [--replicas 32] [--slots 512]
        [--lessons 10000] [--rows 100000] [--parts learn,library,journal] [--json]

Real are the loop, the scheduler, the routing over replicas, the store, the gate; simulated are the endpoints: replies
take lognormal times (median 8 s, sigma 0.8) on a clock that jumps to the next event, so that an hour of waiting costs
nothing. Each replica remembers the beginnings of prompts that it read last, as a prefix cache does, and answers by
whether a lesson stands in its prompt. The scale of the aim is 17,000 problems x 16 rollouts, 32 replicas, 10,000
lessons, 10,000,000 journal rows; the last lines say what the measured figures would come to there, if they grow as the
counts do: an extrapolation, not a measurement.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import resource
import selectors
import statistics
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfgrpo
from experience_db import Edit, Journal, Op, Store, open_library
from experience_db.retrieval import Retrieval
from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.limited import Ledger, Limited
from tfgrpo.backends.load_balancing import LoadBalanced
from tfgrpo.types import Reply, Request, Usage

AIM = {"problems": 17_000, "rollouts": 16, "rows": 10_000_000}
MEDIAN, SIGMA = 8.0, 0.8
ANSWERS = {"rollout", "gate", "evaluate"}
"""Roles whose replies are graded."""
REMEMBERED = 48
"""Beginnings of prompts that a replica keeps."""
WORDS = [f"{a}{b}{c}" for a in ("", "s", "tr") for b in ("an", "o", "ing", "er") for c in "bcdfghklmnprst"]


class Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Waits for nobody: where no file is ready, the clock of the loop jumps by what would have been waited."""

    jumped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready now."""
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self.jumped += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose sleeps take no time."""

    def __init__(self) -> None:
        self.selector = Jumping()
        super().__init__(self.selector)

    def time(self) -> float:
        """Return real seconds and those that were jumped."""
        return super().time() + self.selector.jumped


class Replica:
    """One simulated engine."""

    def __init__(self) -> None:
        self.calls = 0
        self.hits = 0
        self._warm: OrderedDict[str, None] = OrderedDict()

    async def complete(self, request: Request) -> Reply:
        """Answer after a while."""
        self.calls += 1
        words = json.dumps(request.messages[:2])
        self.hits += words in self._warm
        self._warm[words] = None
        self._warm.move_to_end(words)
        if len(self._warm) > REMEMBERED:
            self._warm.popitem(last=False)
        luck = random.Random(f"{words}{request.sampling.seed}{request.attempt}{request.role}")
        await asyncio.sleep(MEDIAN * math.exp(SIGMA * luck.gauss(0, 1)))
        usage = Usage(len(words) // 4, 60)
        if request.role not in ANSWERS:
            topic = luck.randrange(40)
            text = f"For problems of topic {topic}, write down the units before the sum is made."
            lesson = {"op": "ADD", "text": text} if luck.random() < 0.2 else None
            return Reply(json.dumps({"edits": [lesson] if lesson else []}), "stop", usage)
        right = luck.random() < (0.9 if "write down the units" in words else 0.5)
        thought = " ".join(luck.choices(WORDS, k=120))
        return Reply(f"{thought} \\boxed{{{1 if right else 0}}}", "stop", usage)


class Fleet:
    """All replicas behind the real routing."""

    replicas: int = 32
    slots: int = 512
    sticky: bool = True
    made: Fleet | None = None

    def __init__(self) -> None:
        Fleet.made = self
        self.each = [Replica() for _ in range(self.replicas)]
        paces = [Pace(math.ceil(self.slots / self.replicas)) for _ in self.each]
        ways = [Limited(one, Ledger(), pace) for one, pace in zip(self.each, paces, strict=True)]
        self._way = LoadBalanced(ways, paces, sticky=self.sticky)

    async def complete(self, request: Request) -> Reply:
        """Pass a call on to one of them."""
        return await self._way.complete(request)


def problem(number: int, part: str) -> dict[str, str]:
    """Return one problem; no two parts share their words in a row."""
    words = random.Random(f"{part} {number}").choices(WORDS, k=40)
    return {"question": f"Topic {number % 40}: {' '.join(words)}?", "answer": "1"}


def learn(folder: Path, told: argparse.Namespace, sticky: bool) -> dict[str, Any]:
    """Run the real loop over the fleet; returns what it cost and how well it shared the load."""
    Fleet.replicas, Fleet.slots, Fleet.sticky = told.replicas, told.slots, sticky
    rows = [problem(i, "learn") for i in range(told.problems)]
    held = [problem(i, "held") for i in range(64)]
    path = folder / f"learn-{sticky}.db"
    loop = VirtualLoop()
    began, cpu = loop.time(), time.process_time()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        done = runner.run(tfgrpo.learn_all(
            rows, heldout=held, model="scripted/simulate:Fleet", grader="exact", db=path, epochs=1,
            batch_size=min(256, told.problems), group_size=told.rollouts, concurrency=told.slots,
            engine__join=False,
        ))  # fmt: skip
        waited = loop.time() - began
    cpu = time.process_time() - cpu
    fleet = Fleet.made
    assert fleet is not None
    calls = [one.calls for one in fleet.each]
    found = {
        "calls": sum(calls),
        "cpu_ms_per_call": cpu / sum(calls) * 1e3,
        "virtual_s": waited,
        "busiest_to_mean_replica": max(calls) / statistics.mean(calls),
        "calls_with_a_warm_beginning": sum(one.hits for one in fleet.each) / sum(calls),
        "lessons": done.summary["lessons"],
        "bytes_per_call": path.stat().st_size / sum(calls),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    loop.close()
    return found


def timed(what: Callable[[], object], draws: int = 5) -> float:
    """Return the median milliseconds of a few calls."""
    seen = []
    for _ in range(draws):
        began = time.perf_counter()
        what()
        seen.append((time.perf_counter() - began) * 1e3)
    return statistics.median(seen)


def library(folder: Path, told: argparse.Namespace) -> dict[str, Any]:
    """Return milliseconds of what is done with a library of many lessons."""
    path = folder / "library.db"

    def words(n: int) -> str:
        return " ".join(luck.choices(WORDS, k=n))

    luck = random.Random(0)
    with Store.open(path) as store:
        store.create_library("large")
        head = store.commit("large", [Edit(Op.ADD, words(20)) for _ in range(told.lessons)], parent=0)

        def commit() -> None:
            nonlocal head
            head = store.commit("large", [Edit(Op.UPDATE, words(20), (7,))], parent=head.version)

        shown = open_library("large", db=path)
        return {
            "lessons": told.lessons,
            "open_ms": timed(lambda: open_library("large", db=path)),
            "search_ms": timed(lambda: store.search("large", words(30))),
            "choose_for_a_problem_ms": timed(lambda: Retrieval(tokens=600).chosen(shown, words(30))),
            "commit_ms": timed(commit),
        }


def journal(folder: Path, told: argparse.Namespace) -> dict[str, Any]:
    """Return milliseconds of what is asked of a long journal, and its size."""
    path, run_rows = folder / "journal.db", 20_000
    block = " ".join(random.Random(1).choices(WORDS, k=1500))
    with Store.open(path) as store:
        store.create_library("default")
        kept, cpu = Journal(store), time.process_time()
        for start in range(0, told.rows, run_rows):
            run = f"r{start // run_rows}"
            store.start_run(run, name=run, kind="learn", fingerprint=run, config={}, library="default", base_version=0,
                            dataset="d")  # fmt: skip
            for first in range(start, min(start + run_rows, told.rows), 1000):
                with store.atomic():
                    for i in range(first, min(first + 1000, told.rows)):
                        talk = [{"role": "system", "content": block}, {"role": "user", "content": f"Problem {i // 16}"}]
                        asked, said = {"messages": talk, "seed": i}, {"text": f"{i} \\boxed{{1}}"}
                        kept.put(f"{i:064x}", role="rollout", model="m", request=asked, reply=said, prompt_tokens=900,
                                 completion_tokens=60, run=run)  # fmt: skip
            store.finish_run(run, "finished", {})
    cpu, size = time.process_time() - cpu, path.stat().st_size
    with Store.open(path) as store:
        kept = Journal(store)
        found = {
            "rows": told.rows,
            "cpu_us_per_row": cpu / told.rows * 1e6,
            "bytes_per_row": size / told.rows,
            "found_ms": timed(lambda: kept.get(f"{told.rows // 2:064x}")),
            "not_found_ms": timed(lambda: kept.get("f" * 64)),
            "usage_of_a_run_ms": timed(lambda: store.usage("r0")),
            "usage_of_all_ms": timed(store.usage, 2),
            "spent_of_a_run_ms": timed(lambda: kept.spent("r0")),
            "rows_of_a_run": min(run_rows, told.rows),
        }
    found["open_ms"] = timed(lambda: Store.open(path, readonly=True).close())
    return found


def extrapolated(found: dict[str, Any]) -> dict[str, Any]:
    """Return what the figures come to at the aim, if they grow as the counts do."""
    more: dict[str, Any] = {}
    if "learn" in found:
        calls = AIM["problems"] * AIM["rollouts"]
        row = found["learn"]
        more["learn: client CPU hours of one epoch"] = round(row["cpu_ms_per_call"] * calls / 3.6e6, 2)
        more["learn: GB of database"] = round(row["bytes_per_call"] * calls / 1e9, 2)
    if "journal" in found:
        row = found["journal"]
        more["journal: GB"] = round(row["bytes_per_row"] * AIM["rows"] / 1e9, 1)
        more["journal: s for the usage of all runs"] = round(
            row["usage_of_all_ms"] / 1e3 * AIM["rows"] / row["rows"], 1
        )
    return more


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"problems": 200, "rollouts": 16, "replicas": 32, "slots": 512, "lessons": 10_000, "rows": 100_000}
    for name, usual in sizes.items():
        asked.add_argument(f"--{name}", type=int, default=usual)
    asked.add_argument("--parts", default="learn,library,journal")
    asked.add_argument("--json", action="store_true", help="print one JSON object")
    told = asked.parse_args()
    parts, found = set(told.parts.split(",")), {}
    with tempfile.TemporaryDirectory() as name:
        if "learn" in parts:
            for sticky in (True, False):
                found["learn" if sticky else "learn, not sticky"] = learn(Path(name), told, sticky)
        if "library" in parts:
            found["library"] = library(Path(name), told)
        if "journal" in parts:
            found["journal"] = journal(Path(name), told)
    found["extrapolated to the aim"] = extrapolated(found)
    if told.json:
        print(json.dumps(found))
        return
    for name, row in found.items():
        print(name)
        for key, value in row.items():
            print(f"  {key:40} {value:.4g}" if isinstance(value, float) else f"  {key:40} {value}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    # The model is found as a module of its own, whose classes must be these.
    sys.modules["simulate"] = sys.modules["__main__"]
    sys.exit(main())
