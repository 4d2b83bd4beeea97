"""`tfgrpo runs track`: a run in the tools that teams watch."""

from __future__ import annotations

from typing import Annotated

import typer

from experience_db import Store
from tfgrpo.cli import options as o
from tfgrpo.cli.run_page import run_named


def track(
    name: Annotated[str, typer.Argument(help="Name or id of the run; `latest` is the newest.")] = "latest",
    to: Annotated[str, typer.Option("--to", help="otel, mlflow or wandb; each is an extra of that name.")] = "mlflow",
    where: Annotated[
        str, typer.Option("--where", help="OTLP collector's URL, MLflow's tracking URI, or project of wandb.")
    ] = "",
    content: Annotated[bool, typer.Option("--content", help="otel: also words of prompts, answers, graders.")] = False,
    keep_on: Annotated[
        bool, typer.Option("--follow", help="Send each step as it ends, until the run of the other process does.")
    ] = False,
    db: o.Db = None,
) -> None:
    """Send a run to OpenTelemetry, MLflow or Weights & Biases: settings, curves, lessons and their evidence.

    What is stored is sent, also of a run that goes on; sent again, MLflow and wandb keep one run. With --follow the run
    is seen there while `learn` goes on in another terminal.

    Example: tfgrpo runs track latest --to mlflow --where sqlite:///mlflow.db
    """
    from tfgrpo.tracking import follow, send

    with Store.open(o.db_path(db), readonly=True) as store:
        run = run_named(store, name)
        if not keep_on:
            typer.echo(send(store, run, to, where=where, content=content))
            return
    typer.echo(follow(o.db_path(db), run.id, to, where=where, content=content, said=typer.echo))
