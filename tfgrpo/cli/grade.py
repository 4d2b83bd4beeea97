"""`tfgrpo grade`: grade answers that are already there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from experience_db.codec import to_json
from tfgrpo import api
from tfgrpo.cli import options as o
from tfgrpo.errors import NothingLearned


def grade(
    file: Annotated[Path, typer.Argument(help='JSONL with "answer" or "gold", and "response" or "pred".')],
    grader: o.Grader,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the graded rows here.")] = None,
    json_: o.Json = False,
) -> None:
    """Grade a file of answers: no model is needed for graders that compare.

    Each row comes back with `score` and `why`; rows with a boolean `equal` also give a confusion table.
    """
    rows, summary = asyncio.run(api.grade_file(file, grader))
    lines = [to_json(row) for row in rows]
    if output:
        o.write(output, "\n".join(lines))
    if json_:
        o.print_json(summary)
    else:
        _print(summary, "" if output else "\n".join(lines))
    if not summary["graded"]:
        raise NothingLearned(f"no row could be graded: {rows[0]['why']}")


def _print(s: Mapping[str, Any], lines: str) -> None:
    """Print the graded rows on stdout and the count on stderr."""
    if lines:
        typer.echo(lines)
    mean = f", {s['correct']} correct, mean {s['mean']:.3f}" if s["graded"] else ""
    typer.echo(f"{s['graded']} of {s['rows']} rows graded{mean}", err=True)
    if s.get("confusion"):
        typer.echo(f"against the labels: {s['confusion']}", err=True)
