"""`tfgrpo tasks`: candidates for tasks out of sessions, traces, issues or a README, for a person to accept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from experience_db.codec import to_json
from tfgrpo import config as configuration
from tfgrpo.cli import options as o
from tfgrpo.errors import UsageError
from tfgrpo.proving import tasks
from tfgrpo.system.redact import hide_secrets

File = Annotated[Path, typer.Argument(help="The file of candidates.")]


def from_(
    source: Annotated[Path, typer.Argument(help="Sessions, traces or results, issues as JSON, or a README.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write the candidates to.")],
    limit: Annotated[int | None, typer.Option(min=1, help="So many candidates at most.")] = None,
    json_: o.Json = False,
) -> None:
    """Propose candidates for tasks; none is used before a person has accepted it."""
    secrets = configuration.secrets()
    found = tasks.hide_keys(tasks.candidates(source), lambda text: hide_secrets(text, secrets))[:limit]
    if output.exists():
        raise UsageError(f"{output} is there already; name another file, so that no accepted task is lost")
    o.write_text_file(output, "\n".join(to_json(candidate.row()) for candidate in found))
    answered = sum(candidate.answer is not None for candidate in found)
    if json_:
        o.print_json({"candidates": len(found), "answered": answered, "file": str(output)})
        return
    typer.echo(f"{len(found)} candidates in {output}, {answered} with an answer that was found")
    typer.echo(f"read them, correct questions and answers, then: tfgrpo tasks accept {output} --ids ID,ID (or --all)")


def accept(
    file: File,
    ids: Annotated[str | None, typer.Option("--ids", help="Which, with commas between them.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All of them: you have read them.")] = False,
    json_: o.Json = False,
) -> None:
    """Accept candidates, so that `tfgrpo prove` may use them; without --ids or --all each one is shown and asked."""
    rows = _rows(file)
    if ids is not None and all_:
        raise UsageError("give --ids or --all, not both")
    chosen = None if all_ else [i.strip() for i in ids.split(",") if i.strip()] if ids is not None else _asked(rows)
    done = tasks.accept(rows, chosen)
    o.write_text_file(file, "\n".join(to_json(row) for row in done))
    accepted = sum(row["accepted"] for row in done)
    if json_:
        o.print_json({"accepted": accepted, "waiting": len(done) - accepted})
    else:
        typer.echo(f"{accepted} of {len(done)} tasks are accepted; the others wait, or are deleted from {file}")


def _rows(file: Path) -> tuple[dict[str, Any], ...]:
    if not file.is_file():
        raise UsageError(f"no file {file}; write one with `tfgrpo tasks from SOURCE -o {file}`")
    return tasks.load(file)


def _asked(rows: tuple[dict[str, Any], ...]) -> list[str]:
    """Show each waiting candidate and ask."""
    chosen = []
    for row in rows:
        if row.get("accepted") is True:
            continue
        typer.echo(f"\n{row.get('id')}  ({row.get('source')}; {row.get('reason')})\n{row['question']}")
        typer.echo(f"answer: {row.get('answer')}")
        if not row.get("answer"):
            typer.echo("no answer yet: write one into the file first")
        elif typer.confirm("accept", default=False):
            chosen.append(str(row.get("id")))
    return chosen


COMMANDS = {"from": from_, "accept": accept}
