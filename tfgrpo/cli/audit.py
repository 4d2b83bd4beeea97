"""`tfgrpo lessons audit`: what every lesson of a version is worth."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tfgrpo.cli import options as o
from tfgrpo.studies import audit as auditing


def audit(
    dataset: Annotated[str, typer.Argument(help="Problems that the library did not learn from.")],
    grader: o.Grader,
    model: Annotated[list[str], typer.Option("--model", help="As in learn; several are set side by side.")],
    base_url: o.BaseUrl = None,
    library: Annotated[str, typer.Option("--library", help="NAME or NAME@VERSION.")] = "default",
    db: o.Db = None,
    dropout: Annotated[
        bool, typer.Option("--dropout", help="One pass that hides random parts of the library.")
    ] = False,
    k: Annotated[int, typer.Option("-k", min=1, help="Rollouts per touched problem and side.")] = 2,
    group_size: Annotated[int, typer.Option(min=2, help="With --dropout: rollouts per problem.")] = 8,
    confirm: Annotated[bool, typer.Option("--confirm", help="Let the gate decide on nominated deletions.")] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn; default 0.")] = None,
    limit: Annotated[int | None, typer.Option(help="So many problems only, drawn by the seed.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Model calls in flight, at most; default 64.")] = None,
    set_: o.Set = None,
    field: o.Field = None,
    prompts: o.Prompts = None,
    json_: o.Json = False,
) -> None:
    """Measure each lesson with and without it, store that as evidence, and nominate what harms for deletion.

    Leave-one-out is sharp and costs about twice k rollouts per lesson and touched problem. --dropout costs
    --group-size rollouts per problem for all lessons together and is weak below 48 problems.
    """
    o.read_dotenv()
    asked: dict[str, Any] = {
        "library": library,
        "plan": auditing.Plan(dropout, k, group_size, confirm=confirm),
        "fields": o.field_mapping(field),
        "grader": grader,
        "base_url": base_url,
        "db": o.db_path(db),
        "prompts": prompts,
        "overrides": set_,
        "seed": seed,
        "limit": limit,
        "concurrency": concurrency,
    }
    if len(model) > 1:
        found = asyncio.run(auditing.audit_models(dataset, models=model, **asked))
        (o.print_json if json_ else print_models)(found)
        return
    result = asyncio.run(auditing.audit(dataset, model=model[0], **asked))
    (o.print_json if json_ else print_audit)(result.summary)


def print_models(s: Mapping[str, Any]) -> None:
    """Print what each lesson is worth to each model."""
    typer.echo(f"library {s['library']!r}, version {s['version']}, on {s['dataset']}: effect of each lesson by model")
    width = max(26, *(len(model) + 2 for model in s["models"]))
    typer.echo(f"{'id':>4}  " + "".join(f"{model:{width}}" for model in s["models"]) + "lesson")
    for row in s["lessons"]:
        cells = "".join(f"{_cell(row['effects'][model]):{width}}" for model in s["models"])
        typer.echo(f"{row['id']:>4}  {cells}{row['text']}" + ("  (not the same for all)" if row["apart"] else ""))


def _cell(effect: Mapping[str, Any]) -> str:
    low, high = effect["ci"]
    interval = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
    return "-" if effect["estimate"] is None else f"{effect['estimate']:+.3f}{interval}"


def print_audit(s: Mapping[str, Any]) -> None:
    """Print the table of an audit, what it nominates, and what the gate said."""
    typer.echo(f"library {s['library']!r}, version {s['version']}, on {s['problems']} problems with {s['model']}")
    if s["taught"]:
        typer.echo(f"caution: {s['taught']} of these problems taught lessons of this library; effects look too good")
    typer.echo(f"{'id':>4}  {'effect':>7}  {'95% interval':18}{'n':>4}  {'touch':11}{'rollouts':>8}  lesson")
    for row in s["lessons"]:
        low, high = row["ci"]
        interval = "-" if low is None or high is None else f"[{low:+.3f}, {high:+.3f}]"
        effect = "-" if row["estimate"] is None else f"{row['estimate']:+.3f}"
        spent = "" if row["rollouts"] is None else row["rollouts"]
        line = f"{row['id']:>4}  {effect:>7}  {interval:18}{row['n']:>4}  {row['touch']:11}{spent:>8}"
        typer.echo(f"{line}  {row['text']}" + (f"  ({row['reason']})" if row["reason"] else ""))
    for pair in s["redundant"]:
        (a, b), (low, high) = pair["ids"], pair["ci"]
        typer.echo(
            f"{a} and {b} stand in for each other: {pair['estimate']:+.3f} [{low:+.3f}, {high:+.3f}] together, which "
            "either keeps alone; one of them may leave, not both"
        )
    typer.echo(f"{s['rollouts']} rollouts in all")
    for verdict in s["verdicts"]:
        typer.echo(
            f"gate on deleting {', '.join(map(str, verdict['ids']))}: {verdict['decision']}: {verdict['reason']}"
        )
    if s["nominated"] and not s["verdicts"]:
        typer.echo(f"nominated for deletion: {', '.join(map(str, s['nominated']))}; --confirm lets the gate decide")
    if s["verdicts"] and s["after"] != s["version"]:
        typer.echo(f"library {s['library']!r} is now at version {s['after']}")
