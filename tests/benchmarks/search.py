"""Ours beside gepa from PyPI: the same toy task, the same loopback server, calls counted there.

    python tests/benchmarks/search.py [--seeds 5] [--calls 400] [--json]

Both get 36 learning problems, 30 held-out ones, 16 slots and 50 ms a call, and both stop at the same number of calls
that the server has seen: reflections, retries and repeated work are in it. What they found is then judged on 240
problems that neither saw, without the server. gepa runs with a callable transport (a thread pool and kept-alive
connections), retries of 429 and empty replies, and its default or its P x N setting; its run directory is used for the
kill. Arms: clean, 2% of calls answered 429 and 1% without content, and SIGKILL at 40% of the calls, then again; and
`parts`, where half of the rules help in the description of a tool alone, so that a search has to write two components.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))
from support import search_server as toy  # noqa: E402

SLOTS = 16
LEARN, HELD, TEST = 36, 30, 240
START = "Solve the problem."
ARMS: dict[str, dict[str, Any]] = {
    "gepa 1x1": {"who": "theirs", "p": 1, "n": 1},
    "gepa 2x4": {"who": "theirs", "p": 2, "n": 4},
    "gepa 4x4": {"who": "theirs", "p": 4, "n": 4},
    "tfgrpo 1x4": {"who": "ours", "p": 1, "n": 4},
    "tfgrpo 2x8": {"who": "ours", "p": 2, "n": 8},
    "tfgrpo merge 1x4": {"who": "ours", "p": 1, "n": 4, "method": "gepa-merge"},
    "tfgrpo shares 1x4": {"who": "ours", "p": 1, "n": 4, "more": {"minibatch": 9, "reflection": "map-reduce"}},
    "tfgrpo paired 1x4": {"who": "ours", "p": 1, "n": 4, "more": {"minibatch": 9, "acceptance": "paired"}},
}
"""What is compared."""
FAULTS = ("--limited", "0.02", "--null", "0.01")


def problems(seed: int) -> tuple[list[dict[str, str]], list[dict[str, str]], list[dict[str, str]]]:
    """Return learning, held-out and test problems, all different."""
    drawn = toy.rows(LEARN + HELD + TEST, seed)
    return drawn[:LEARN], drawn[LEARN : LEARN + HELD], drawn[LEARN + HELD :]


Prompt = tuple[str, str | None]
"""What a search ends with: the system message, and where there are parts what the tool says of itself."""


def judged(prompt: Prompt, seed: int) -> float:
    """Return the test reward of a prompt."""
    test, (system, described) = problems(seed)[2], prompt
    said = [toy.attempt(system, row["question"], 1_000_003 + seed, described) == row["answer"] for row in test]
    return sum(said) / len(said)


def ours(
    url: str, seed: int, calls: int, folder: Path, *, p: int, n: int, method: str = "gepa", parts: bool = False,
    more: Mapping[str, Any] | None = None,
) -> Prompt:  # fmt: skip
    """Search with this package; returns the block of lessons that it ends with."""
    import tfgrpo
    from experience_db.prompt_parts import apart

    learn, held, _ = problems(seed)
    asked: dict[str, Any] = {f"search__{name}": value for name, value in (more or {}).items()}
    if parts:
        asked |= {"tools": "support.search_tool:make", "search__components": "library,tools"}
    result = tfgrpo.learn_sync(
        learn, heldout=held, model="openai/toy", base_url=url, grader="exact", db=folder / "x.db", method=method,
        seed=seed, epochs=40, concurrency=SLOTS, budget_calls=calls, search__parents=p, search__proposals=n, **asked,
    )  # fmt: skip
    rest, told = apart(result.library, ("tool figures",))
    return rest.block(), told.get("tool figures", toy.TOOL) if parts else None


class Client:
    """The transport that gepa gets: a kept-alive connection a thread, and a few tries."""

    def __init__(self, url: str) -> None:
        self.address = urlparse(url)
        self.local = threading.local()
        self.pool = ThreadPoolExecutor(SLOTS)
        self.calls = 0
        self.lock = threading.Lock()

    def ask(self, body: dict[str, Any]) -> str | None:
        """Send one chat body; None once four tries have failed."""
        for wait in (0.1, 0.2, 0.4, None):
            said = self.once(body)
            if said is not None or wait is None:
                return said
            time.sleep(wait)
        return None

    def once(self, body: dict[str, Any]) -> str | None:
        """Send it once."""
        with self.lock:
            self.calls += 1
        kept = getattr(self.local, "connection", None)
        if kept is None:
            kept = self.local.connection = http.client.HTTPConnection(self.address.hostname, self.address.port)
        kept.request("POST", f"{self.address.path}/chat/completions", json.dumps(body))
        response = kept.getresponse()
        told = json.loads(response.read())
        return told["choices"][0]["message"]["content"] if response.status == 200 else None

    def all(self, bodies: Sequence[dict[str, Any]]) -> list[str | None]:
        """Send all of them, 16 at once."""
        return list(self.pool.map(self.ask, bodies))


def adapter_of(client: Client) -> Any:
    """Return gepa's adapter for the toy task."""
    from gepa.core.adapter import EvaluationBatch

    def body(candidate: dict[str, str], row: dict[str, str]) -> dict[str, Any]:
        messages = [{"role": "system", "content": candidate["prompt"]}, {"role": "user", "content": row["question"]}]
        tool = {"name": "figures", "description": candidate.get("tool", ""), "parameters": {"type": "object"}}
        tools = {"tools": [{"type": "function", "function": tool}]} if "tool" in candidate else {}
        return {"model": "toy", "messages": messages, "seed": 0, **tools}

    class Adapter:
        propose_new_texts = None

        def batch_evaluate(self, items: Sequence[Any]) -> list[Any]:
            flat = [(candidate, row) for candidate, batch in items for row in batch]
            said = iter(client.all([body(candidate, row) for candidate, row in flat]))
            return [self.graded([(row, next(said)) for row in batch]) for _, batch in items]

        def evaluate(self, batch: Sequence[Any], candidate: dict[str, str], capture_traces: bool = False) -> Any:
            (found,) = self.batch_evaluate([(candidate, batch)])
            return found

        def graded(self, pairs: Sequence[tuple[dict[str, str], str | None]]) -> Any:
            scores = [float(said == row["answer"]) for row, said in pairs]
            return EvaluationBatch(outputs=[said for _, said in pairs], scores=scores, trajectories=list(pairs))

        def make_reflective_dataset(self, candidate: Any, batch: Any, components: Sequence[str]) -> Any:
            told = [
                {"Inputs": row["question"], "Generated Outputs": said or "", "Feedback": feedback(row, score)}
                for (row, said), score in zip(batch.trajectories, batch.scores, strict=True)
            ]
            return dict.fromkeys(components, told)

    return Adapter()


def feedback(row: dict[str, str], score: float) -> str:
    """Say what the grader says."""
    return "Correct." if score else f"Wrong. The answer is {row['answer']}."


class Reflecting:
    """gepa's reflection model, one call or several at once."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __call__(self, prompt: Any) -> str:
        """Ask for one reflection."""
        return self.batch_complete([[{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt])[0]

    def batch_complete(self, messages: Sequence[Any]) -> list[str]:
        """Ask for several reflections at once."""
        return [said or "" for said in self.client.all([{"model": "toy", "messages": m} for m in messages])]


def theirs(
    url: str, seed: int, calls: int, folder: Path, *, p: int, n: int, before: int = 0, parts: bool = False
) -> Prompt:
    """Search with gepa; returns the prompt that it ends with."""
    import gepa
    from gepa.strategies.proposal_sampling import PxNSampling

    learn, held, _ = problems(seed)
    client = Client(url)
    result = gepa.optimize(
        seed_candidate={"prompt": START, **({"tool": toy.TOOL} if parts else {})}, trainset=learn, valset=held,
        adapter=adapter_of(client),
        reflection_lm=Reflecting(client), reflection_minibatch_size=3, max_metric_calls=100 * calls,
        stop_callbacks=lambda _: client.calls + before >= calls, seed=seed, run_dir=str(folder / "run"),
        sampling_strategy=PxNSampling(p, n) if p * n > 1 else None, display_progress_bar=False, logger=Silent(),
    )  # fmt: skip
    best: dict[str, str] = result.best_candidate
    return best["prompt"], best.get("tool")


class Silent:
    """A logger that says nothing."""

    def log(self, message: str) -> None:
        """Drop it."""


@contextmanager
def server(*faults: str, latency: float) -> Iterator[str]:
    """Run the endpoint; yields its URL."""
    child = subprocess.Popen(
        [sys.executable, "-m", "support.search_server", "--latency", str(latency), *faults],
        cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield child.stdout.readline().strip()
    finally:
        child.stdin.close()
        child.wait(10)


def stats(url: str) -> dict[str, int]:
    """Return what the server was asked so far."""
    with urllib.request.urlopen(f"{url}/stats") as response:
        found: dict[str, int] = json.load(response)
        return found


def start(
    arm: str, url: str, seed: int, calls: int, folder: Path, before: int = 0, *, parts: bool = False
) -> subprocess.Popen[str]:
    """Begin one search in a process of its own."""
    told = json.dumps(
        {"arm": arm, "url": url, "seed": seed, "calls": calls, "folder": str(folder), "before": before, "parts": parts}
    )
    return subprocess.Popen([sys.executable, __file__, "--part", told], stdout=subprocess.PIPE, text=True)


def part(told: dict[str, Any]) -> None:
    """Be that process: search, judge, print."""
    chosen = dict(ARMS[told["arm"]])
    who, folder = chosen.pop("who"), Path(told["folder"])
    run: Callable[..., Prompt] = ours if who == "ours" else theirs
    more: dict[str, Any] = {"parts": told["parts"], **({"before": told["before"]} if who == "theirs" else {})}
    # Imports are not part of the search.
    for name in (
        ("tfgrpo.api", "tfgrpo.backends.openai", "aiohttp", "sqlite_utils", "pydantic", "json_repair")
        if who == "ours"
        else ("gepa",)
    ):
        importlib.import_module(name)
    began, used = time.perf_counter(), time.process_time()
    found = run(told["url"], told["seed"], told["calls"], folder, **chosen, **more)
    seconds = time.perf_counter() - began
    cpu = time.process_time() - used
    print(json.dumps({"reward": judged(found, told["seed"]), "seconds": round(seconds, 2), "cpu": round(cpu, 2)}))


def one(arm: str, seed: int, calls: int, faults: Sequence[str], latency: float, *, kill: bool) -> dict[str, Any]:
    """Run one search to its end, killed once at 40% of its calls if asked; returns what it reached and what it cost."""
    parts = "--parts" in faults
    with server(*faults, latency=latency) as url, tempfile.TemporaryDirectory() as folder:
        lost = 0.0
        if kill:
            began = time.perf_counter()
            child = start(arm, url, seed, calls, Path(folder), parts=parts)
            while stats(url)["calls"] < 0.4 * calls and child.poll() is None:
                time.sleep(0.01)
            os.kill(child.pid, signal.SIGKILL)
            child.communicate()
            lost = time.perf_counter() - began
        # gepa cannot know what the killed process had sent; the server does.
        child = start(arm, url, seed, calls, Path(folder), before=stats(url)["calls"] if kill else 0, parts=parts)
        out, _ = child.communicate()
        if child.returncode:
            return {"arm": arm, "seed": seed, "failed": f"exit code {child.returncode}", **stats(url)}
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return {"arm": arm, "seed": seed, **found, "killed_seconds": round(lost, 2), **stats(url)}


def summed(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return means over seeds, with a t interval of the reward."""
    from tfgrpo import stats as numbers

    done = [row for row in rows if "reward" in row]
    if not done:
        return {"failed": len(rows)}
    low, high = numbers.mean_interval([row["reward"] for row in done])
    means = {key: sum(row[key] for row in done) / len(done) for key in ("reward", "seconds", "cpu", "calls", "tokens")}
    return {**means, "ci": [low, high], "n": len(done), "failed": len(rows) - len(done)}


def main() -> None:
    """Run all arms and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--weathers", default="clean,faults,kill")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part")
    given = parser.parse_args()
    if given.part:
        part(json.loads(given.part))
        return
    weathers = {"clean": ((), False), "faults": (FAULTS, False), "kill": ((), True), "parts": (("--parts",), False)}
    table: dict[str, Any] = {}
    seeds = range(given.first, given.first + given.seeds)
    for weather in given.weathers.split(","):
        faults, kill = weathers[weather]
        for arm in given.arms.split(","):
            rows = [one(arm, s, given.calls, faults, given.latency, kill=kill) for s in seeds]
            table[f"{weather}: {arm}"] = {**summed(rows), "rows": rows}
            print(line(f"{weather}: {arm}", table[f"{weather}: {arm}"]), file=sys.stderr, flush=True)
    if given.json:
        print(json.dumps(table))


def line(name: str, found: dict[str, Any]) -> str:
    """Return a row of the table."""
    if "reward" not in found:
        return f"{name:28s} no result: {found['failed']} failed"
    low, high = found["ci"]
    return (
        f"{name:28s} test reward {found['reward']:.3f} [{low:.3f}, {high:.3f}]  {found['calls']:.0f} calls  "
        f"{found['tokens']:,.0f} tokens  {found['seconds']:.1f} s, {found['cpu']:.1f} of CPU  failed {found['failed']}"
    )


if __name__ == "__main__":
    main()
