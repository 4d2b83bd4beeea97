"""Writes the picture of the house in docs/architecture.md from the imports: `python docs/generate_architecture.py`.

A room is a folder of `tfgrpo/`, or a file at its root. The picture leaves out what follows: an arrow from A to C is not
drawn where A leads to C over other arrows. Counted are all of them.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).parent / "architecture.md"
BEGIN, END = "<!-- picture: written by docs/generate_architecture.py -->", "<!-- end of picture -->"
APART = ("version", "__main__")
"""Files without a place in the picture."""
Rooms = Mapping[str, frozenset[str]]


def imported(path: Path) -> set[str]:
    """Return the rooms that a file imports, those of type checking included, and `experience_db`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for first, *rest in (name.split(".") for name in names):
            if first == "experience_db":
                found.add(first)
            elif first == "tfgrpo" and rest:
                found.add(rest[0])
    return found


def rooms(package: Path = ROOT / "tfgrpo") -> dict[str, frozenset[str]]:
    """Return each room with the rooms that it imports."""
    files: dict[str, list[Path]] = {}
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).parts[0].removesuffix(".py")
        if name not in ("__init__", *APART):
            files.setdefault(name, []).append(path)
    known = {*files, "experience_db"}
    table = {name: set().union(*map(imported, paths)) & known - {name} for name, paths in files.items()}
    return {**{name: frozenset(below) for name, below in table.items()}, "experience_db": frozenset()}


def reach(table: Rooms) -> dict[str, frozenset[str]]:
    """Return everything that each room leads to; raises graphlib.CycleError where rooms import each other."""
    found: dict[str, frozenset[str]] = {}
    for name in graphlib.TopologicalSorter(table).static_order():
        found[name] = table[name].union(*(found[below] for below in table[name]))
    return found


def drawn(table: Rooms) -> dict[str, frozenset[str]]:
    """Return the arrows that do not follow from others."""
    far = reach(table)
    return {
        name: frozenset(to for to in below if not any(to in far[other] for other in below - {to}))
        for name, below in table.items()
    }


def opening(name: str) -> str:
    """Return the first sentence of a room's docstring."""
    base = ROOT if name == "experience_db" else ROOT / "tfgrpo"
    path = base / name / "__init__.py" if (base / name).is_dir() else base / f"{name}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n", maxsplit=1)[0].replace("\n", " ").replace("|", "\\|")


def order(table: Rooms) -> list[str]:
    """Return the rooms from the top down: who imports comes before whom it imports; else by name."""
    far = reach(table)
    return sorted(table, key=lambda name: (-len(far[name]), name))


def picture(table: Rooms) -> str:
    """Return the drawing, the counts, and what each room is for."""
    arrows = sum(map(len, table.values()))
    kept = {name: sorted(below) for name, below in drawn(table).items()}
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"    {name}{'[(experience_db)]' if name == 'experience_db' else f'[{name}]'}" for name in order(table)]
    lines += [f"    {name} --> {below}" for name in order(table) for below in kept[name]]
    shown = sum(map(len, kept.values()))
    count = f"{len(table)} boxes and {arrows} imports between them; drawn are the {shown} from which the others follow."
    where = {name: f"`{name}/`" if (ROOT / "tfgrpo" / name).is_dir() else f"`{name}.py`" for name in table}
    where["experience_db"] = "`experience_db/`"
    rows = [f"| {where[name]} | {opening(name)} |" for name in order(table)]
    return "\n".join([BEGIN, *lines, "```", "", count, "", "| room | what it is for |", "|---|---|", *rows, END])


def page(text: str) -> str:
    """Return the page with its picture drawn anew."""
    before, rest = text.split(BEGIN)
    return before + picture(rooms()) + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
