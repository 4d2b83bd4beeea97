"""Writes docs/cli.md from the command tree, so that the page cannot say anything else: `python docs/generate.py`."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from tfgrpo.cli.app import app

PAGE = Path(__file__).parent / "cli.md"
HEAD = """# Command line

Written by `python docs/generate.py` from the commands themselves. Options marked * are needed; those marked + may be
given several times. `tfgrpo COMMAND --help` shows the same.
"""


def commands(node: Any = None, path: str = "tfgrpo") -> Iterator[tuple[str, Any]]:
    """Yield each command and group of the tree as (words to type, command), the root first."""
    node = node or typer.main.get_command(app)
    yield path, node
    for name, below in getattr(node, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(section(path, node) for path, node in commands())])


def section(path: str, node: Any) -> str:
    """Return the part of the page about one command."""
    kinds = typing.get_type_hints(node.callback) if node.callback else {}
    arguments = [p for p in node.params if p.param_type_name == "argument"]
    options = [p for p in node.params if p.param_type_name == "option" and not p.hidden]
    below = getattr(node, "commands", {})
    rest = ["COMMAND"] if below else [shown(p) for p in arguments]
    usage = [path, *rest, *(["[OPTIONS]"] if options else [])]
    parts = [f"## {path}", (node.help or "").strip(), f"    {' '.join(usage)}"]
    if below:
        parts.append("\n".join(f"- `{name}`: {each.help.strip().splitlines()[0]}" for name, each in below.items()))
    if rows := [row(p, kinds.get(p.name)) for p in (*arguments, *options)]:
        parts.append("\n".join(["| option | value | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def shown(argument: Any) -> str:
    """Return an argument as usage lines show it."""
    name = argument.name.strip("_").upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def row(parameter: Any, kind: Any) -> str:
    """Return the table row of an argument or option."""
    is_option = parameter.param_type_name == "option"
    names = ", ".join(f"`{name}`" for name in parameter.opts) if is_option else f"`{shown(parameter)}`"
    marks = "*" * bool(is_option and parameter.required) + "+" * bool(is_option and parameter.multiple)
    default = "" if parameter.default in (None, False, (), "") else f", default `{parameter.default}`"
    meaning = (parameter.help or "").replace("|", "\\|")
    return f"| {names} {marks}".rstrip() + f" | {type_name(kind)}{default} | {meaning} |"


def type_name(kind: Any) -> str:
    """Return what a value looks like: the one plain type inside an annotation."""
    inside = [k for k in typing.get_args(kind) if k is not type(None)]
    if inside:
        return type_name(inside[0])
    return {str: "text", int: "integer", float: "number", Path: "path", bool: "flag"}.get(kind, "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
