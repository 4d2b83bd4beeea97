"""How fast lessons are scanned, and how many alarms texts raise: `scan.py [--half a|b] [PATH ...]`.

Without paths: the table of the tests. A path is one of
 - JSON or JSONL with `text` (or plain texts) anywhere in it, and perhaps `hostile: true|false` beside each,
 - a folder of skills: list items and paragraphs of 20 to 600 characters of every SKILL.md, code blocks left out,
 - Python source with calls `TestCase(category, description, key, value, hostile)`: the form of OWASP's memory cases.
Recall and false alarms are counted apart where that is known, by category where there is one, each with Wilson's
interval, and alarms by kind. `--half a|b` takes half of the files of a folder, or of the texts of a file, by hash: what
patterns are written by one half for, the other half measures.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import sys
import time
from collections import Counter
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


def skills(folder: Path) -> Iterator[tuple[str, str]]:
    """Lessons as skills hold them, each with the file it is from."""
    for file in sorted(folder.rglob("SKILL.md")):
        said = re.sub(r"\A---.*?\n---\n", "", file.read_text(encoding="utf-8", errors="replace"), flags=re.DOTALL)
        said = re.sub(r"```.*?(?:```|\Z)", "\n\n", said, flags=re.DOTALL)
        for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*+]|\d+[.)])\s)", said):
            text = " ".join(re.sub(r"^\s*(?:[-*+]|\d+[.)])\s+", "", block.strip()).split())
            if 20 <= len(text) <= 600 and not text.startswith(("#", "|", "<!--")):
                yield text, str(file.relative_to(folder))


def cases(source: str) -> Iterator[tuple[str, str, bool]]:
    """Text, category and whether it is hostile, of the calls `TestCase(...)` in Python source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "TestCase" and len(node.args) >= 5:
            category, value, hostile = (_constant(node.args[i]) for i in (0, 3, 4))
            if isinstance(value, str):
                yield value, str(category), bool(hostile)


def _constant(node: ast.expr) -> Any:
    """The value of a literal, or of a text that is repeated; None for what has to be run."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _constant(node.left) * _constant(node.right)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def read(path: Path, half: str) -> Iterator[tuple[str, tuple[str, bool | None]]]:
    """What is in a file or folder: a name for the group, and each text with what is said of it."""

    def mine(key: str) -> bool:
        return not half or "ab"[hashlib.sha256(key.encode()).digest()[-1] % 2] == half

    if path.is_dir():
        seen = {text: file for text, file in skills(path) if mine(path.name + file)}
        yield from ((path.name, (text, None)) for text in seen)
        return
    said = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from ((f"{path.name}, {kind}", (text, bad)) for text, kind, bad in cases(said) if mine(text))
        return
    try:
        rows = json.loads(said)
    except ValueError:
        rows = [json.loads(line) for line in said.splitlines() if line.strip()]
    yield from ((path.name, one) for one in texts(rows) if mine(one[0]))


def told(name: str, given: list[tuple[str, bool | None]]) -> None:
    """Print one line for each group of texts."""
    for wanted, word in ((True, "found"), (False, "false alarms"), (None, "alarms")):
        group = [{found.kind for found in scan(text)} for text, hostile in given if hostile is wanted]
        if group:
            hits = sum(map(bool, group))
            low, high = stats.wilson(hits, len(group))
            kinds = Counter(str(kind) for each in group for kind in each).most_common()
            by_kind = "; " + ", ".join(f"{kind} {n}" for kind, n in kinds) if kinds else ""
            share = f"{hits / len(group):.1%}, 95% [{low:.1%}, {high:.1%}]"
            print(f"{name}: {hits} of {len(group)} {word} ({share}){by_kind}")


def main() -> None:
    """Print figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--half", choices=["a", "b"], default="", help="half of what is there, by hash")
    given = parser.parse_args()
    table: list[tuple[str, bool | None]] = [(text, True) for text, _ in HOSTILE] + [(text, False) for text in BENIGN]
    told("table of the tests", table)
    for path in given.paths:
        groups: dict[str, list[tuple[str, bool | None]]] = {}
        for name, one in read(path, given.half):
            groups.setdefault(name, []).append(one)
        for name, group in groups.items():
            told(name, group)
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
