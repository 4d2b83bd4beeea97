"""`tfgrpo learn`: distil lessons from a dataset, and prove them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from tfgrpo import api
from tfgrpo.api import LearnResult
from tfgrpo.cli import options as o
from tfgrpo.cli.learn_stored import learn_stored, stored_source
from tfgrpo.cli.live_display import progress_display
from tfgrpo.cli.print_results import print_learned
from tfgrpo.cli.progress_lines import ProgressLines
from tfgrpo.learning.events import EventFile, run_event
from tfgrpo.learning.run import Run
from tfgrpo.learning.setup import Setup
from tfgrpo.system.signals import on_stop

SummarizerModel = Annotated[
    str | None, typer.Option("--summarizer-model", help="Model that writes the lessons; default: --model.")
]
Heldout = Annotated[
    str | None,
    typer.Option("--heldout", help="File, or fraction of the dataset, to gate and measure on; default: by its size."),
]
Review = Annotated[
    bool | None,
    typer.Option(
        "--review/--no-review",
        help="Lessons that rest on tool output wait for `lessons review`; default: where a tool brings in pages.",
    ),
]
Events = Annotated[
    Path | None, typer.Option("--events", help="Write groups, verdicts, candidates and steps here as JSON lines.")
]

FromTraces = Annotated[
    Path | None,
    typer.Option("--from-traces", help="Learn from stored attempts with scores: a file or folder."),
]
FromSessions = Annotated[
    bool,
    typer.Option(
        "--from-sessions",
        help="Learn from the app's sessions that are kept in the database instead. What passes its trial waits for "
        "`lessons review`: served by itself (-s sessions.promote=serve) it stayed worse than no lessons for up to "
        "1,151 sessions in simulation, before it was withdrawn.",
    ),
]
Follow = Annotated[bool, typer.Option("--follow", help="With --from-sessions: look again and again until Ctrl-C.")]
Try = Annotated[
    list[int] | None,
    typer.Option("--try", metavar="EDIT", help="With --from-sessions: try this waiting edit."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the first prompts and what all of it will take; ask nothing.")
]


def learn(
    model: o.Model,
    dataset: o.Dataset = "",
    grader: o.Grader = "",
    base_url: o.BaseUrl = None,
    library: o.Name = "default",
    db: o.Db = None,
    run: Annotated[str | None, typer.Option("--run", help="Name this run; the same command continues it.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with configuration keys.")] = None,
    tools: o.Tools = None,
    set_: o.Set = None,
    summarizer_model: SummarizerModel = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the dataset; default 3.")] = None,
    group_size: Annotated[int | None, typer.Option(help="Rollouts per problem; default 5.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Problems per step; default 50.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Model calls in flight, at most; default 64.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn; default 0.")] = None,
    limit: Annotated[int | None, typer.Option(help="Learn from so many problems only, drawn by the seed.")] = None,
    method: Annotated[str, typer.Option("--method", help="Preset; see `tfgrpo plugins --kind presets`.")] = "default",
    heldout: Heldout = None,
    gate: Annotated[str | None, typer.Option("--gate", help="paired (default), open, or likelihood.")] = None,
    review: Review = None,
    budget_usd: Annotated[float | None, typer.Option(help="Stop before spending more US dollars.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Stop before using more tokens.")] = None,
    budget_calls: Annotated[int | None, typer.Option(help="Stop before sending more calls.")] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="Start no call later than this.")] = None,
    instructions: o.Instructions = None,
    from_traces: FromTraces = None,
    from_sessions: FromSessions = False,
    follow: Follow = False,
    try_: Try = None,
    dry_run: DryRun = False,
    executor: o.Executor = None,
    field: o.Field = None,
    events: Events = None,
    prompts: o.Prompts = None,
    json_: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Distil lessons from a dataset into a library, prove them on held-out problems, and say what it cost.

    Kill it anywhere: the same command goes on and repeats no finished model call.
    """
    stored, set_ = stored_source(dataset, grader, from_traces, from_sessions, follow, try_, heldout, set_)
    settings = o.load_config(
        method, config, o.with_tools(tools, set_), epochs=epochs, group_size=group_size, batch_size=batch_size,
        concurrency=concurrency, seed=seed, limit=limit, heldout=heldout, gate=gate, review=review,
        instructions=o.instructions(instructions), executor=executor,
        budget_usd=budget_usd, budget_tokens=budget_tokens, budget_calls=budget_calls, budget_seconds=budget_seconds,
    )  # fmt: skip
    wanted = Setup(
        model, grader, base_urls=tuple(base_url or ()), summarizer_model=summarizer_model, db=o.db_path(db),
        library=library, run=run, prompts_dir=prompts, config=settings,
    )  # fmt: skip
    if stored:
        learn_stored(wanted, stored, json_=json_)
    elif dry_run:
        _print_preview(wanted, dataset, o.field_mapping(field), json_=json_)
    else:
        _learn_and_print(wanted, dataset, o.field_mapping(field), events, json_=json_, quiet=quiet)


def _print_preview(wanted: Setup, dataset: str, fields: dict[str, str], *, json_: bool) -> None:
    from tfgrpo.cli.print_preview import print_preview
    from tfgrpo.studies.preview import preview

    found = asyncio.run(preview(wanted, dataset, fields))
    o.print_json(found.summary) if json_ else print_preview(found)


def _learn_and_print(
    wanted: Setup, dataset: str, fields: dict[str, str], events: Path | None, *, json_: bool, quiet: bool
) -> None:
    """Run to the end with a display and an event file; raises Exit(3) where a budget ended it."""
    with progress_display(quiet=quiet) as display, EventFile(events) as told:
        result = asyncio.run(_learn(wanted, dataset, fields, display, told))
    if display.interrupted:
        raise KeyboardInterrupt
    if json_:
        o.print_json(result.summary)
    else:
        print_learned(result, wanted, fields)
    if result.summary["stopped"]:
        typer.echo(f"stopped: {result.summary['stopped']}", err=True)
        raise typer.Exit(3)


async def _learn(
    wanted: Setup, dataset: str, fields: dict[str, str], display: ProgressLines, told: EventFile
) -> LearnResult:
    ended: list[LearnResult] = []

    with ExitStack() as listening:

        def start(run: Run) -> None:
            display.start(run)
            told.write(run_event(run))
            listening.enter_context(on_stop(display.interrupt))

        async for step in api.execute(wanted, dataset, fields=fields, on_start=start, on_end=ended.append):
            display.step(step)
            told.step(step)
    told.write({"event": "end", **ended[0].summary})
    return ended[0]
