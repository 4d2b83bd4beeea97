"""Writes docs/json_fields.md from what commands print: `python docs/generate_json_fields.py`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tfgrpo.cli.app import app

PAGE = Path(__file__).parent / "json_fields.md"
DATA = Path(__file__).parents[1] / "examples" / "quickstart" / "problems.jsonl"
HEAD = """# Fields of `--json`

Written by `python docs/generate_json_fields.py`, which runs each command on a small part of the quickstart with the
embedded model. Standard output holds exactly one object; everything else goes to standard error. Numbers that do not
exist are null. Names in capitals stand for keys that depend on the run.
"""
TINY = ("--model", "tiny", "--grader", "exact", "--limit", "24", "--json")
SMALL = ("--model", "tiny", "--grader", "exact", "--limit", "8", "--json")
METHODS = ("--methods", "default,training-free-grpo", "--seeds", "1", "--epochs", "1", "--quiet")
COMMANDS = {
    "tfgrpo learn": ("learn", str(DATA), "--epochs", "1", "--quiet", *TINY),
    "tfgrpo learn --dry-run": ("learn", str(DATA), "--dry-run", *TINY),
    "tfgrpo eval": ("eval", str(DATA), "--library", "default", "--control", "empty", *TINY),
    "tfgrpo prove": ("prove", "text.md", "--on", "rows.jsonl", "--as", "lessons", "--pairs", "8", *SMALL),
    "tfgrpo compare": ("compare", "rows.jsonl", *METHODS, *SMALL),
    "tfgrpo grade": ("grade", "rows.jsonl", "--grader", "exact", "--json"),
    "tfgrpo reproduce": ("reproduce", "tiny-quickstart", "--estimate", "--json"),
    "tfgrpo libraries list": ("libraries", "list", "--json"),
    "tfgrpo runs list": ("runs", "list", "--json"),
    "tfgrpo runs show": ("runs", "show", "--json"),
    "tfgrpo lessons list": ("lessons", "list", "--json"),
    "tfgrpo lessons show": ("lessons", "show", "1", "--json"),
    "tfgrpo lessons audit": ("lessons", "audit", str(DATA), "-k", "1", *SMALL),
    "tfgrpo lessons review": ("lessons", "review", "--json"),
    "tfgrpo lessons reports": ("lessons", "reports", "--json"),
    "tfgrpo lessons scan": ("lessons", "scan", "--json"),
    "tfgrpo lessons merge": ("lessons", "merge", "mine", "theirs", "--dry-run", "--json"),
    "tfgrpo datasets list": ("datasets", "list", "--json"),
    "tfgrpo datasets show": ("datasets", "show", "rows.jsonl", "--json"),
    "tfgrpo models probe": ("models", "probe", "tiny", "--json"),
    "tfgrpo tools list": ("tools", "list", "--json"),
    "tfgrpo tools call": ("tools", "call", "python", "--args", '{"code": "1"}', "--json"),
    "tfgrpo tasks from": ("tasks", "from", "rows.jsonl", "-o", "tasks.jsonl", "--json"),
    "tfgrpo tasks accept": ("tasks", "accept", "tasks.jsonl", "--all", "--json"),
    "tfgrpo db check": ("db", "check", "--json"),
    "tfgrpo db backup": ("db", "backup", "copy.db", "--json"),
    "tfgrpo db vacuum": ("db", "vacuum", "--json"),
}
ENDS = {"tfgrpo prove": {0, 1, 3}}
"""Exit codes that are verdicts."""
ALIKE = {"tfgrpo lessons blame": "tfgrpo lessons show"}
"""Commands that print what another does."""
OPEN = {
    "calls": "ROLE", "failures": "KIND", "controls": "CONTROL", "pass_at": "K", "pass_hat": "K", "config": "KEY",
    "harm": "KEY", "objectives": "OBJECTIVE",
}  # fmt: skip
"""Objects whose keys depend on the run, and what those keys are."""


def page() -> str:
    """Return the page; runs the commands in a folder of their own."""
    parts = [HEAD]
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            lines = DATA.read_text(encoding="utf-8").splitlines()[:24]
            rows = [{**json.loads(line), "response": "4"} for line in lines]
            Path("rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
            Path("text.md").write_text("- Treat dax as sum.\n", encoding="utf-8")
            for library in ("mine", "theirs"):
                CliRunner().invoke(app, ["lessons", "add", f"Look at {library} twice.", "--library", library])
            for name, words in COMMANDS.items():
                shown = CliRunner().invoke(app, list(words))
                assert shown.exit_code in ENDS.get(name, {0}), (name, shown.output)
                rows = dict.fromkeys(fields(json.loads(shown.stdout)))
                parts.append("\n".join([f"## {name}", "", "| field | type |", "|---|---|", *rows, ""]))
        finally:
            os.chdir(here)
    parts += [f"## {name}\n\nAs `{other}`.\n" for name, other in ALIKE.items()]
    return "\n".join(parts)


def fields(value: Any, path: str = "") -> Iterator[str]:
    """Yield a row for each field, with those of objects and of the first entries of lists below it."""
    for key, inner in value.items():
        name = f"{path}{key}"
        yield f"| `{name}` | {kind_of(inner)} |"
        if key in OPEN and isinstance(inner, dict):
            for below in inner.values():
                if isinstance(below, dict) and key != "config":
                    yield from fields(below, f"{name}.{OPEN[key]}.")
        elif isinstance(inner, dict):
            yield from fields(inner, f"{name}.")
        elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
            yield from fields(inner[0], f"{name}[].")


def kind_of(value: Any) -> str:
    """Return what a value is in JSON's words."""
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null or a value")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
