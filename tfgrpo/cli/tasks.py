"""`tfgrpo tasks`: candidates for tasks out of sessions, traces, issues or a README, for a person to accept."""

from __future__ import annotations

from collections import Counter
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
    checks = Counter(candidate.check for candidate in found if candidate.check)
    if checks:
        told = ", ".join(f"{n} {check}" for check, n in checks.most_common())
        typer.echo(f"graders that fit: {told}; a proof takes one grader for all of its tasks")
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
    if all_ or ids is not None:
        chosen = None if all_ or ids is None else [i.strip() for i in ids.split(",") if i.strip()]
    else:
        rows, chosen = _asked(rows)
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


def _asked(rows: tuple[dict[str, Any], ...]) -> tuple[tuple[dict[str, Any], ...], list[str]]:
    """Show each waiting candidate and ask; return the rows with the answers that were given, and which are accepted.

    Whoever stops in the middle, by `q`, Ctrl-C or the end of the input, keeps what was accepted before.
    """
    changed, chosen = {str(row.get("id")): row for row in rows}, list[str]()
    waiting = [(name, row) for name, row in changed.items() if row.get("accepted") is not True]
    try:
        for place, (name, row) in enumerate(waiting, 1):
            about = f"{row.get('source')}; {row.get('reason')}"
            typer.echo(f"\n{place} of {len(waiting)}: {name}  ({about})\n{row['question']}")
            known = row.get("answer") not in (None, "")
            typer.echo(f"answer: {row.get('answer')}" if known else "no answer yet")
            said = (
                typer.prompt(f"{'[y]es, ' if known else ''}[n]ot, another [a]nswer, [q]uit", default="n")
                .strip()
                .lower()
            )
            if said.startswith("q"):
                break
            if said.startswith("a"):
                answer = typer.prompt("answer").strip()
                changed[name] = {**row, "answer": answer, "check": tasks.check_of(answer)}
                chosen.append(name)
            elif known and said.startswith("y"):
                chosen.append(name)
    except typer.Abort:
        typer.echo("\nstopped; what was accepted before is kept")
    return tuple(changed.values()), chosen
