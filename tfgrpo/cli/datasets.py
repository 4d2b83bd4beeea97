"""`tfgrpo datasets`: named benchmark sets, and what a file holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from tfgrpo import config as configuration
from tfgrpo import datasets as sets
from tfgrpo.cli import options as o
from tfgrpo.datasets.named import NAMED_SETS, NamedSet


def list_(json_: o.Json = False) -> None:
    """List the named sets: what is here, checked by row count and hash, what is missing, and how to get it."""
    folder = configuration.data_folder()
    copies = sets.inventory(folder)
    if json_:
        table = {c.named.name: {**_told(c.named), "state": c.state, "where": c.said} for c in copies}
        o.print_json({"folder": str(folder) if folder else None, "datasets": table})
        return
    for copy in copies:
        named = copy.named
        typer.echo(f"{named.name}  {named.rows} problems, grader {named.grader}; {copy.said}")
    if folder is None:
        typer.echo("TFGRPO_DATA names a folder of local copies; it is not set", err=True)
    elif not folder.is_dir():
        typer.echo(f"TFGRPO_DATA names {folder}, and there is no such folder", err=True)


def show(
    dataset: Annotated[str, typer.Argument(help="File, hf:owner/name[:split], or a named set.")],
    field: o.Field = None,
    rows: Annotated[int, typer.Option(min=0, help="How many problems to print.")] = 3,
    json_: o.Json = False,
) -> None:
    """Check a dataset, say what is in it and by which hashes it is known, and show its first problems."""
    problems = sets.problems_from(dataset, o.field_mapping(field), configuration.data_folder())
    answered = sum(p.answer is not None for p in problems)
    answers, words = sets.marks(problems)
    named = NAMED_SETS.get(dataset)
    if json_:
        first = [{"id": p.id, "question": p.question, "answer": p.answer} for p in problems[:rows]]
        hashes = {"content": sets.content_hash(problems), "answers": answers, "words": words}
        told = _told(named) if named else {}
        o.print_json(
            {"dataset": dataset, "problems": len(problems), "answered": answered, **hashes, **told, "first": first}
        )
        return
    typer.echo(f"{dataset}: {len(problems)} problems, {answered} with a reference answer")
    if named:
        local = sets.local_copy(named, configuration.data_folder())
        typer.echo(f"  {named.about}; grader {named.grader}; {f'local copy {local}' if local else named.address}")
        typer.echo(f"  content {sets.content_hash(problems)}, answers {answers}, words {words}")
    for problem in problems[:rows]:
        typer.echo(f"  {problem.id}: {' '.join(problem.question.split())[:100]} -> {problem.answer}")


def _told(named: NamedSet) -> dict[str, object]:
    return {"about": named.about, "rows": named.rows, "grader": named.grader, "hub": named.address}


COMMANDS: Mapping[str, Callable[..., None]] = {"list": list_, "show": show}
