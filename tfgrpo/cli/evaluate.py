"""`tfgrpo eval`: measure a library, with controls beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import typer

from tfgrpo import api
from tfgrpo.cli import options as o
from tfgrpo.cli.print_results import print_evaluation, print_matrix
from tfgrpo.errors import UsageError
from tfgrpo.evaluation.results import EvalResult
from tfgrpo.studies import transfer

Control = Annotated[str | None, typer.Option("--control", help="Any of same,empty,filler,shuffled,tips,best-of-n.")]
Retrievals = Annotated[
    str | None,
    typer.Option("--retrieval", metavar="WAYS", help="Ways to choose lessons: any of all,fts,embedding,hybrid."),
]
Test = Annotated[bool, typer.Option("--test", help="A test set: refuse problems that the library's runs have seen.")]


def evaluate(
    dataset: o.Dataset,
    grader: o.Grader,
    model: Annotated[list[str], typer.Option("--model", help="As in learn; several are measured side by side.")],
    base_url: o.BaseUrl = None,
    library: Annotated[
        list[str] | None,
        typer.Option("--library", help="NAME or NAME@VERSION; several are compared; without it no lessons."),
    ] = None,
    db: o.Db = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Rollouts per problem.")] = 1,
    control: Control = None,
    retrieval: Retrievals = None,
    test: Test = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn; default 0.")] = None,
    limit: Annotated[int | None, typer.Option(help="So many problems only, drawn by the seed.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Model calls in flight, at most; default 64.")] = None,
    instructions: o.Instructions = None,
    executor: o.Executor = None,
    tools: o.Tools = None,
    set_: o.Set = None,
    field: o.Field = None,
    prompts: o.Prompts = None,
    json_: o.Json = False,
) -> None:
    """Measure mean@k with its interval, pass@k and pass^k of a library on a dataset.

    With several --library or --model every pair is measured on the same problems, also without lessons, and compared.
    """
    asked: dict[str, Any] = {
        "k": k,
        "test": test,
        "fields": o.field_mapping(field),
        "grader": grader,
        "base_url": base_url,
        "db": o.db_path(db),
        "prompts": prompts,
        "overrides": o.with_tools(tools, set_),
        "seed": seed,
        "limit": limit,
        "concurrency": concurrency,
        "instructions": o.instructions(instructions),
        "executor": executor,
        "on_notes": _teller(),
    }
    controls, ways = (
        [name.strip() for name in (told or "").split(",") if name.strip()] for told in (control, retrieval)
    )
    if len(model) > 1 or len(library or ()) > 1:
        if controls or ways:
            raise UsageError("--control and --retrieval go with one library and one model; leave the others out")
        found = asyncio.run(transfer.transfer_matrix(dataset, libraries=library or [], models=model, **asked))
        (o.print_json if json_ else print_matrix)(found)
        return
    name = library[0] if library else ""
    _show(api.evaluate_sync(dataset, library=name, model=model[0], controls=controls, retrievals=ways, **asked), json_)


def _show(result: EvalResult, json_: bool) -> None:
    if json_:
        o.print_json(result.summary)
    else:
        print_evaluation(result.summary, result.evaluation.scored)
    if said := result.evaluation.left_out:
        typer.echo(f"note: {said}", err=True)


def _teller() -> Callable[[tuple[str, ...]], None]:
    """Return what says each note once, however many libraries and models it holds for."""
    said: set[str] = set()

    def tell(notes: tuple[str, ...]) -> None:
        for note in notes:
            if note not in said:
                typer.echo(f"note: {note}", err=True)
        said.update(notes)

    return tell
