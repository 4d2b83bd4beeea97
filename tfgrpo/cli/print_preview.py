"""`learn --dry-run` for a person: the first prompts, then the price."""

from __future__ import annotations

import typer

from tfgrpo.learning.forecast import Part
from tfgrpo.lessons.scanners import visible
from tfgrpo.studies.preview import Preview


def print_preview(found: Preview) -> None:
    """Print what the model would see, and what the run would take, low to high."""
    for number, prompt in enumerate(found.prompts, 1):
        typer.echo(f"--- rollout {number}, as the model sees it")
        for message in prompt:
            typer.echo(f"[{message.get('role')}]\n{visible(str(message.get('content') or ''))}\n")
    if not found.prompts:
        typer.echo("the agent writes its prompts itself; it gets the problem and the lessons")
    typer.echo(f"--- {found.learning} problems to learn from, {found.heldout} held out")
    typer.echo(f"{'':12}{'calls':>22}{'prompt tokens':>26}{'completion tokens':>26}")
    for part in found.forecast.parts:
        typer.echo(_row(part))
    calls = tuple(float(found.forecast.calls(i)) for i in range(3))
    typer.echo(f"{'in all':12}{_span(calls):>22}")
    money = "price unknown" if found.usd is None else " to ".join(f"{usd:.2f}" for usd in found.usd[::2]) + " USD"
    low, likely, high = found.minutes
    typer.echo(
        f"money: {money}; time: {low:.1f} to {high:.0f} minutes, likely {likely:.1f}, as fast as the model answers"
    )
    for note in found.notes:
        typer.echo(f"note: {note}")
    typer.echo("nothing was asked and nothing written; the same command without --dry-run begins")


def _row(part: Part) -> str:
    return f"{part.name:12}{_span(part.calls):>22}{_span(part.prompt_tokens):>26}{_span(part.completion_tokens):>26}"


def _span(values: tuple[float, ...]) -> str:
    low, likely, high = (f"{round(value):,}" for value in values)
    return likely if low == high else f"{low} to {high}"
