"""`tfgrpo libraries`: what has been learned, library by library."""

from __future__ import annotations

from typing import Any

import typer

from experience_db import Store
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_words import number_text


def list_(db: o.Db = None, json_: o.Json = False) -> None:
    """List all libraries with their newest version, lessons, and what the last run that taught them showed."""
    with Store.open(o.db_path(db), readonly=True) as store:
        rows = [_row(store, name) for name in store.libraries()]
    if json_:
        o.print_json({"libraries": rows})
        return
    if not rows:
        typer.echo("no libraries yet: tfgrpo learn makes one, tfgrpo lessons add another")
    for row in rows:
        held = f"; held-out {number_text(row['before'])} -> {number_text(row['after'])}" if row["run"] else ""
        last = f"; last taught by {row['run']} ({row['status']}) with {row['model']}" if row["run"] else "; by hand"
        typer.echo(f"{row['library']}  version {row['version']}, {row['lessons']} lessons{last}{held}")


def _row(store: Store, name: str) -> dict[str, Any]:
    newest = store.library(name)
    taught = [run for run in store.runs() if run.library == name and run.kind == "learn"]
    run = store.with_current_status(taught[-1]) if taught else None
    heldout = (run.summary or {}).get("heldout") or {} if run else {}
    return {
        "library": name,
        "version": newest.version,
        "lessons": len(newest),
        "run": run.name if run else None,
        "status": run.status if run else None,
        "model": run.config.get("model") if run else None,
        "before": heldout.get("before"),
        "after": heldout.get("after"),
    }
