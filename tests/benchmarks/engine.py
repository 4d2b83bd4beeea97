"""What the engine costs and how well it schedules, as ratios to a floor that is measured in the same run.

    python tests/benchmarks/engine.py [--json] [--problems 100] [--transports]

The server is a process of its own on the loopback (tests/support/fast_server.py). Every part runs in a fresh process,
so that CPU time and peak memory are its own.

- floor: aiohttp, json and one committed SQLite row per call, 128 at once, and nothing else.
- learn: `tfgrpo.learn` all-in (client, journal, grading, groups, contrasts, consolidation), with joined calls or not.
- schedule: the same job at lognormal latency (median 0.5 s, sigma 0.8), 128 slots, against the best schedule found for
  the same calls with the same latencies and dependencies.
- memory: peak of the job, and of one with ten times the problems.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))
from support import world  # noqa: E402
from support.fast_server import latency  # noqa: E402

SLOTS = 128
GROUP = 5
BATCH = 50
MEDIAN, SIGMA = 0.5, 0.8


@contextmanager
def server(*arguments: str) -> Iterator[str]:
    """Run the endpoint; yields its URL."""
    child = subprocess.Popen(
        [sys.executable, "-m", "support.fast_server", *arguments],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield child.stdout.readline().strip()
    finally:
        child.stdin.close()
        child.wait(10)


def part(name: str, url: str, *, problems: int, **options: Any) -> dict[str, Any]:
    """Run one part in a process of its own and return what it measured."""
    told = json.dumps({"url": url, "problems": problems, **options})
    done = subprocess.run(
        [sys.executable, __file__, "--part", name, told], stdout=subprocess.PIPE, check=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measured(calls: int, began: tuple[float, float]) -> dict[str, Any]:
    """Return what `calls` cost since `began` (wall and CPU seconds), and this process's peak memory."""
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "calls": calls,
        "seconds": round(wall, 3),
        "calls_per_second": round(calls / wall, 1),
        "cpu_ms_per_call": round(cpu / calls * 1e3, 3),
        "peak_mb": round(peak, 1),
    }


def now() -> tuple[float, float]:
    """Return wall and CPU time."""
    return time.perf_counter(), time.process_time()


def floor(url: str, problems: int) -> dict[str, Any]:
    """The least that any client with a journal does: a request, a reply, a committed row."""
    rows = world.rows(problems)
    bodies = [
        {"model": "m", "messages": [{"role": "user", "content": row["question"]}], "seed": i, "temperature": 1.0}
        for row in rows
        for i in range(GROUP)
    ]

    async def drive(folder: str) -> dict[str, Any]:
        import aiohttp

        db = sqlite3.connect(Path(folder) / "x.db", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("CREATE TABLE calls (key TEXT PRIMARY KEY, request TEXT, reply TEXT)")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def call(body: dict[str, Any], number: int) -> None:
                data = json.dumps(body)
                async with session.post(f"{url}/chat/completions", data=data.encode()) as response:
                    reply = json.loads(await response.read())
                row = (f"{number}", data, json.dumps(reply["choices"][0]))
                db.execute("INSERT INTO calls VALUES (?, ?, ?)", row)

            await workers(lambda i: call(bodies[i % len(bodies)], -1 - i), SLOTS)
            began = now()
            await workers(lambda i: call(bodies[i], i), len(bodies))
            return measured(len(bodies), began)

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(drive(folder))


async def workers(call: Callable[[int], Awaitable[Any]], count: int) -> None:
    """Make `count` calls, SLOTS at once."""
    left = iter(range(count))

    async def worker() -> None:
        for i in left:
            await call(i)

    await asyncio.gather(*(worker() for _ in range(min(SLOTS, count))))


def learn(url: str, problems: int, join: bool, group: int = GROUP, warm: bool = True) -> dict[str, Any]:
    """The whole engine: one epoch without held-out problems, so that every call is of the loop itself."""
    import tfgrpo

    def run(rows: list[dict[str, str]], db: Path) -> Any:
        return tfgrpo.learn_sync(
            rows, heldout=0, gate="open", model="openai/m", base_url=url, grader="exact", db=db,
            epochs=1, batch_size=BATCH, group_size=group, concurrency=SLOTS, engine__join=join,
        )  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        rows = world.rows(problems)
        if warm:
            run(world.rows(5, seed=9), Path(folder) / "warm.db")
        before, began = stats(url), now()
        summary = run(rows, Path(folder) / "x.db").summary
        records = sum(c["new"] for c in summary["calls"].values())
        found = measured(records, began)
        found["requests"] = stats(url)["calls"] - before["calls"]
        found["prompt_tokens"] = summary["usage"]["prompt_tokens"]
        found["best_seconds"] = 0.0 if problems > 2000 else best_schedule(Path(folder) / "x.db", join)
        return found


def stats(url: str) -> dict[str, int]:
    """Return what the server has been asked so far."""
    with urllib.request.urlopen(f"{url}/stats") as response:
        found: dict[str, int] = json.load(response)
        return found


@dataclass(frozen=True)
class Call:
    """One call of the job, for the simulation."""

    seconds: float
    problem: str
    stage: int
    """0 rollouts, 1 contrast, 2 consolidation."""
    step: int


def best_schedule(db: Path, join: bool) -> float:
    """Return the shortest time in which the job's calls fit SLOTS slots, in seconds: the best of several priorities.

    A contrast waits for its group, a consolidation for its batch's contrasts, a batch for the consolidation before it.
    """
    connection = sqlite3.connect(db)
    step_of = dict(connection.execute("SELECT json_extract(problem, '$.question'), step FROM groups"))
    calls, steps_merged = [], 0
    for role, request in connection.execute("SELECT role, request FROM calls ORDER BY rowid"):
        told = json.loads(request)
        text = told["messages"][-1]["content"]
        seconds = latency(text, told["sampling"]["seed"] or 0, MEDIAN, SIGMA)
        if role == "consolidate":
            calls.append(Call(seconds, "", 2, steps_merged))
            steps_merged += 1
            continue
        problem = next((q for q in step_of if q in text), "")
        calls.append(Call(seconds, problem, int(role != "rollout"), step_of.get(problem, 0)))
    connection.close()
    steps = sorted(set(step_of.values()))
    return round(sum(_batch_seconds([c for c in calls if c.step == step], join) for step in steps), 3)


def _batch_seconds(calls: list[Call], join: bool) -> float:
    after = {c.problem: c.seconds for c in calls if c.stage == 1}
    rollouts: list[tuple[str, float]] = [(c.problem, c.seconds) for c in calls if c.stage == 0]
    if join:
        together = dict.fromkeys(problem for problem, _ in rollouts)
        rollouts = [(p, max(s for q, s in rollouts if q == p)) for p in together]
    orders = [
        lambda r: -(r[1] + after.get(r[0], 0.0)),
        lambda r: -max(s for q, s in rollouts if q == r[0]) - after.get(r[0], 0.0),
        lambda r: r[0],
    ]
    done = min(_simulated(sorted(rollouts, key=order), after) for order in orders)
    return done + sum(c.seconds for c in calls if c.stage == 2)


def _simulated(rollouts: list[tuple[str, float]], after: dict[str, float]) -> float:
    """List scheduling; contrasts go before rollouts, because their group is already late."""
    free, ready, last = [0.0] * SLOTS, [], 0.0
    left = {p: sum(q == p for q, _ in rollouts) for p, _ in rollouts}
    group_end: dict[str, float] = {}
    queue = iter(rollouts)
    following = next(queue, None)
    while following or ready:
        slot = heapq.heappop(free)
        if ready and (following is None or ready[0][0] <= slot):
            at, seconds = heapq.heappop(ready)
            end = max(slot, at) + seconds
        else:
            assert following is not None
            problem, seconds = following
            end = slot + seconds
            group_end[problem] = max(group_end.get(problem, 0.0), end)
            left[problem] -= 1
            if not left[problem] and problem in after:
                heapq.heappush(ready, (group_end[problem], after[problem]))
            following = next(queue, None)
        last = max(last, end)
        heapq.heappush(free, end)
    return last


def transports(url: str, problems: int) -> dict[str, Any]:
    """CPU per call of the OpenAI backend over each of its transports."""
    from tfgrpo.backends import OpenAI
    from tfgrpo.types import Request, Sampling

    rows = world.rows(problems)

    async def drive(transport: Any) -> dict[str, Any]:
        backend = OpenAI(url, "x", transport=transport)

        async def call(i: int) -> None:
            text = rows[i % len(rows)]["question"]
            await backend.complete(Request("r", "m", ({"role": "user", "content": text},), Sampling(1.0, seed=i)))

        await workers(call, SLOTS)
        began = now()
        await workers(call, problems * GROUP)
        found = measured(problems * GROUP, began)
        await backend.aclose()
        return found

    return {name: asyncio.run(drive(name)) for name in ("aiohttp", "sdk")}


def compare(problems: int, *, with_transports: bool) -> dict[str, Any]:
    """Run all parts and relate them to the floor."""
    with server() as url:
        found = {
            "floor": part("floor", url, problems=problems),
            "learn": part("learn", url, problems=problems, join=False),
            "learn_joined": part("learn", url, problems=problems, join=True),
            "learn_large": part("learn", url, problems=problems * 10, join=True, group=2, warm=False),
        }
        if with_transports:
            found["transports"] = part("transports", url, problems=problems)
    with server("--median", str(MEDIAN), "--sigma", str(SIGMA)) as url:
        found["schedule"] = part("learn", url, problems=problems, join=False)
        found["schedule_joined"] = part("learn", url, problems=problems, join=True)
    base = found["floor"]
    found["ratios"] = {
        "cpu_to_floor": round(found["learn"]["cpu_ms_per_call"] / base["cpu_ms_per_call"], 2),
        "cpu_joined_to_floor": round(found["learn_joined"]["cpu_ms_per_call"] / base["cpu_ms_per_call"], 2),
        "speed_to_floor": round(found["learn"]["calls_per_second"] / base["calls_per_second"], 2),
        "wall_to_best": round(found["schedule"]["seconds"] / found["schedule"]["best_seconds"], 3),
        "wall_joined_to_best": round(found["schedule_joined"]["seconds"] / found["schedule_joined"]["best_seconds"], 3),
        "memory_large_to_small": round(found["learn_large"]["peak_mb"] / found["learn_joined"]["peak_mb"], 2),
    }
    return found


def show(found: dict[str, Any]) -> None:
    """Print the figures for people."""
    for name in ("floor", "learn", "learn_joined", "learn_large", "schedule", "schedule_joined"):
        f = found[name]
        best = f", best schedule {f['best_seconds']} s" if name.startswith("schedule") else ""
        asked = f", {f['requests']} requests, {f['prompt_tokens']:,} prompt tokens" if "requests" in f else ""
        print(
            f"{name:16} {f['calls']:6} calls  {f['cpu_ms_per_call']:7.3f} ms CPU each  {f['calls_per_second']:8.1f}/s"
            f"  {f['seconds']:7.2f} s{best}  peak {f['peak_mb']:.0f} MB{asked}"
        )
    for name, f in found.get("transports", {}).items():
        print(f"transport {name:8} {f['cpu_ms_per_call']:7.3f} ms CPU each  {f['calls_per_second']:8.1f}/s")
    for name, value in found["ratios"].items():
        print(f"{name:24} {value}")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--transports", action="store_true", help="also compare the transports of the OpenAI backend")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        name, told = given.part
        parts = {"floor": floor, "learn": learn, "transports": transports}
        print(json.dumps(parts[name](**json.loads(told))))
        return
    found = compare(given.problems, with_transports=given.transports)
    found["machine"] = {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    if given.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
