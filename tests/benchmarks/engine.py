"""What the engine costs and how well it schedules, as ratios to a floor that is measured in the same run.

    python tests/benchmarks/engine.py [--json] [--problems 100] [--transports] [--large 100000] [--only faults,help]

The server is a process of its own on the loopback (tests/support/fast_server.py). Every part runs in a fresh process,
so that CPU time and peak memory are its own.

- floor: aiohttp, json and one committed SQLite row per call, 128 at once, and nothing else.
- learn: `tfgrpo.learn` all-in (client, journal, grading, groups, contrasts, consolidation), with joined calls or not.
- schedule: the same job at lognormal latency (median 0.5 s, sigma 0.8), 128 slots, against the best schedule found for
  the same calls with the same latencies and dependencies.
- overlap: batches of 25 with held-out problems and a gate at that latency, one batch ahead or not.
- faults: the job as a command (median 0.2 s, sigma 0.5), where one request in five fails (timeouts 5 s), against one
  without faults: what was lost, and how much longer it took.
- memory: peak of the job, of one with ten times the problems, and with --large of one read from a file.
- marginal: the job as a command at one and at four times the problems: its whole process, and what each further call
  costs, beside the floor of the same run; and the peak of memory while 1,500 calls are open.
- help: CPU seconds of `tfgrpo --help`.
"""

from __future__ import annotations

import argparse
import asyncio
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
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))
from engine_schedule import MEDIAN, SIGMA, SLOTS, best_schedule  # noqa: E402
from support import world  # noqa: E402

GROUP = 5
BATCH = 50
SLOW = ("--median", str(MEDIAN), "--sigma", str(SIGMA))
QUICK = ("--median", "0.2", "--sigma", "0.5")
"""So that no call without a fault ever takes as long as TIMEOUT."""
TIMEOUT = 5


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


def overlap(url: str, problems: int) -> dict[str, Any]:
    """The job in batches of 25 with a gate, without and with one batch ahead; libraries of both are counted."""
    import tfgrpo

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for ahead in (0, 1):
            began = now()
            done = tfgrpo.learn_sync(
                world.rows(problems), heldout=world.rows(64, seed=5), model="openai/m", base_url=url, grader="exact",
                db=Path(folder) / f"{ahead}.db", epochs=1, batch_size=25, group_size=GROUP, concurrency=SLOTS,
                engine__join=False, engine__overlap=ahead,
            )  # fmt: skip
            calls = sum(c["new"] for c in done.summary["calls"].values())
            found["ahead" if ahead else "apart"] = measured(calls, began) | {"lessons": len(done.library)}
    return found


def large(url: str, problems: int) -> dict[str, Any]:
    """Many problems from a file, two rollouts each: the command as a user gives it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "problems.jsonl"
        with file.open("w", encoding="utf-8") as out:
            for i in range(problems):
                a, word, b = 10 + i // 900, "blick" if i % 4 == 3 else "zorp", 100 + i % 900
                answer = a + b if word == "zorp" else a * b
                out.write(json.dumps({"question": f"What is {a} {word} {b}?", "answer": str(answer)}) + "\n")
        return command(url, folder, file, group=2)


def job(url: str, problems: int, join: bool = True) -> dict[str, Any]:
    """The job as a command."""
    with tempfile.TemporaryDirectory() as folder:
        return command(url, folder, world.write(Path(folder) / "problems.jsonl", problems), join=join)


def command(url: str, folder: str, file: Path, group: int = GROUP, join: bool = True) -> dict[str, Any]:
    """Run `tfgrpo learn` as a process and return how it ended, what it told, and what it took."""
    began, before = now(), stats(url)
    ended = subprocess.run(
        [
            sys.executable, "-m", "tfgrpo.cli.app", "learn", str(file), "--grader", "exact", "--model", "openai/m",
            "--base-url", url, "--heldout", "0", "--gate", "open", "--epochs", "1", "--batch-size", str(BATCH),
            "--group-size", str(group), "--concurrency", str(SLOTS), "--json", "--db", str(Path(folder) / "x.db"),
            "-s", f"engine.timeout={TIMEOUT}", "-s", f"engine.join={str(join).lower()}",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = json.loads(ended.stdout or "{}")
    calls = sum(c["new"] for c in told.get("calls", {"": {"new": 0}}).values())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter() - began[0]
    kept = {name: told.get(name) for name in ("rollouts", "groups", "edits", "lessons", "reward", "failures")}
    return {
        **kept,
        "exit": ended.returncode,
        "traceback": "Traceback" in ended.stderr,
        "calls": calls,
        "bytes": (Path(folder) / "x.db").stat().st_size,
        "seconds": round(wall, 2),
        "calls_per_second": round(calls / wall, 1),
        "cpu_ms_per_call": round((used.ru_utime + used.ru_stime) / max(calls, 1) * 1e3, 3),
        "peak_mb": round(used.ru_maxrss / 1024, 1),
        "faults": {k.removeprefix("fault "): n for k, n in (stats(url)).items() if k.startswith("fault ")},
        "requests": stats(url)["calls"] - before["calls"],
    }


def marginal(url: str, problems: int) -> dict[str, Any]:
    """What the whole process takes for each call, and what each further one adds."""
    few, many = (part("job", url, problems=problems * times, join=False) for times in (1, 4))
    seconds = [row["cpu_ms_per_call"] * row["calls"] for row in (few, many)]
    return {
        "whole_cpu_ms_per_call": few["cpu_ms_per_call"],
        "marginal_cpu_ms_per_call": round((seconds[1] - seconds[0]) / (many["calls"] - few["calls"]), 3),
        "calls": (few["calls"], many["calls"]),
        "bytes_per_call": round(many["bytes"] / many["calls"]),
    }


def open_calls(url: str, problems: int) -> dict[str, Any]:
    """The peak of memory with 1,500 calls open at once; the server answers slowly."""
    import tfgrpo

    with tempfile.TemporaryDirectory() as folder:
        began = now()
        done = tfgrpo.learn_sync(
            world.rows(problems), heldout=0, gate="open", model="openai/m", base_url=url, grader="exact",
            db=Path(folder) / "x.db", epochs=1, batch_size=problems, group_size=GROUP, concurrency=1500,
            engine__join=False,
        )  # fmt: skip
        return measured(sum(c["new"] for c in done.summary["calls"].values()), began)


def faults(problems: int, seed: int) -> dict[str, Any]:
    """The job without and with faults, and what was lost: rollouts, groups, contrasts."""
    found: dict[str, Any] = {}
    for name, more in (("fair", ()), ("bad", ("--faults", str(seed)))):
        with server(*QUICK, *more) as url:
            found[name] = part("job", url, problems=problems)
    fair, bad = found["fair"], found["bad"]
    return {
        **found,
        "lost_rollouts": problems * GROUP - (bad["rollouts"] or 0) + sum((bad["failures"] or {}).values()),
        "lost_groups": (bad["groups"] or {"failed": problems})["failed"],
        "same_lessons": all(bad[name] == fair[name] for name in ("groups", "edits", "lessons", "reward")),
        "extra_seconds": round(bad["seconds"] - fair["seconds"], 2),
    }


def help_seconds() -> dict[str, float]:
    """CPU seconds of `tfgrpo --help`, and of Python alone; the least of three."""

    def least(*arguments: str) -> float:
        seconds = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return round(min(seconds), 3)

    return {"python": least("-c", "pass"), "help": least("-m", "tfgrpo.cli", "--help")}


def compare(problems: int, *, only: set[str], with_transports: bool, largest: int, seed: int) -> dict[str, Any]:
    """Run the parts and relate them to the floor."""
    found: dict[str, Any] = {}
    wanted = only or {"learn", "schedule", "overlap", "faults", "help"}
    with server() as url:
        found["floor"] = part("floor", url, problems=problems)
        if "learn" in wanted:
            found["learn"] = part("learn", url, problems=problems, join=False)
            found["learn_joined"] = part("learn", url, problems=problems, join=True)
            found["learn_large"] = part("learn", url, problems=problems * 10, join=True, group=2, warm=False)
        if "marginal" in wanted:
            found["marginal"] = marginal(url, problems)
        if with_transports:
            found["transports"] = part("transports", url, problems=problems)
        if largest:
            found["largest"] = part("large", url, problems=largest)
    with server(*SLOW) as url:
        if "schedule" in wanted:
            found["schedule"] = part("learn", url, problems=problems, join=False)
            found["schedule_joined"] = part("learn", url, problems=problems, join=True)
        if "marginal" in wanted:
            found["open_calls"] = part("open_calls", url, problems=320)
        if "overlap" in wanted:
            found["overlap"] = part("overlap", url, problems=problems)
    if "faults" in wanted:
        found["faults"] = faults(problems, seed)
    if "help" in wanted:
        found["help"] = help_seconds()
    found["ratios"] = ratios(found)
    return found


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """Return what was measured as ratios to the floor of this run, or to its own twin."""
    table: dict[str, float] = {}
    base = found["floor"]
    if "learn" in found:
        learned, joined = found["learn"], found["learn_joined"]
        table["cpu_to_floor"] = round(learned["cpu_ms_per_call"] / base["cpu_ms_per_call"], 2)
        table["cpu_joined_to_floor"] = round(joined["cpu_ms_per_call"] / base["cpu_ms_per_call"], 2)
        table["speed_to_floor"] = round(learned["calls_per_second"] / base["calls_per_second"], 2)
        table["memory_large_to_small"] = round(found["learn_large"]["peak_mb"] / joined["peak_mb"], 2)
    if "marginal" in found:
        for name in ("whole", "marginal"):
            each = found["marginal"][f"{name}_cpu_ms_per_call"]
            table[f"{name}_process_to_floor"] = round(each / base["cpu_ms_per_call"], 2)
    for name in ("schedule", "schedule_joined"):
        if name in found:
            table[f"{name}_to_best"] = round(found[name]["seconds"] / found[name]["best_seconds"], 3)
    if "overlap" in found:
        table["overlap_to_apart"] = round(
            found["overlap"]["ahead"]["seconds"] / found["overlap"]["apart"]["seconds"], 3
        )
    if "faults" in found:
        table["faults_to_fair"] = round(found["faults"]["bad"]["seconds"] / found["faults"]["fair"]["seconds"], 2)
    if "help" in found:
        table["help_to_python"] = round(found["help"]["help"] / max(found["help"]["python"], 1e-3), 1)
    return table


def show(found: dict[str, Any]) -> None:
    """Print the figures for people."""
    rows = [(name, found[name]) for name in found if "cpu_ms_per_call" in found[name]]
    rows += [(f"{of} {name}", found[of][name]) for of in ("overlap", "faults") for name in found.get(of, {})
             if isinstance(found[of][name], dict)]  # fmt: skip
    for name, f in rows:
        best = f", best schedule {f['best_seconds']} s" if f.get("best_seconds") and "schedule" in name else ""
        asked = f", {f['requests']} requests" if "requests" in f else ""
        asked += f", {f['prompt_tokens']:,} prompt tokens" if "prompt_tokens" in f else ""
        print(
            f"{name:16} {f['calls']:6} calls  {f['cpu_ms_per_call']:7.3f} ms CPU each  {f['calls_per_second']:8.1f}/s"
            f"  {f['seconds']:7.2f} s{best}  peak {f['peak_mb']:.0f} MB{asked}"
        )
    for name, f in found.get("transports", {}).items():
        print(f"transport {name:8} {f['cpu_ms_per_call']:7.3f} ms CPU each  {f['calls_per_second']:8.1f}/s")
    if "faults" in found:
        f = found["faults"]
        bad, struck = f["bad"], f["bad"]["faults"]
        print(
            f"faults: exit {bad['exit']}, traceback {bad['traceback']}, {sum(struck.values())} of {bad['requests']} "
            f"requests failed {struck}; lost: {f['lost_rollouts']} rollouts, {f['lost_groups']} groups "
            f"{bad['failures']}; lessons as without faults: {f['same_lessons']}; {f['extra_seconds']:+.1f} s"
        )
    if "marginal" in found:
        print("marginal: " + ", ".join(f"{name} {value}" for name, value in found["marginal"].items()))
    if "help" in found:
        print(f"tfgrpo --help: {found['help']['help']:.3f} s CPU, python alone {found['help']['python']:.3f} s")
    for name, value in found["ratios"].items():
        print(f"{name:24} {value}")
    print("machine: {cpus} CPUs, load {load}".format(**found["machine"]))


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "floor": floor,
    "learn": learn,
    "transports": transports,
    "overlap": overlap,
    "open_calls": open_calls,
    "job": job,
    "large": large,
}


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--transports", action="store_true", help="also compare the transports of the OpenAI backend")
    parser.add_argument("--large", type=int, default=0, help="also run so many problems x 2 rollouts from a file")
    parser.add_argument(
        "--only", default="", help="some of learn,marginal,schedule,overlap,faults,help; none for --large alone"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        name, told = given.part
        print(json.dumps(PARTS[name](**json.loads(told))))
        return
    only = set(filter(None, given.only.split(",")))
    load = round(os.getloadavg()[0], 1)
    found = compare(given.problems, only=only, with_transports=given.transports, largest=given.large, seed=given.seed)
    found["machine"] = {"cpus": os.cpu_count(), "load": load}
    if given.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
