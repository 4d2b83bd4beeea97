"""Writes docs/reference.md and docs/llms.txt from the code and mkdocs.yml: `python docs/generate_reference.py`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import experience_db.errors
import tfgrpo.errors
from experience_db import SCHEMA, Store
from tfgrpo.cli.app import exit_code
from tfgrpo.config import LearnConfig

HERE = Path(__file__).parent
PAGE, LLMS, SITE = HERE / "reference.md", HERE / "llms.txt", HERE.parent / "mkdocs.yml"
HEAD = """# Reference

Written by `python docs/generate_reference.py` from the code. Commands and their options are on a [page of their
own](cli.md), the fields of `--json` on [another](json_fields.md).
"""
CONFIG = """## Configuration keys

For `--config FILE.toml` and `-s KEY=VALUE`; the resolved configuration is stored with the run. A key that is not here
is refused, with the nearest one. `tfgrpo plugins --kind presets` lists the presets that `--method` takes.
"""
EXITS = """## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed: nothing could be learned or measured, and it was said why |
| 2 | wrong usage or input: nothing was paid for |
| 3 | a budget ended it; the same command with a larger one goes on |
| 130 | interrupted; the same command goes on |

`tfgrpo prove` ends with 0 for helps, 1 for harms or not worth it, and 3 for cannot tell. By error:

| error | code | when |
|---|---|---|
"""
TABLES = """## Tables

Schema {schema}. One SQLite file in WAL mode; tables are STRICT, and history is append-only.
"""


def page() -> str:
    """Return the reference page."""
    rows = ["| key | value | meaning |", "|---|---|---|", *config_rows(LearnConfig)]
    parts = [HEAD, CONFIG, *rows, "", EXITS + "\n".join(error_rows()), "", TABLES.format(schema=SCHEMA), *tables()]
    return "\n".join(parts)


def config_rows(kind: type, prefix: str = "") -> Iterator[str]:
    """Yield a table row for each key below a configuration class, in its own order."""
    hints, words = typing.get_type_hints(kind), field_words(kind)
    for each in dataclasses.fields(kind):
        inner = hints[each.name]
        if dataclasses.is_dataclass(inner):
            yield from config_rows(typing.cast(type, inner), f"{prefix}{each.name}.")
        else:
            yield f"| `{prefix}{each.name}` | {value_words(each, inner)} | {words.get(each.name, '')} |"


def field_words(kind: type) -> dict[str, str]:
    """Return what stands under each field of a dataclass, on one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = in_a_cell(str(after.value.value))
    return found


def value_words(field: Any, hint: Any) -> str:
    """Return the type of a key and its default."""
    name = in_a_cell(hint.__name__ if isinstance(hint, type) else str(hint)).replace("typing.", "")
    if field.default is not dataclasses.MISSING:
        return f"`{name}`, default `{field.default!r}`".replace("default `''`", "default empty")
    return f"`{name}`"


def in_a_cell(text: str) -> str:
    """Return a text on one line of a Markdown table."""
    return re.sub(r"(?<!\\)\|", r"\|", " ".join(text.split()))


def error_rows() -> Iterator[str]:
    """Yield a row for each error that a command can end with."""
    for module in (tfgrpo.errors, experience_db.errors):
        for name, kind in sorted(vars(module).items()):
            if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == module.__name__:
                about = in_a_cell((kind.__doc__ or "").strip().split("\n\n")[0])
                yield f"| `{name}` | {exit_code(kind.__new__(kind))} | {about} |"


def tables() -> Iterator[str]:
    """Yield a line for each table and view with its columns."""
    with Store.open(":memory:") as store:
        names = store._rows(
            "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE '%fts_%'"
            " AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY type, name"
        )
        for row in names:
            columns = store._rows(f"PRAGMA table_info({row['name']})")
            told = ", ".join(f"`{c['name']}`" + (f" {c['type'].lower()}" if c["type"] else "") for c in columns)
            yield f"- **{row['name']}** ({row['type']}): {told}"
    yield ""


def llms() -> str:
    """Return an index of all pages for programs that read, in the order of the site: titles and first sentences."""
    lines = ["# tfgrpo", "", "> The experience library whose every lesson carries its evidence.", "", "## Pages", ""]
    for name in re.findall(r": ([\w-]+\.md)$", SITE.read_text(encoding="utf-8"), re.MULTILINE):
        text = (HERE / name).read_text(encoding="utf-8")
        title = text.partition("\n")[0].lstrip("# ")
        lines.append(f"- [{title}]({name})")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    LLMS.write_text(llms(), encoding="utf-8")
