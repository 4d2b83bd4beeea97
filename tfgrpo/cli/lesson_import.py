"""`tfgrpo lessons import`: lessons of other libraries, programs and people, scanned and marked as brought in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from experience_db import BadImport, Store
from experience_db.foreign import read_foreign
from experience_db.formats_read import read_format
from experience_db.lesson_lists import Listed, read_list
from experience_db.library import frame
from experience_db.parquet import MAGIC, from_parquet
from experience_db.template_rules import renderings, require_plain
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_stories import Lib
from tfgrpo.cli.lesson_words import lesson_count
from tfgrpo.cli.review import MOST, Allow, require_clean
from tfgrpo.errors import UsageError
from tfgrpo.lessons.scanners import visible
from tfgrpo.system.untrusted_json import fault_of, loads


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="What `export` wrote in any form, a file of another program, or one lesson a line (JSONL, Markdown)."
        ),
    ],
    library: Lib = "default",
    db: o.Db = None,
    allow: Allow = "",
) -> None:
    """Read lessons into a library; ids are given anew, sources and evidence come along. `add` tells what is refused.

    Also what other programs learned: the YAML of youtu-agent, ACE playbooks, rules of ExpeL, memory items of
    ReasoningBank. Nothing of it counts as measured here: `tfgrpo eval` and `tfgrpo prove` measure it.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read {file}: {error.strerror}; name a file of lessons: JSON, JSONL or Markdown"
        ) from error
    bring(data, str(file), library, db, allow)


def bring(data: bytes, file: str, library: str, db: Path | None, allow: str) -> None:
    """Scan and commit the lessons in some bytes; `file` is what messages call them. Raises UsageError."""
    try:
        text = "" if data.startswith(MAGIC) else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text; export it again, or give one lesson a line") from error
    try:
        whole = _whole(data, text, file)
        brought = read_foreign(text) if whole is None else None
        listed = read_list(text) if whole is None and brought is None else None
    except BadImport as error:
        raise UsageError(f"{file}: {error}") from error
    allow, template_too = _without_template(allow)
    edits = brought.edits if brought else listed.edits if listed else ()
    require_clean(_texts(whole) if whole is not None else [edit.text or "" for edit in edits], allow)
    if whole is not None:
        require_clean(_said_around(whole, template_too=template_too), f"{allow},markup", "template")
    with Store.open(o.db_path(db)) as store:
        if whole is not None:
            after = store.import_(whole, library, allow_template=template_too)
        else:
            note = f"import from {brought.program}" if brought else "import"
            after = store.import_texts(edits, library, note=note)
    typer.echo(f"library {library!r}: version {after.version}, {lesson_count(len(after))}")
    if listed is not None:
        typer.echo(_told(listed))
    if brought is not None:
        left = f", {brought.left_out} without text left out" if brought.left_out else ""
        typer.echo(f"  {lesson_count(len(edits))} from {brought.program}{left}; none is measured here")


def _whole(data: bytes, text: str, file: str) -> dict[str, Any] | None:
    """Return what a file of `export` holds; None where it is none. Raises BadImport or UsageError."""
    if data.startswith(MAGIC):
        return from_parquet(data)
    if text.lstrip().startswith("{") and '"lessons"' in text:
        return _json(text, file)
    return read_format(text)


def _without_template(allow: str) -> tuple[str, bool]:
    """Split `template` off the findings that are allowed: it is a permission for the frame, not for lessons."""
    words = [word.strip() for word in allow.split(",")]
    return ",".join(word for word in words if word != "template"), "template" in words


def _said_around(whole: Mapping[str, Any], *, template_too: bool) -> tuple[str, ...]:
    """Return everything that the template of an export can say around its lessons. Raises BadTemplate."""
    template = str(whole.get("template") or "")
    if not template_too:
        require_plain(template)
    return (frame(template), *renderings(template))


def _told(listed: Listed) -> str:
    """Return how many lines became lessons, and which did not."""
    said = f"  {lesson_count(len(listed.edits))} from {listed.lines} lines"
    if not listed.left_out:
        return f"{said}, nothing left out"
    shown = [f"line {x.number} ({x.why}): {visible(x.text[:60])!r}" for x in listed.left_out[:MOST]]
    more = [f"and {len(listed.left_out) - MOST} more"] if len(listed.left_out) > MOST else []
    return "\n      ".join([f"{said}; left out {len(listed.left_out)}:", *shown, *more])


def _texts(whole: Mapping[str, Any]) -> list[str]:
    """Return the lessons of an export, as far as it has any."""
    rows = whole.get("lessons")
    return [str(row.get("text", "")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _json(text: str, file: str) -> dict[str, Any]:
    try:
        found = loads(text)
    except ValueError as error:
        raise UsageError(f"{file} is not valid JSON: {fault_of(error)}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{file} holds no exported library")
    return found
