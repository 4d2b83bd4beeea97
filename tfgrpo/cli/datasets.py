"""`tfgrpo datasets`: named benchmark sets, and what a file holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from tfgrpo import build
from tfgrpo import config as configuration
from tfgrpo import datasets as sets
from tfgrpo.cli import options as o


def list_() -> None:
    """List the named sets: rows expected, grader, and whether a local copy is there."""
    folder = configuration.data_folder()
    for name, named in sorted(sets.NAMED_SETS.items()):
        local = sets.local_copy(named, folder)
        where = f"local copy {local}" if local else f"from the hub: {named.hub_id}"
        typer.echo(f"{name}  {named.rows} problems, grader {named.grader}; {where}")
    if folder is None:
        typer.echo("TFGRPO_DATA names a folder of local copies; it is not set", err=True)


def show(
    dataset: Annotated[str, typer.Argument(help="File, hf:owner/name[:split], or a named set.")],
    field: o.Field = None,
    rows: Annotated[int, typer.Option(min=0, help="How many problems to print.")] = 3,
) -> None:
    """Check a dataset and show its first problems."""
    problems = build.problems_for(dataset, fields=o.fields(field))
    answered = sum(p.answer is not None for p in problems)
    typer.echo(f"{dataset}: {len(problems)} problems, {answered} with a reference answer")
    for problem in problems[:rows]:
        typer.echo(f"  {problem.id}: {' '.join(problem.question.split())[:100]} -> {problem.answer}")


COMMANDS: Mapping[str, Callable[..., None]] = {"list": list_, "show": show}
