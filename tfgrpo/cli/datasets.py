"""`tfgrpo datasets`: named benchmark sets, what a file holds, and how to learn from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tfgrpo import config as configuration
from tfgrpo import datasets as sets
from tfgrpo.cli import options as o
from tfgrpo.datasets.named import NAMED_SETS, NamedSet
from tfgrpo.datasets.proposal import Proposal, propose
from tfgrpo.datasets.rows import file_rows
from tfgrpo.errors import UsageError
from tfgrpo.types import Problem


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
    dataset: Annotated[str, typer.Argument(help="File or folder, -, hf:owner/name[:split], or a named set.")],
    field: o.Field = None,
    rows: Annotated[int, typer.Option(min=0, help="How many problems to print.")] = 3,
    json_: o.Json = False,
) -> None:
    """Check a dataset, show its first problems, and propose how to learn from it, as a command.

    The proposal names the columns, a grader, instructions and what to hold out; it only looks at the file.
    """
    given = o.field_mapping(field)
    named = NAMED_SETS.get(dataset)
    proposal = None if named or dataset.startswith("hf:") else proposed(dataset)
    mapped = {**(proposal.fields if proposal else {}), **given}
    problems = sets.problems_from(dataset, mapped, configuration.data_folder())
    answers, words = sets.marks(problems)
    hashes = {"content": sets.content_hash(problems), "answers": answers, "words": words}
    if json_:
        first = [{"id": p.id, "question": p.question, "answer": p.answer} for p in problems[:rows]]
        told = (_told(named) if named else {}) | ({"proposal": _proposed(proposal, dataset)} if proposal else {})
        answered = sum(p.answer is not None for p in problems)
        o.print_json(
            {"dataset": dataset, "problems": len(problems), "answered": answered, **hashes, **told, "first": first}
        )
        return
    _print_problems(dataset, problems, rows)
    if named:
        local = sets.local_copy(named, configuration.data_folder())
        typer.echo(f"  {named.about}; grader {named.grader}; {f'local copy {local}' if local else named.address}")
        typer.echo(f"  content {hashes['content']}, answers {answers}, words {words}")
    if proposal:
        _print_proposal(dataset, proposal)


def proposed(dataset: str) -> Proposal:
    """Look at the rows of a file and return how to learn from it; raises UsageError where it holds none."""
    found = [row for _, row in file_rows(Path(dataset), f"one of {', '.join(sorted(NAMED_SETS))}")]
    if not found:
        raise UsageError(f"{dataset} holds no rows; expected one problem a line")
    return propose(found)


def _print_problems(dataset: str, problems: tuple[Problem, ...], rows: int) -> None:
    answered = sum(p.answer is not None for p in problems)
    typer.echo(f"{dataset}: {len(problems)} problems, {answered} with a reference answer")
    for problem in problems[:rows]:
        typer.echo(f"  {problem.id}: {' '.join(problem.question.split())[:100]} -> {problem.answer}")


def _print_proposal(dataset: str, proposal: Proposal) -> None:
    typer.echo(f"\ngrader {proposal.grader}: {proposal.why}")
    for note in proposal.notes:
        typer.echo(f"note: {note}")
    typer.echo("\nlearn from it (add --dry-run to see the prompts and the price first):")
    more = ("-s", "grader.model=openai/JUDGE") if proposal.grader == "judge" else ()
    typer.echo(f"  {proposal.command(dataset, 'openai/NAME', *more)}")
    if configuration.environment("OPENAI_API_KEY") is None and configuration.environment("OPENAI_BASE_URL") is None:
        typer.echo(
            "openai/NAME needs a key: export OPENAI_API_KEY=...; or add --base-url of an endpoint of your own, or take "
            "a model without a key: tfgrpo models list"
        )


def _proposed(proposal: Proposal, dataset: str) -> dict[str, Any]:
    return {
        "fields": dict(proposal.fields),
        "grader": proposal.grader,
        "why": proposal.why,
        "instructions": proposal.instructions,
        "heldout": proposal.heldout,
        "labels": list(proposal.labels),
        "notes": list(proposal.notes),
        "command": proposal.command(dataset),
    }


def _told(named: NamedSet) -> dict[str, object]:
    return {"about": named.about, "rows": named.rows, "grader": named.grader, "hub": named.address}
