"""`tfgrpo lessons export`: one version in the form that another program reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from experience_db import Evidence, Library, Store
from experience_db.formats import FORMATS, skill, skill_name, with_section
from experience_db.parquet import to_parquet
from experience_db.topics import by_topic
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_stories import Lib
from tfgrpo.errors import UsageError
from tfgrpo.lessons.versions import library_at

NAMES = ("json", "md", "parquet", *FORMATS)


def export(
    library: Lib = "default",
    db: o.Db = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="File; default stdout. A skill takes a folder as well, agents a file that is there."
        ),
    ] = None,
    topics: Annotated[
        int, typer.Option(min=0, help="skill: one for each of so many topics, and one for the rest; 0 is one for all.")
    ] = 0,
    format_: Annotated[str, typer.Option("--format", help=f"{', '.join(NAMES[:-1])} or {NAMES[-1]}.")] = "json",
) -> None:
    """Write a library out: json with all it has, or the form in which another program reads lessons.

    skill is a SKILL.md; agents a section of an AGENTS.md or CLAUDE.md, put between markers into the file that is there;
    chat, system, promptfoo and dspy (the state of a predictor) are prompts; csv is a table with evidence; md a list for
    people; parquet a row for each lesson with its evidence (extra `parquet`).
    """
    if format_ not in NAMES:
        raise UsageError(f"--format is one of {', '.join(NAMES)}, not {format_!r}")
    if topics and (format_ != "skill" or output is None or not output.is_dir()):
        raise UsageError("--topics goes with --format skill and a folder that is there: -o FOLDER")
    with Store.open(o.db_path(db), readonly=True) as store:
        found = library_at(store, library)
        if topics:
            _topics(output or Path(), found, store.evidence(found.name), topics)
            return
        if format_ == "parquet":
            _binary(output, to_parquet(store.export(found.name, found.version)))
            return
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


def _topics(folder: Path, library: Library, measured: Sequence[Evidence], most: int) -> None:
    """Write a skill for each topic of a library, each in a folder of its name."""
    for word, lessons in by_topic(library.lessons, most).items():
        part = replace(library, name=f"{library.name} {word}", lessons=lessons)
        place = _place(folder, part)
        _write(place, skill(part, measured))
        typer.echo(f"{place}: {len(lessons)} lesson{'' if len(lessons) == 1 else 's'}", err=True)


def _binary(output: Path | None, data: bytes) -> None:
    if output is not None:
        _write(output, data)
    elif sys.stdout.isatty():
        raise UsageError("a Parquet file is no text for a terminal; name a file with -o")
    else:
        sys.stdout.buffer.write(data)


def _place(output: Path, library: Library) -> Path:
    """Where a skill goes: a folder, also one that is not there yet, gets one of the skill's name."""
    if output.is_file() or (output.suffix and not output.is_dir()):
        return output
    folder = output / skill_name(library.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
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


def _write(file: Path, text: str | bytes) -> None:
    try:
        file.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}; name another file with -o") from error
