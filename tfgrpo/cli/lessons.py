"""`tfgrpo lessons`: read and edit a library by hand, with the same history as learned edits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from experience_db import Edit, Op, Store
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_stories import Id, Lib, edit_in_words
from tfgrpo.cli.lesson_words import lesson_count, lesson_line
from tfgrpo.cli.review import Allow, require_clean
from tfgrpo.errors import UsageError

By = Annotated[str, typer.Option("--by", help="Who makes this edit; the history keeps it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; the history keeps it.")]


def require_words(
    text: str, why: str = "the lesson has no words; write it, or take one out with `lessons delete`"
) -> None:
    """Refuse a text of blanks alone.

    Raises:
        UsageError: `why`.
    """
    if not text.strip():
        raise UsageError(why)


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
    require_words(text)
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
    require_words(text)
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
    require_words(query, "there is nothing to look for; give words of the lesson")
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
