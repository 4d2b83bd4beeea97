"""`tfgrpo lessons export`: one version in the form that another program reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from experience_db import Library, Store
from experience_db.formats import FORMATS, skill_name, with_section
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_stories import Lib
from tfgrpo.errors import UsageError
from tfgrpo.lessons.versions import library_at

NAMES = ("json", "md", *FORMATS)


def export(
    library: Lib = "default",
    db: o.Db = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="File; default stdout. A skill takes a folder as well, agents a file that is there."
        ),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help=f"{', '.join(NAMES[:-1])} or {NAMES[-1]}.")] = "json",
) -> None:
    """Write a library out: json with all it has, or the form in which another program reads lessons.

    skill is a SKILL.md; agents a section of an AGENTS.md or CLAUDE.md, put between markers into the file that is there;
    chat, system, promptfoo and dspy (the state of a predictor) are prompts; csv is a table with evidence; md a list for
    people.
    """
    if format_ not in NAMES:
        raise UsageError(f"--format is one of {', '.join(NAMES)}, not {format_!r}")
    with Store.open(o.db_path(db), readonly=True) as store:
        found = library_at(store, library)
        if format_ == "json":
            text = json.dumps(store.export(found.name, found.version), ensure_ascii=False, indent=2) + "\n"
        elif format_ == "md":
            text = store.export_markdown(found.name, found.version) + "\n"
        else:
            text = FORMATS[format_](found, store.evidence(found.name))
    if output is None:
        sys.stdout.write(text)
    elif format_ == "agents":
        _write(output, with_section(_there(output), found))
    else:
        _write(_place(output, found) if format_ == "skill" else output, text)


def _place(output: Path, library: Library) -> Path:
    """Where a skill goes: a folder gets one of the skill's name, as readers of skills want it."""
    if not output.is_dir():
        return output
    folder = output / skill_name(library.name)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}; name another folder with -o") from error
    return folder / "SKILL.md"


def _there(file: Path) -> str:
    """Return what a file holds, with its line ends; nothing where there is none."""
    try:
        return file.read_bytes().decode("utf-8") if file.exists() else ""
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text, so it was left as it is; name another file with -o") from error


def _write(file: Path, text: str) -> None:
    try:
        file.write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}; name another file with -o") from error
