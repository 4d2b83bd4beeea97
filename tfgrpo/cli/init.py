"""`tfgrpo init`: four questions, and a configuration that can be run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tfgrpo.cli import options as o
from tfgrpo.cli.datasets import proposed
from tfgrpo.datasets.proposal import Proposal
from tfgrpo.errors import UsageError
from tfgrpo.system.redact import without_secrets

FILE, GRADER = Path("tfgrpo.toml"), Path("grader.py")
OWN = """\"\"\"A grader of your own: what an answer is worth, from 0 to 1.\"\"\"

import tfgrpo


def grade(problem: tfgrpo.Problem, rollout: tfgrpo.Rollout) -> tfgrpo.Score:
    \"\"\"Give 1 where the reference is in the answer; the words go to the model that writes lessons.\"\"\"
    right = (problem.answer or "").lower() in rollout.answer.lower()
    return tfgrpo.Score(1.0 if right else 0.0, "names it" if right else f"does not name {problem.answer!r}")
"""


def init(
    dataset: Annotated[str | None, typer.Argument(help="File of your own; asked for where it is left out.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="As in learn.")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="As in learn.")] = None,
    grader: Annotated[str | None, typer.Option("--grader", help="As in learn, or `own` for one to write.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take what the file suggests.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Ask four questions (what, where, which model, how graded), write tfgrpo.toml, and say the next command."""
    dataset = dataset or _asked("What should be learned from (a file with questions and answers)?", "data.csv", yes)
    found = proposed(dataset)
    typer.echo(f"{dataset}: {found.why}", err=True)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    if base_url is None and model is None:
        said = "Where does the model run (URL of an OpenAI-compatible endpoint; empty: the provider's own)?"
        base_url = _asked(said, "", yes)
    model = model or _asked("Which model?", "openai/NAME" if base_url else "tiny", yes)
    grader = grader or _asked("How is an answer graded (own: a function that you write)?", found.grader, yes)
    own = grader == "own"
    write_new_file(FILE, toml(found, dataset), force)
    if own:
        write_new_file(GRADER, OWN, force)
    typer.echo(f"wrote {FILE}{f' and {GRADER}' if own else ''}; see what would be sent and what it takes:", err=True)
    typer.echo(next_command(dataset, found, "grader:grade" if own else grader, model, base_url or ""))


def _asked(question: str, default: str, yes: bool) -> str:
    return default if yes else str(typer.prompt(question, default=default, err=True)).strip()


def write_new_file(file: Path, text: str, force: bool) -> None:
    """Write a file that is not there yet; raises UsageError where it is and may not be replaced."""
    if file.exists() and not force:
        raise UsageError(f"{file} is there already; use it, or replace it with --force")
    o.write_text_file(file, text.rstrip("\n"))


def toml(found: Proposal, dataset: str) -> str:
    """Return a configuration with comments, as far as the file says something about it."""
    told = found.instructions.replace("\\", "\\\\").replace('"', '\\"')
    return f"""# How to learn from {dataset}. Options of the command line win over this file; `-s key=value` over both.

# What the model is told besides the problem; lessons come after it.
instructions = "{told}"
# Part of the rows that lessons are tested on, or a file of its own; the rest is learned from.
heldout = "{found.heldout}"
epochs = 3
batch_size = 50

[rollout]
# Attempts at each problem: where they differ there is something to learn.
group_size = 5
# max_tokens = 1024

[gate]
# paired: a lesson has to prove itself on held-out problems. open: every lesson goes in.
kind = "paired"

[budget]
# Hard limits; the run ends cleanly and goes on with a larger one.
# usd = 1.0
# calls = 5000
"""


def next_command(dataset: str, found: Proposal, grader: str, model: str, base_url: str) -> str:
    """Return the command that runs the configuration, first without asking anybody."""
    words = ["tfgrpo", "learn", dataset, "--config", str(FILE), *_fields(found), "--grader", grader, "--model", model]
    if grader == "judge":
        words += ["-s", f"grader.model={model}"]
    return shlex.join([*words, *(["--base-url", without_secrets(base_url)] if base_url else []), "--dry-run"])


def _fields(found: Proposal) -> Sequence[str]:
    return [word for key, column in found.fields.items() for word in ("--field", f"{key}={column}")]
