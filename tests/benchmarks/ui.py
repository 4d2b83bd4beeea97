"""How long the pages of `tfgrpo ui` take on the server's side, on a database of many runs and rollouts.

    python tests/benchmarks/ui.py [--runs 1000] [--rollouts 100000] [--lessons 0] [--requests 20] [--json]

A tenth of the rollouts belongs to one run, the rest is spread evenly. Each page is asked for over loopback; what is
told is the time from request to the whole answer, and the processor time of both ends, which other work on the machine
does not enlarge as much. `--lessons` adds a library of so many, each measured, and as many edits that wait.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from experience_db import Edit, Evidence, Op, Source, Store
from tfgrpo.lessons.review import WAITS
from tfgrpo.system.http_server import serve_in_background
from tfgrpo.ui import Settings, build_app

G = 5
MESSAGES = [{"role": "system", "content": "Lessons. " * 60}, {"role": "user", "content": "What is it? " * 8}]


def fill(db: Path, runs: int, rollouts: int) -> str:
    """Make runs that each taught two lessons of one of ten libraries; returns the id of the large one."""
    many = max(rollouts // 10 // G, 1)
    few = max((rollouts - many * G) // max(runs - 1, 1) // G, 1)
    with Store.open(db) as store:
        for number in range(runs):
            name, library = f"run-{number}", f"library-{number % 10}"
            head = store.create_library(library)
            store.start_run(name, name=name, kind="learn", fingerprint="f", config={"model": "m", "seed": number},
                            library=library, base_version=head.version, dataset="d.jsonl")  # fmt: skip
            with store.atomic():
                _groups(store, name, many if number == 0 else few)
            texts = [f"Lesson {number}.{i}: begin with the left one and name the unit." for i in range(2)]
            edits = [Edit(Op.ADD, text, sources=(Source("p0", (0,), name, 0),)) for text in texts]
            ids = range(head.next_id, head.next_id + 2)
            told = [Evidence("gate", 0.2, 0.05, 0.35, 16, (i,), "accepted") for i in ids]
            made = store.commit(library, edits, parent=head.version, run=name, step=0, evidence=told)
            summary = {"groups": {"kept": few}, "edits": {"proposed": 2, "accepted": 2}}
            store.record_step(
                name, 0, epoch=0, version_before=head.version, version_after=made.version, summary=summary
            )
            after = {"heldout": {"before": 0.2, "after": 0.5, "diff": 0.3, "ci": [0.1, 0.5], "n": 48, "p": 0.01}}
            store.finish_run(name, "finished", after)
    return "run-0"


def _groups(store: Store, run: str, count: int) -> None:
    for n in range(count):
        answers = [{"messages": MESSAGES, "answer": f"{i} " * 120} for i in range(G)]
        store.record_group(
            run, 0, problem={"id": f"p{n}", "question": f"What is {n}?"}, status="kept", version=0, rollouts=answers,
            rewards=[1.0, 0.0, 1.0, 0.0, 0.0],
        )  # fmt: skip


def teach(db: Path, lessons: int) -> dict[str, str]:
    """Make one library of so many lessons, with an effect of each and as many waiting edits; return pages by name."""
    with Store.open(db) as store:
        head = store.create_library("full")
        texts = [f"Lesson {i}: begin with the left one of {i % 977} and name the unit." for i in range(lessons)]
        told = [Evidence("gate", i % 50 / 100 - 0.2, -0.3, 0.3, 16, (i + 1,), "accepted") for i in range(lessons)]
        store.commit("full", [Edit(Op.ADD, text) for text in texts], parent=head.version, evidence=told)
        store.commit("full", [Edit(Op.ADD, "Say so.")], parent=head.version + 1)
        waiting = [Edit(Op.ADD, f"Wait: {text}", tainted=True) for text in texts]
        store.set_aside("full", waiting, status="undecided", reason=f"{WAITS}: it rests on a page", version=1)
    full = "/library/full"
    return {
        "full library": full,
        "its last page": f"{full}?page={lessons // 50}",
        "searched in it": f"{full}?q=unit",
        "by effect": f"{full}?sort=effect",
        "by what it shows": f"{full}?shows=unclear+alone",
        "by use": f"{full}?sort=shown",
        "where it was filled": f"{full}?v=1",
        "where a lesson is": f"{full}?lesson={lessons // 2}",
        "one of its lessons": f"{full}/lesson/{lessons // 2}",
        "search over all": "/search?q=left",
        "search of words": "/search?q=the+left+unit+of+7",
        "queue": "/review?library=full",
        "late in the queue": f"/review?library=full&page={lessons // 50}",
    }


def measure(db: Path, large: str, requests: int, more: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return median and slowest time of each page, in milliseconds."""
    paths = {
        "libraries": "/", "library": "/library/library-0", "lesson": "/library/library-0/lesson/1", "review": "/review",
        "search": "/search?q=unit", "runs": "/runs", "runs by effect": "/runs?sort=effect&q=7", "run": "/run/run-1",
        "largest run": f"/run/{large}", "its live part": f"/run/{large}/live",
        "its worst groups": f"/run/{large}?sort=worst&q=7", "group": f"/run/{large}/group?step=0&problem=p3",
        "two runs": f"/compare?a={large}&b=run-1",
        **more,
    }  # fmt: skip
    found = {}
    with (
        serve_in_background(lambda: build_app(Settings(db))) as where,
        httpx.Client(base_url=where, trust_env=False, timeout=60) as client,
    ):
        for name, path in paths.items():
            took, used = [], []
            for _ in range(requests):
                start, before = time.perf_counter(), time.process_time()
                answer = client.get(path)
                took.append(1000 * (time.perf_counter() - start))
                used.append(1000 * (time.process_time() - before))
                assert answer.status_code == 200, (path, answer.text)
            told = {"median": statistics.median(took), "slowest": max(took), "processor": statistics.median(used)}
            found[name] = {f"{key}_ms": round(value, 1) for key, value in told.items()}
    return found


def main() -> None:
    """Fill a database, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--lessons", type=int, default=0, help="of one more library, which is looked at too")
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "x.db"
        large = fill(db, given.runs, given.rollouts)
        more = teach(db, given.lessons) if given.lessons else {}
        found = measure(db, large, given.requests, more)
    if given.json:
        print(json.dumps({"runs": given.runs, "rollouts": given.rollouts, "pages": found}))
        return
    for name, row in found.items():
        print(f"{name:19}" + "".join(f"   {key.removesuffix('_ms')} {value:7.1f} ms" for key, value in row.items()))


if __name__ == "__main__":
    main()
