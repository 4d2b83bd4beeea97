"""`tfgrpo lessons`: read and edit a library by hand, with the same history as learned edits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from experience_db import BadImport, Edit, Op, Store
from experience_db.formats_read import read_format
from experience_db.lesson_lists import Listed, read_list
from experience_db.library import frame
from experience_db.template_rules import renderings, require_plain
from tfgrpo.cli import options as o
from tfgrpo.cli.audit import audit
from tfgrpo.cli.block import block
from tfgrpo.cli.lesson_export import export
from tfgrpo.cli.lesson_reports import reports
from tfgrpo.cli.lesson_stories import Id, Lib, edit_in_words, list_, show
from tfgrpo.cli.merge import merge
from tfgrpo.cli.print_results import lesson_count, lesson_line
from tfgrpo.cli.review import MOST, Allow, require_clean, review
from tfgrpo.cli.scan import scan_
from tfgrpo.errors import UsageError
from tfgrpo.lessons.scanners import visible

By = Annotated[str, typer.Option("--by", help="Who makes this edit; the history keeps it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; the history keeps it.")]


def _read(db: Path | None) -> Store:
    return Store.open(o.db_path(db), readonly=True)


def add(
    text: Annotated[str, typer.Argument(help="The lesson.")],
    library: Lib = "default",
    db: o.Db = None,
    allow: Allow = "",
    by: By = "",
    reason: Reason = "",
) -> None:
    """Add a lesson by hand; orders, addresses, secrets, code, hidden characters, markup and doubles are refused."""
    require_clean([text], allow)
    _commit(library, db, Edit(Op.ADD, text, reason=said_by(by, reason)), create=True)


def edit(
    lesson_id: Id,
    text: Annotated[str, typer.Argument(help="The new words.")],
    library: Lib = "default",
    db: o.Db = None,
    allow: Allow = "",
    by: By = "",
    reason: Reason = "",
) -> None:
    """Give a lesson new words; its id and history stay. What `add` refuses is refused."""
    require_clean([text], allow)
    _commit(library, db, Edit(Op.UPDATE, text, (lesson_id,), said_by(by, reason)))


def delete(lesson_id: Id, library: Lib = "default", db: o.Db = None, by: By = "", reason: Reason = "") -> None:
    """Take a lesson out; `rollback` brings it back."""
    _commit(library, db, Edit(Op.DELETE, None, (lesson_id,), said_by(by, reason)))


def said_by(by: str, reason: str) -> str:
    """Return what the history says of an edit by hand: who made it, and why."""
    who = f"by hand, {by.strip()}" if by.strip() else "by hand"
    return f"{who}: {reason.strip()}" if reason.strip() else who


def _commit(name: str, db: Path | None, change: Edit, *, create: bool = False) -> None:
    with Store.open(o.db_path(db)) as store:
        head = store.create_library(name) if create else store.library(name)
        words = " ".join((change.text or "").split())
        twin = next(
            (x.id for x in head if words and " ".join(x.text.split()) == words and x.id not in change.ids), None
        )
        if twin is not None:
            raise UsageError(f"library {name!r} says this already, as lesson {twin}; nothing was changed")
        after = store.commit(name, [change], parent=head.version, note=change.op.value.lower())
        typer.echo(f"library {name!r}: version {head.version} -> {after.version}, {lesson_count(len(after))}")


def search(
    query: Annotated[str, typer.Argument(help="Words to look for.")],
    library: Lib = "default",
    db: o.Db = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 10,
) -> None:
    """Find lessons by their words, best match first."""
    name = library.partition("@")[0]
    with _read(db) as store:
        found = store.search(name, query, limit)
        for lesson in found:
            typer.echo(lesson_line(lesson, store.evidence(name, lesson.id)))
        if not found:
            count = lesson_count(len(store.library(name)))
            typer.echo(
                f"nothing in the {count} of library {name!r} fits {query!r}; `tfgrpo lessons list` shows all", err=True
            )


def log(
    library: Lib = "default",
    db: o.Db = None,
    refused: Annotated[bool, typer.Option(help="Also edits that were not applied.")] = False,
) -> None:
    """List all edits, oldest first, version by version."""
    name = library.partition("@")[0]
    with _read(db) as store:
        for version in store.versions(name):
            when = datetime.fromtimestamp(version.created, UTC).strftime("%Y-%m-%d %H:%M")
            typer.echo(f"version {version.number}  {when} UTC  {version.note}  {version.run}")
            for applied in (a for a in store.log(name) if a.version == version.number):
                typer.echo(f"  [{applied.lesson_id}] {edit_in_words(applied.edit)}")
        if refused:
            for item in store.unapplied(name):
                typer.echo(f"{item.status}: {edit_in_words(item.edit)}: {item.reason}")


def diff(
    a: Annotated[int, typer.Argument(help="From version.")],
    b: Annotated[int, typer.Argument(help="To version.")],
    library: Lib = "default",
    db: o.Db = None,
) -> None:
    """Show what changed between two versions."""
    with _read(db) as store:
        change = store.diff(library.partition("@")[0], a, b)
    for lesson in change.removed:
        typer.echo(f"- [{lesson.id}] {lesson.text}")
    for old, new in change.changed:
        typer.echo(f"- [{old.id}] {old.text}\n+ [{new.id}] {new.text}")
    for lesson in change.added:
        typer.echo(f"+ [{lesson.id}] {lesson.text}")


def rollback(
    to: Annotated[int, typer.Argument(help="Version to return to.")], library: Lib = "default", db: o.Db = None
) -> None:
    """Make a new version that equals an old one; nothing is forgotten."""
    with Store.open(o.db_path(db)) as store:
        after = store.rollback(library, to)
    typer.echo(f"library {library!r}: version {after.version} now equals version {to}, {lesson_count(len(after))}")


def import_(
    file: Annotated[
        Path, typer.Argument(help="What `export` wrote in any form, or one lesson a line (JSONL, text, Markdown).")
    ],
    library: Lib = "default",
    db: o.Db = None,
    allow: Allow = "",
) -> None:
    """Read lessons into a library; ids are given anew, sources and evidence come along. `add` tells what is refused."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"cannot read {file}: {error.strerror}; name a file of lessons: JSON, JSONL or Markdown"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text; export it again, or give one lesson a line") from error
    whole = _json(text, file) if text.lstrip().startswith("{") and '"lessons"' in text else None
    whole = whole if whole is not None else read_format(text)
    allow, template_too = _without_template(allow)
    try:
        listed = read_list(text) if whole is None else None
    except BadImport as error:
        raise UsageError(f"{file}: {error}") from error
    require_clean([edit.text or "" for edit in listed.edits] if listed else _texts(whole or {}), allow)
    if whole is not None:
        require_clean(_said_around(whole, template_too=template_too), f"{allow},markup", "template")
    with Store.open(o.db_path(db)) as store:
        if listed is not None:
            after = store.import_texts(listed.edits, library)
        else:
            after = store.import_(whole or {}, library, allow_template=template_too)
    typer.echo(f"library {library!r}: version {after.version}, {lesson_count(len(after))}")
    if listed is not None:
        typer.echo(_told(listed))


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


def _json(text: str, file: Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{file} holds no exported library")
    return found


COMMANDS: Mapping[str, Callable[..., None]] = {
    "list": list_,
    "show": show,
    "add": add,
    "edit": edit,
    "delete": delete,
    "search": search,
    "log": log,
    "diff": diff,
    "blame": show,
    "audit": audit,
    "review": review,
    "reports": reports,
    "block": block,
    "scan": scan_,
    "rollback": rollback,
    "export": export,
    "import": import_,
    "merge": merge,
}
