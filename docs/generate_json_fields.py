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
COMMANDS = {
    "tfgrpo learn": ("learn", str(DATA), "--epochs", "1", "--quiet", *TINY),
    "tfgrpo eval": ("eval", str(DATA), "--library", "default", "--control", "empty", *TINY),
    "tfgrpo grade": ("grade", "rows.jsonl", "--grader", "exact", "--json"),
    "tfgrpo runs list": ("runs", "list", "--json"),
    "tfgrpo lessons review": ("lessons", "review", "--json"),
}
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
            Path("rows.jsonl").write_text('{"answer": "4", "response": "4"}\n', encoding="utf-8")
            for name, words in COMMANDS.items():
                shown = CliRunner().invoke(app, list(words))
                assert shown.exit_code == 0, (name, shown.output)
                rows = dict.fromkeys(fields(json.loads(shown.stdout)))
                parts.append("\n".join([f"## {name}", "", "| field | type |", "|---|---|", *rows, ""]))
        finally:
            os.chdir(here)
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
