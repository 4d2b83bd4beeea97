"""`tfgrpo db`: whether a database is whole, a copy of it, and the room it takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from experience_db import Store
from tfgrpo.cli import options as o


def check(db: o.Db = None, json_: o.Json = False) -> None:
    """Check a database: its pages, its schema, its references, its search index, and every version against its edits.

    Nothing is changed. Exit 1 when something is wrong.
    """
    where = o.db_path(db)
    with Store.open(where, readonly=True):
        # The search index is checked by a statement that writes nothing, and still wants the right to.
        writable = os.access(where, os.W_OK) and os.access(where.absolute().parent, os.W_OK)
    with Store.open(where, readonly=not writable) as store:
        found = store.verify()
        counted = {"libraries": len(store.libraries()), "runs": len(store.runs())}
    if json_:
        o.print_json({"db": str(where), "faults": found, **counted})
    else:
        for fault in found:
            typer.echo(fault)
        whole = f"{where} is whole: {counted['libraries']} libraries, {counted['runs']} runs"
        typer.echo(f"{len(found)} faults; a backup puts them right (tfgrpo db backup makes one)" if found else whole)
    if found:
        raise typer.Exit(1)


def backup(
    to: Annotated[Path, typer.Argument(help="File to copy it into.")],
    db: o.Db = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json_: o.Json = False,
) -> None:
    """Copy a database into another file, also while a run writes it."""
    where = o.db_path(db)
    with Store.open(where, readonly=True) as store:
        made = store.backup(to, replace=force)
    size = made.stat().st_size
    if json_:
        o.print_json({"db": str(where), "backup": str(made), "bytes": size})
    else:
        typer.echo(f"{made}: {size / 2**20:.1f} MiB, a whole copy of {where}")


def vacuum(db: o.Db = None, json_: o.Json = False) -> None:
    """Give back the room in the file that nothing needs any more; no run may be going on."""
    where = o.db_path(db)
    if not where.is_file():
        Store.open(where, readonly=True).close()  # says so; a writer would make the file
    with Store.open(where) as store:
        sizes = store.vacuum()
    if json_:
        o.print_json({"db": str(where), "before": sizes.before, "after": sizes.after})
    else:
        typer.echo(f"{where}: {sizes.before / 2**20:.1f} MiB before, {sizes.after / 2**20:.1f} MiB after")
