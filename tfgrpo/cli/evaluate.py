"""`tfgrpo eval`: measure a library, with controls beside it."""

from __future__ import annotations

from typing import Annotated

import typer

from tfgrpo import api
from tfgrpo.cli import options as o
from tfgrpo.cli.show import print_evaluation


def evaluate(
    dataset: Annotated[str, typer.Argument(help="JSONL or CSV file, hf:owner/name[:split], or a named set.")],
    grader: o.Grader,
    model: o.Model,
    base_url: o.BaseUrl = None,
    library: Annotated[str, typer.Option("--library", help="NAME or NAME@VERSION; without it no lessons.")] = "",
    db: o.Db = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Rollouts per problem.")] = 1,
    control: Annotated[
        str | None, typer.Option("--control", help="Any of empty,filler,shuffled: measured on the same problems.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn; default 0.")] = None,
    limit: Annotated[int | None, typer.Option(help="So many problems only, drawn by the seed.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Model calls in flight, at most; default 64.")] = None,
    set_: o.Set = None,
    field: o.Field = None,
    prompts: o.Prompts = None,
    json_: o.Json = False,
) -> None:
    """Measure mean@k with its interval, pass@k and pass^k of a library on a dataset."""
    result = api.evaluate_sync(
        dataset,
        library=library,
        k=k,
        controls=[name.strip() for name in control.split(",")] if control else [],
        fields=o.fields(field),
        model=model,
        grader=grader,
        base_url=base_url,
        db=o.db_path(db),
        prompts=prompts,
        overrides=set_,
        seed=seed,
        limit=limit,
        concurrency=concurrency,
    )
    if json_:
        o.print_json(result.summary)
    else:
        print_evaluation(result.summary)
