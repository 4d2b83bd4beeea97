"""`tfgrpo runs`: what was run, and how it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from experience_db import RoleUsage, Run, Store
from tfgrpo.cli import options as o
from tfgrpo.cli.print_results import number_text


def run_named(store: Store, name: str) -> Run:
    """Return the run of that name or id, the newest for `latest`; raises UnknownRun."""
    every = store.runs() if name == "latest" else ()
    return every[-1] if every else store.find_run(name) or store.run(name)


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
    with Store.open(o.db_path(db), readonly=True) as store:
        run = store.with_current_status(run_named(store, name))
        steps, used = store.steps(run.id), store.usage(run.id)
    if json_:
        o.print_json({**dataclasses.asdict(run), "steps": [dataclasses.asdict(step) for step in steps]})
        return
    typer.echo(
        f"{run.name} ({run.id}): {run.kind}, {run.status}, library {run.library} from version {run.base_version}"
    )
    typer.echo(f"  on {run.dataset} with {run.config.get('model')}, grader {run.config.get('grader')}")
    _print_outcome(run)
    for step in steps:
        told = step.summary
        groups = ", ".join(f"{n} {kind}" for kind, n in (told.get("groups") or {}).items())
        edits = ", ".join(f"{n} {kind}" for kind, n in (told.get("edits") or {}).items())
        typer.echo(
            f"  step {step.step}: version {step.version_before} -> {step.version_after}; reward "
            f"{number_text(told.get('reward'))}; groups: {groups}; edits: {edits}"
        )
    for role, row in used.items():
        typer.echo(f"  {role}: {row.calls} calls, {row.prompt_tokens:,} + {row.completion_tokens:,} tokens")
    typer.echo("configuration:")
    for key, value in sorted(run.config.items()):
        typer.echo(f"  {key} = {value}")


def _print_outcome(run: Run) -> None:
    held = (run.summary or {}).get("heldout") or {}
    if run.status == "died":
        typer.echo("  its process is gone; the same command goes on from here")
    if held:
        low, high = held.get("ci") or (None, None)
        typer.echo(
            f"  held-out reward {number_text(held.get('before'))} before, {number_text(held.get('after'))} after: "
            f"{number_text(held.get('diff'), '+')} [{number_text(low, '+')}, {number_text(high, '+')}], "
            f"n={held.get('n')}"
        )
    if (lessons := (run.summary or {}).get("lessons")) is not None:
        typer.echo(f"  {lessons} lessons in version {(run.summary or {}).get('version')}")


COMMANDS: Mapping[str, Callable[..., None]] = {"list": list_, "show": show}
