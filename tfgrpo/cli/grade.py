"""`tfgrpo grade`: grade answers that are already there, or put a grader to the test."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from experience_db.codec import to_json
from tfgrpo.cli import options as o
from tfgrpo.config import LearnConfig
from tfgrpo.errors import NothingLearned, UsageError
from tfgrpo.studies import grade_file


def grade(
    grader: o.Grader,
    file: Annotated[
        Path | None, typer.Argument(help='JSONL with "answer" or "gold", and "response" or "pred".')
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the graded rows here.")] = None,
    selfcheck: Annotated[
        bool,
        typer.Option(
            "--selfcheck", help="Grade no file, but attacks and known pairs: how often is the grader taken in?"
        ),
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with configuration keys.")] = None,
    set_: o.Set = None,
    db: o.Db = None,
    prompts: o.Prompts = None,
    json_: o.Json = False,
) -> None:
    """Grade a file of answers: no model is needed for graders that compare.

    Each row comes back with `score` and `why`; rows with a boolean `equal` also give a confusion table. A judge needs
    a model: `-s grader.model=openai/NAME`, with `-s grader.base_url=URL` for an endpoint of your own.
    """
    settings = o.load_config("default", config, set_)
    if selfcheck:
        if file is not None or output is not None:
            raise UsageError("--selfcheck brings its own answers; leave the file and -o out")
        _selfcheck(grader, settings, db, prompts, json_)
        return
    if file is None:
        raise UsageError("no file named; give a .jsonl or .csv file of answers, or --selfcheck")
    rows, summary = asyncio.run(grade_file.grade_file(file, grader, settings, db, prompts))
    lines = [to_json(row) for row in rows]
    if output:
        o.write_text_file(output, "\n".join(lines))
    if json_:
        o.print_json(summary)
    else:
        _print(summary, "" if output else "\n".join(lines))
    if not summary["graded"]:
        raise NothingLearned(f"no row could be graded: {rows[0]['why']}")


def _selfcheck(grader: str, settings: LearnConfig, db: Path | None, prompts: Path | None, json_: bool) -> None:
    """Print how often the grader was taken in."""
    found, bill = asyncio.run(grade_file.measure_suspicion(grader, settings, db, prompts))
    told = {"grader": grader, "model": settings.grader.model or None, **found.summary(), **bill}
    if json_:
        o.print_json(told)
        return
    for name, (accepted, judged) in found.by_attack.items():
        typer.echo(f"{name:28s} accepted {accepted} of {judged}")
    right, wrong = found.right - found.right_refused, found.wrong_accepted
    typer.echo(f"{'right answers':28s} accepted {right} of {found.right}")
    typer.echo(f"{'wrong answers':28s} accepted {wrong} of {found.wrong}")
    low, high = told["ci"]
    said = f"{found.rate:.3f} [{low:.3f}, {high:.3f}], n={found.judged}" if found.judged else "nothing was judged"
    unscored = f"; {found.unscored} attacks unscored" if found.unscored else ""
    typer.echo(f"false-accept rate: {said}{unscored}")


def _print(s: Mapping[str, Any], lines: str) -> None:
    """Print the graded rows on stdout and the count on stderr."""
    if lines:
        typer.echo(lines)
    mean = f", {s['correct']} correct, mean {s['mean']:.3f}" if s["graded"] else ""
    typer.echo(f"{s['graded']} of {s['rows']} rows graded{mean}", err=True)
    if s.get("confusion"):
        typer.echo(f"against the labels: {s['confusion']}", err=True)
    if s.get("calls"):
        calls = ", ".join(f"{role} {n['new']} (+{n['replayed']} replayed)" for role, n in s["calls"].items())
        typer.echo(f"calls: {calls}", err=True)
