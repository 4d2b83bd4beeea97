"""`tfgrpo runs`: what was run, and how it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from experience_db import Run, Store
from tfgrpo.cli import options as o
from tfgrpo.cli.print_results import number_text


def as_it_is(store: Store, run: Run) -> Run:
    """Return a run with its status; one that was left `running` by a process that is gone has `died`.

    A run that teaches holds its library, any other its own id, for as long as its process lives.
    """
    if run.status != "running":
        return run
    held = [store.claimed_by(name).startswith(f"run {run.id} ") for name in (run.library, f"run {run.id}") if name]
    return run if any(held) else dataclasses.replace(run, status="died")


def list_(db: o.Db = None, json_: o.Json = False) -> None:
    """List all runs, newest last."""
    with Store.open(o.db_path(db), readonly=True) as store:
        runs = [as_it_is(store, run) for run in store.runs()]
    if json_:
        o.print_json({"runs": [dataclasses.asdict(run) for run in runs]})
        return
    for run in runs:
        when = datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%d %H:%M")
        held = (run.summary or {}).get("heldout") or {}
        effect = f"held-out {number_text(held.get('before'))} -> {number_text(held.get('after'))}" if held else ""
        typer.echo(f"{run.name}  {run.kind}  {run.status}  {when} UTC  library {run.library}  {effect}")


def show(
    name: Annotated[str, typer.Argument(help="Name or id of the run.")], db: o.Db = None, json_: o.Json = False
) -> None:
    """Show one run: its configuration, its steps, its calls and its summary."""
    with Store.open(o.db_path(db), readonly=True) as store:
        run = as_it_is(store, store.find_run(name) or store.run(name))
        steps = store.steps(run.id)
    if json_:
        o.print_json({**dataclasses.asdict(run), "steps": [dataclasses.asdict(step) for step in steps]})
        return
    typer.echo(
        f"{run.name} ({run.id}): {run.kind}, {run.status}, library {run.library} from version {run.base_version}"
    )
    for key, value in sorted(run.config.items()):
        typer.echo(f"  {key} = {value}")
    for step in steps:
        typer.echo(f"  step {step.step}: version {step.version_before} -> {step.version_after} {dict(step.summary)}")


COMMANDS: Mapping[str, Callable[..., None]] = {"list": list_, "show": show}
