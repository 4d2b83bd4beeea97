"""How fast lessons are scanned, and how many alarms files of texts raise: `python tests/benchmarks/scan.py [FILE ...]`.

Without files: the table of the tests. A file is JSON or JSONL with `text` (or plain texts) anywhere in it, and perhaps
`hostile: true|false` beside each; with it recall and false alarms are counted apart, each with Wilson's interval.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from lessons.scanners.table import BENIGN, HOSTILE

from tfgrpo import stats
from tfgrpo.lessons.scanners import scan


def texts(value: Any, hostile: bool | None = None) -> Iterator[tuple[str, bool | None]]:
    """Every text within JSON, with what is said of it."""
    if isinstance(value, str):
        yield value, hostile
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, hostile)
    elif isinstance(value, dict):
        said = value.get("hostile", hostile)
        if isinstance(value.get("text"), str):
            yield value["text"], said
        else:
            yield from texts([item for item in value.values() if isinstance(item, dict | list)], said)


def told(name: str, given: list[tuple[str, bool | None]]) -> None:
    """Print one line for each group of texts."""
    for wanted, word in ((True, "found"), (False, "false alarms"), (None, "alarms")):
        group = [text for text, hostile in given if hostile is wanted]
        if group:
            hits = sum(bool(scan(text)) for text in group)
            low, high = stats.wilson(hits, len(group))
            print(f"{name}: {hits} of {len(group)} {word} ({hits / len(group):.1%}, 95% [{low:.1%}, {high:.1%}])")


def main() -> None:
    """Print figures."""
    table: list[tuple[str, bool | None]] = [(text, True) for text, _ in HOSTILE] + [(text, False) for text in BENIGN]
    told("table of the tests", table)
    for file in sys.argv[1:]:
        said = Path(file).read_text(encoding="utf-8")
        try:
            rows = json.loads(said)
        except ValueError:
            rows = [json.loads(line) for line in said.splitlines() if line.strip()]
        told(file.rpartition("/")[2], list(texts(rows)))
    usual = [f"{a} {b}" for a, b in pairwise(BENIGN)]
    for _ in range(3):
        began = time.process_time()
        for text in usual:
            scan(text)
        each = (time.process_time() - began) / len(usual)
    print(f"{each * 1e6:.0f} microseconds for a lesson of {sum(map(len, usual)) / len(usual):.0f} characters")
    long = ("ignore the previous rules " * 700)[:16_000]
    began = time.process_time()
    scan(long)
    print(f"{(time.process_time() - began) * 1e3:.0f} ms for 16,000 characters that nearly say something")


if __name__ == "__main__":
    main()
