"""Whole runs at an endpoint with every fault that passes, restarted again and again: equal books, the same library.

    python tests/benchmarks/soak.py [--calls 20000] [--seed 0] [--faults 0.25] [--concurrency 64] [--kills]
                                    [--hours 2 --delay 2]

Each round learns the same small world twice: once without faults, once with a fault in every fourth answer and a
restart each time a budget of calls is used up. The server counts what it bills. At the end of each round
 - the database holds as many calls as the server saw, and as many tokens as it billed, answers that broke off apart;
 - the library is that of the clean run, lesson by lesson.
The exit status is 1 when any of this does not hold. With `--kills` the run with faults is `tfgrpo learn` in a process
of its own, which gets SIGKILL or SIGTERM in the middle, in turns. What was on the way to it when it was killed the
server has billed and nobody else can know, so the books may lack at most one request per slot for each SIGKILL; calls
that SIGTERM ended stand in the books, with an estimate of what they cost.

Faults: refusals (429 with and without a wait, 424, 425, 498, 500,
503, one 401 and one 404 among answers), refused settings (top_p, n above 6, a schema), bodies (HTML, half of it, nested
deep, null, counts as text and floats, cost as an object), endings (error, filtered, reasoning alone, empty, broken
choices), connections that break.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import world
from support.server import Fault, Raw, Server, error

import tfgrpo
from experience_db import Journal, Store

MOST = 6
"""Choices that the endpoint gives to one request."""
REDRAWN = 1_000_003
"""How far the seed of a second draw lies from the first."""
REFUSALS = {
    "429": error(429, "slow down"),
    "429 in 0.2 s": error(429, "Please try again in 200ms."),
    "424": error(424, "Request failed during generation"),
    "425": error(425, "too early"),
    "498": error(498, "capacity exceeded"),
    "500": error(500, "engine died"),
    "503": error(503, "overloaded"),
    "401": error(401, "Incorrect API key"),
    "404": error(404, "no such model"),
    "html": Raw(200, "<html>welcome</html>"),
    "deep": Raw(200, "[" * 100_000),
    "no choices": Raw(200, json.dumps({"choices": []})),
    "error in body": Raw(200, json.dumps({"error": {"message": "upstream", "code": 502}})),
}
BILLED = ("half", "null", "error", "filtered", "reasoning", "empty", "broken choice", "number")
GAVE_UP = ("timeout", "cancelled")
WIRE = (Fault.RESET, Fault.RESET_MID_BODY)


class Weather:
    """Replies of the small world, some of them spoilt; counts calls and tokens as a vendor would."""

    def __init__(self, share: float, seed: int) -> None:
        self.share, self.luck = share, random.Random(seed)
        self.seen: collections.Counter[str] = collections.Counter()
        self.calls = self.tokens = self.broken_off = 0
        self.since = 0
        """Calls since the last restart: the first refusal of a key ends a run, a later one may pass."""
        self.met: collections.Counter[str] = collections.Counter()
        self.known: set[str] = set()

    def __call__(self, body: dict[str, Any]) -> Raw:
        """Answer one request, whole."""
        n = body.get("n") or 1
        self.calls, self.since = self.calls + n, self.since + n
        if self.share and (refused := self._setting(body, n)):
            return refused
        fault = self._fault(body)
        self.seen.update([fault] if fault else [])
        if fault in REFUSALS:
            return REFUSALS[fault]
        choices = [self._choice(body, j) for j in range(n)]
        usage: dict[str, Any] = {"prompt_tokens": 40, "completion_tokens": 10 * n}
        text = json.dumps({"choices": self._spoilt(choices, fault, body), "usage": self._odd(usage)})
        if fault == "half":
            self.broken_off += 1
            return Raw(200, text[: len(text) // 2])
        self.tokens += 40 + 10 * n
        return Raw(200, text)

    def wire(self, index: int, body: dict[str, Any]) -> Fault | None:
        """Break a connection now and then; what the server had written by then it bills, and nobody else can know."""
        del index
        fault = self.luck.choice(WIRE) if self.luck.random() < self.share / 50 else None
        self.seen.update([fault.name] if fault else [])
        self.calls += (body.get("n") or 1) * (fault is Fault.RESET)
        return fault

    def _setting(self, body: dict[str, Any], n: int) -> Raw | None:
        if "top_p" in body:
            return error(400, "`temperature` and `top_p` cannot both be specified for this model.")
        if n > MOST:
            return error(400, "n exceeds the number of slots")
        kind = (body.get("response_format") or {}).get("type")
        return error(400, "response_format json_schema is not supported") if kind == "json_schema" else None

    def _fault(self, body: dict[str, Any]) -> str:
        """Draw a fault; no request meets more than two, and none of those twice that a second draw has to pass."""
        key = hashlib.sha256(json.dumps([body["messages"], body.get("seed"), body.get("n")]).encode()).hexdigest()
        if not self.share or self.met[key] >= 2 or self.luck.random() >= self.share:
            return ""
        self.met[key] += 1
        names = [name for name in (*REFUSALS, *BILLED) if self.since > 150 or name not in ("401", "404")]
        fault = self.luck.choice(names)
        if fault in ("filtered", "reasoning", "broken choice"):
            self.met[key] = 2
            for j in range(body.get("n") or 1):
                again = {**body, "seed": (body.get("seed", 0) + j + REDRAWN) % 2**31}
                self.met[hashlib.sha256(json.dumps([body["messages"], again["seed"], None]).encode()).hexdigest()] = 2
                shifted = {**body, "seed": (body.get("seed", 0) + REDRAWN) % 2**31}
                whole = json.dumps([body["messages"], shifted["seed"], body.get("n")])
                self.met[hashlib.sha256(whole.encode()).hexdigest()] = 2
        return fault

    def _choice(self, body: dict[str, Any], j: int) -> dict[str, Any]:
        if "seed" not in body:
            said = world.reply(body)
        else:
            # A second draw answers as the first would have: the clean run never sees one.
            seed = body["seed"] + j
            said = world.reply({**body, "seed": seed - REDRAWN if self._is_redraw(body, seed) else seed})
        return {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}

    def _is_redraw(self, body: dict[str, Any], seed: int) -> bool:
        """Whether this seed is the second draw of one that was asked for before."""
        asked = json.dumps(body["messages"])
        if f"{seed - REDRAWN} {asked}" in self.known:
            return True
        self.known.add(f"{seed} {asked}")
        return False

    def _spoilt(self, choices: list[Any], fault: str, body: dict[str, Any]) -> list[Any]:
        whole = {
            "null": lambda c: None,
            "error": lambda c: {**c, "finish_reason": "error"},
            "filtered": lambda c: {**c, "finish_reason": "content_filter"},
            "reasoning": lambda c: {"message": {"content": None, "reasoning_content": "hm"}, "finish_reason": "stop"},
            "empty": lambda c: {"message": {"content": ""}, "finish_reason": "stop"},
            "number": lambda c: {"message": {"content": 4}, "finish_reason": "stop"},
        }
        if fault == "broken choice":
            return [{**choices[0], "finish_reason": "content_filter"}, *choices[1:]]
        return [whole[fault](choice) for choice in choices] if fault in whole else choices

    def _odd(self, usage: dict[str, Any]) -> dict[str, Any]:
        if not self.share:
            return usage
        form = self.luck.randrange(4)
        if form == 1:
            return {name: str(value) for name, value in usage.items()}
        if form == 2:
            return {name: float(value) for name, value in usage.items()}
        return {**usage, "cost": {"total": "unknown"}} if form == 3 else usage


def learn(db: Path, server: Server, seed: int, concurrency: int, budget: int | None) -> dict[str, Any]:
    """Learn once; a budget of calls ends it early."""
    asked = {"budget_calls": budget} if budget else {}
    return tfgrpo.learn_sync(
        world.rows(48, seed), heldout=world_heldout(seed), model="openai/m", base_url=server.url, grader="exact", db=db,
        epochs=1, run="soak", concurrency=concurrency, engine__timeout=120, rollout__top_p=0.99, **asked,
    ).summary  # fmt: skip


def world_heldout(seed: int) -> list[dict[str, str]]:
    """Return held-out problems that share none with those of `seed`."""
    return [row for row in world.rows(140, seed + 10_000) if row not in world.rows(48, seed)][:40]


def given_up(db: Path) -> int:
    """Calls that ended at the client first; on a machine that is too busy the server may never have read them."""
    with Store.open(db, readonly=True) as store:
        run = next(run.id for run in store.runs() if run.kind == "learn")
        return sum(
            (c.request.get("calls") or 1) for c in Journal(store).calls(run) if c.reply.get("failure") in GAVE_UP
        )


def books(db: Path) -> tuple[int, int, int, list[str]]:
    """Calls, tokens and estimated tokens in a database, and the lessons."""
    with Store.open(db, readonly=True) as store:
        run = next(run.id for run in store.runs() if run.kind == "learn")
        calls, tokens, _ = Journal(store).spent(run)
        guessed = sum(
            (c.reply.get("usage") or {}).get("estimated_tokens", 0) + c.reply.get("estimated_tokens", 0)
            for c in Journal(store).calls(run)
        )
        return calls, tokens, guessed, [lesson.text for lesson in store.library("default")]


def one_round(folder: Path, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Learn a world clean, then with faults and restarts; returns what was compared."""
    clean, bad = Weather(0.0, seed), Weather(given.faults, seed)
    with Server(reply=clean, honours_n=False) as server:
        learn(folder / "clean.db", server, seed, given.concurrency, None)
    began = time.monotonic()
    with Server(reply=bad, faults=bad.wire, honours_n=False, delay=given.delay or 0.02 * given.kills) as server:
        ended = _killed if given.kills else _rationed
        told, restarts = ended(folder, server, bad, seed, given)
    calls, tokens, guessed, lessons = books(folder / "bad.db")
    reset = bad.seen["RESET_MID_BODY"]
    return {
        "seed": seed,
        "calls": bad.calls,
        "calls in the books": calls,
        "tokens billed": bad.tokens,
        "tokens in the books": tokens - guessed,
        "estimated for answers that broke off": guessed,
        "answers that broke off": bad.broken_off + reset,
        "calls given up by the client": given_up(folder / "bad.db"),
        "restarts": restarts,
        "failures": told["failures"],
        "same library": lessons == books(folder / "clean.db")[3],
        "lessons": len(lessons),
        "seconds": round(time.monotonic() - began, 1),
        "faults": dict(bad.seen),
    }


def _rationed(
    folder: Path, server: Server, bad: Weather, seed: int, given: argparse.Namespace
) -> tuple[dict[str, Any], collections.Counter[str]]:
    """Learn in pieces, each ended by a budget of calls; returns the last summary and how often that was."""
    told: dict[str, Any] = {"stopped": True}
    pieces, budget = 0, 0
    while told["stopped"]:
        budget += bad.luck.randint(100, 600)
        bad.since = 0
        told = learn(folder / "bad.db", server, seed, given.concurrency, budget)
        pieces += 1
        assert bad.calls <= budget + 1, "more calls than the budget"
    return told, collections.Counter({"budget": pieces - 1})


def _killed(
    folder: Path, server: Server, bad: Weather, seed: int, given: argparse.Namespace
) -> tuple[dict[str, Any], collections.Counter[str]]:
    """Learn in processes that are killed or asked to end in the middle; returns the last summary and the stops."""
    for name, rows in (("train", world.rows(48, seed)), ("heldout", world_heldout(seed))):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    command = (
        f"{sys.executable} -m tfgrpo.cli learn train.jsonl --heldout heldout.jsonl --model openai/m --grader exact"
        f" --base-url {server.url} --db bad.db --epochs 1 --run soak --concurrency {given.concurrency} --json"
        " -s engine.timeout=120 -s rollout.top_p=0.99"
    ).split()
    stops: collections.Counter[str] = collections.Counter()
    missing = 0
    while True:
        bad.since = 0
        with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
            child = subprocess.Popen(
                command, cwd=folder, stdout=out, stderr=err, env=os.environ | {"OPENAI_API_KEY": "soak-soak"}
            )
            number = (signal.SIGKILL, signal.SIGTERM)[stops["SIGKILL"] > stops["SIGTERM"]]
            if _stopped(child, server, bad, bad.luck.randint(10, 250), number):
                lost = bad.calls - books(folder / "bad.db")[0]
                stops[number.name] += 1
                stops[f"calls lost at {number.name}"] += lost - missing
                missing = lost
                continue
            out.seek(0)
            err.seek(0)
            assert child.returncode == 0, err.read()[-2000:]
            return json.load(out), stops


def _stopped(child: subprocess.Popen[bytes], server: Server, bad: Weather, after: int, number: signal.Signals) -> bool:
    """Send a signal to a process once it made so many calls; False when it was done before.

    Comes back once the server has answered, and counted, all that was on its way.
    """
    while child.poll() is None and bad.since < after:
        time.sleep(0.005)
    if child.poll() is not None:
        return False
    child.send_signal(number)
    child.wait(60)
    quiet = 0
    while quiet < 10:
        time.sleep(0.05)
        quiet = 0 if server.open_calls else quiet + 1
    return child.returncode != 0


def main() -> int:
    """Run rounds until so many calls were made; print each, and say what does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=float, default=0.25, help="share of answers that are spoilt")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--kills", action="store_true", help="end processes by signals, not by a budget of calls")
    parser.add_argument("--hours", type=float, default=0.0, help="go on until so long has passed, too")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that each answer with faults takes")
    given = parser.parse_args()
    made, wrong, seed = 0, 0, given.seed
    began = time.monotonic()
    while made < given.calls or time.monotonic() - began < 3600 * given.hours:
        with tempfile.TemporaryDirectory() as folder:
            found = one_round(Path(folder), seed, given)
        # A body that was cut on the way was billed by the server, and nobody else can know of it.
        lost = 50 * found["faults"].get("RESET_MID_BODY", 0) * MOST
        short = found["tokens billed"] - found["tokens in the books"]
        unknown = given.concurrency * MOST * found["restarts"]["SIGKILL"]
        missing = found["calls"] - found["calls in the books"]
        # Below zero: calls that a busy server never read, which the books hold as cancelled.
        kept = found["restarts"]["calls lost at SIGTERM"] <= 0
        fine = (
            kept
            and -found["calls given up by the client"] <= missing <= unknown
            and 0 <= short <= lost + 50 * unknown
            and found["same library"]
        )
        print(json.dumps({"holds": fine, **found}), flush=True)
        made, wrong, seed = made + found["calls"], wrong + (not fine), seed + 1
    hours = (time.monotonic() - began) / 3600
    print(f"{made} calls, {seed - given.seed} rounds in {hours:.1f} hours, {wrong} of them wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
