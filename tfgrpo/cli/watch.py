"""`tfgrpo watch`: follow a run of another process by what it writes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from experience_db import Run, Store
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_words import number_text
from tfgrpo.cli.run_page import run_named

PAUSE = 1.0
"""Seconds between two looks."""
TOLD = 10.0
"""Seconds between two lines about calls, while no step ends."""


def watch(
    run: Annotated[str, typer.Argument(help="Name or id of the run; `latest` is the newest.")] = "latest",
    db: o.Db = None,
    once: Annotated[bool, typer.Option("--once", help="Say how it stands, and end.")] = False,
) -> None:
    """Follow a run of another process: its steps as they end, its calls, and how it ends."""
    shown, said = 0, float("-inf")
    while True:
        with Store.open(o.db_path(db), readonly=True) as store:
            found = store.with_current_status(run_named(store, run))
            steps = store.steps(found.id)
            calls = sum(usage.calls for usage in store.usage(found.id).values())
        if not shown and said < 0:
            typer.echo(_head(found))
        for step in steps[shown:]:
            typer.echo(f"step {step.step + 1} (epoch {step.epoch + 1}): {_numbers(step.summary)}; version "
                       f"{step.version_before} -> {step.version_after}; {calls} calls so far")  # fmt: skip
        news, shown = len(steps) > shown, len(steps)
        if not news and time.monotonic() - said > TOLD:
            typer.echo(f"{found.status}: {len(steps)} steps, {calls} calls answered")
        said = time.monotonic() if news or time.monotonic() - said > TOLD else said
        if once or found.status != "running":
            typer.echo(_end(found))
            return
        time.sleep(PAUSE)


def _head(run: Run) -> str:
    return f"run {run.name}: {run.kind} on {run.dataset} with {run.config.get('model')}, library {run.library}"


def _numbers(summary: Mapping[str, Any]) -> str:
    edits = ", ".join(f"{n} {name}" for name, n in (summary.get("edits") or {}).items())
    return f"reward {number_text(summary.get('reward'))}; edits: {edits or 'none'}"


def _end(run: Run) -> str:
    if run.status == "died":
        return "died: its process is gone; the same command goes on from here"
    heldout = (run.summary or {}).get("heldout") or {}
    effect = (
        f"; held-out {number_text(heldout.get('before'))} -> {number_text(heldout.get('after'))}" if heldout else ""
    )
    return f"{run.status}{effect}"
