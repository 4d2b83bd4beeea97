"""`tfgrpo runs`: what was run, and how it ended."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer

from experience_db import RoleUsage, Store
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_words import number_text
from tfgrpo.cli.run_page import print_run, run_named


def list_(db: o.Db = None, json_: o.Json = False) -> None:
    """List all runs, newest last, with model, calls, cost, lessons, and held-out reward before and after."""
    with Store.open(o.db_path(db), readonly=True) as store:
        runs = [store.with_current_status(run) for run in store.runs()]
        used = {run.id: store.usage(run.id).values() for run in runs} if not json_ else {}
    if json_:
        o.print_json({"runs": [dataclasses.asdict(run) for run in runs]})
        return
    if not runs:
        typer.echo("no runs yet: tfgrpo learn makes one")
    for run in runs:
        when = datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%d %H:%M")
        held = (run.summary or {}).get("heldout") or {}
        effect = f"held-out {number_text(held.get('before'))} -> {number_text(held.get('after'))}" if held else ""
        lessons = (run.summary or {}).get("lessons")
        told = [f"library {run.library}", *([f"{lessons} lessons"] if lessons is not None else []), effect]
        calls = sum(row.calls for row in used[run.id])
        typer.echo(
            f"{run.name}  {run.kind}  {run.status}  {when} UTC  {run.config.get('model') or '-'}  {calls} calls, "
            f"{_money(used[run.id])}  " + "  ".join(filter(None, told))
        )


def _money(used: Iterable[RoleUsage]) -> str:
    rows = list(used)
    usd = None if any(row.usd is None for row in rows) else sum(row.usd or 0.0 for row in rows)
    return "price unknown" if usd is None else f"{usd:.2f} USD"


def show(
    name: Annotated[str, typer.Argument(help="Name or id of the run; `latest` is the newest.")] = "latest",
    db: o.Db = None,
    json_: o.Json = False,
) -> None:
    """Show one run: what it did and how it ended, its steps, its calls and its configuration."""
    print_run(o.db_path(db), name, as_json=json_)


def prune(
    names: Annotated[list[str] | None, typer.Argument(help="Names or ids; default: all that have finished.")] = None,
    older_than: Annotated[int, typer.Option(min=0, metavar="DAYS", help="Only runs that ended so long ago.")] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this nothing is changed.")] = False,
    db: o.Db = None,
    json_: o.Json = False,
) -> None:
    """Take the texts of ended runs out of a database; tells what that frees, and with --yes does it.

    Lessons, evidence, figures, costs, answers and rewards stay, and so does in full what a lesson came from. The
    recorded calls go: such a run cannot be gone on with or repeated without asking the model again.
    """
    where = o.db_path(db)
    with Store.open(where, readonly=True) as store:
        runs = [run_named(store, name) for name in names] if names else list(store.runs())
        now = time.time()
        old = [run for run in runs if run.finished is not None and now - run.finished >= older_than * 86_400]
        if names and older_than == 0:
            old = runs
        ids = [run.id for run in old if names or run.status == "finished"]
    with Store.open(where) as store:
        found = store.prune(ids, dry=not yes)
    if json_:
        o.print_json({"db": str(where), "done": yes, **dataclasses.asdict(found)})
        return
    what = f"texts of {found.calls} calls and {found.rollouts} rollouts of {len(ids)} runs, {found.texts} long texts"
    typer.echo(f"{what}: about {found.bytes / 2**20:.1f} MiB {'are free' if yes else 'would be free'} in {where}")
    typer.echo("  `tfgrpo db vacuum` gives the room back" if yes else "  nothing was changed; --yes does it")
