"""`tfgrpo compare`: methods side by side at equal budget."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Annotated

import typer

from tfgrpo.cli import options as o
from tfgrpo.errors import UsageError
from tfgrpo.studies import compare as comparing
from tfgrpo.studies.decisions import decisions_table

Methods = Annotated[
    str, typer.Option("--methods", help="Presets such as default,grpo,dapo, or all; the first is the reference.")
]
Test = Annotated[str, typer.Option("--test", help="File, or fraction of the dataset, that only the comparison sees.")]
Heldout = Annotated[str | None, typer.Option("--heldout", help="File, or fraction of the rest, for the gates.")]
SummarizerModel = Annotated[
    str | None, typer.Option("--summarizer-model", help="Model that writes the lessons; default: --model.")
]
Report = Annotated[
    Path | None, typer.Option("--report", help="Write one HTML page here: table, plot, learning curves, every run.")
]


def compare(
    dataset: Annotated[str, typer.Argument(help="JSONL or CSV file, hf:owner/name[:split], or a named set.")],
    grader: o.Grader,
    model: o.Model,
    methods: Methods = "all",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each method, with seeds 0, 1, ...")] = 5,
    test: Test = "0.3",
    heldout: Heldout = None,
    base_url: o.BaseUrl = None,
    summarizer_model: SummarizerModel = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Rollouts per test problem.")] = 1,
    epochs: Annotated[int | None, typer.Option(help="Passes over the dataset; default: as each preset says.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Problems per step; a budget keeps whole steps.")] = None,
    limit: Annotated[int | None, typer.Option(help="Learn from so many problems only, drawn by the seed.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Model calls in flight, at most; default 64.")] = None,
    budget_calls: Annotated[int | None, typer.Option(help="Calls that each run may spend on learning.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Tokens that each run may spend on learning.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the databases; again goes on.")] = Path("compare"),
    plot: Annotated[Path | None, typer.Option("--plot", help="Write an SVG of the test rewards here.")] = None,
    report: Report = None,
    set_: o.Set = None,
    field: o.Field = None,
    prompts: o.Prompts = None,
    json_: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Learn with several methods and seeds at equal budget, and say which differences exceed the noise.

    Every method gets the same problems, seeds and budget, and is measured on the same test problems.
    """
    o.read_dotenv()
    wanted = comparing.Plan(comparing.preset_list(methods), tuple(range(seeds)), out, test, heldout, k)
    for option, path in (("--plot", plot), ("--report", report)):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{option} {path}: there is no folder {path.parent}")
    result = asyncio.run(
        comparing.compare(
            dataset, wanted, fields=o.field_mapping(field), on_cell=None if quiet else print_cell, model=model,
            grader=grader, base_url=base_url, summarizer_model=summarizer_model, prompts=prompts, overrides=set_,
            epochs=epochs, batch_size=batch_size, limit=limit, concurrency=concurrency, budget_calls=budget_calls,
            budget_tokens=budget_tokens,
        )
    )  # fmt: skip
    notes = comparing.notes(result)
    if json_:
        typer.echo(json.dumps(result.summary, ensure_ascii=False))
    else:
        typer.echo(comparing.table(result.rows, wanted.methods[0]))
        typer.echo("\nWhat each decided, on average over seeds:\n")
        typer.echo(decisions_table({row.method: row.decided for row in result.rows}) + "\n\n" + "\n".join(notes))
    # After the result: a page that cannot be made must not cost what was paid for.
    write_files(result, notes, plot, report)
    if all(math.isnan(row.reward) for row in result.rows if row.method != comparing.NONE):
        raise typer.Exit(1)


def print_cell(cell: comparing.Cell) -> None:
    """Say on stderr what one method learned with one seed."""
    said = cell.failed or f"reward {cell.reward:.3f}, {cell.lessons} lessons, {cell.calls} calls"
    typer.echo(f"seed {cell.seed} {cell.method}: {said}", err=True)


def write_files(result: comparing.Comparison, notes: tuple[str, ...], plot: Path | None, report: Path | None) -> None:
    """Write the files that were asked for."""
    from tfgrpo.report.comparison import picture, to_html

    if plot is not None:
        o.write_text_file(plot, picture(result.summary).rstrip("\n"))
    if report is not None:
        o.write_text_file(report, to_html(result.summary, notes).rstrip("\n"))
