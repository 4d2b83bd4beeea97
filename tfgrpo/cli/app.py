"""The command tree, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from experience_db.errors import StoreError
from tfgrpo.cli import compare, datasets, evaluate, grade, learn, lessons, models, plugins, report, runs
from tfgrpo.cli.options import read_dotenv
from tfgrpo.errors import BudgetReached, TfgrpoError, UsageError
from tfgrpo.version import __version__

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    name="tfgrpo",
    help="Training-Free GRPO: the experience library whose every lesson carries its evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tfgrpo {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    read_dotenv()


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn errors into one sentence on stderr and the exit codes of the documentation."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            typer.echo("interrupted; the same command goes on from here", err=True)
            raise typer.Exit(130) from None
        except (TfgrpoError, StoreError) as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(exit_code(error)) from None

    return run


def exit_code(error: Exception) -> int:
    """Return 3 for a used-up budget, 2 for wrong usage or an unusable database, 1 for everything else."""
    if isinstance(error, BudgetReached):
        return 3
    return 2 if isinstance(error, UsageError | StoreError) else 1


app.command("learn")(guarded(learn.learn))
app.command("eval")(guarded(evaluate.evaluate))
app.command("compare")(guarded(compare.compare))
app.command("grade")(guarded(grade.grade))
app.command("report")(guarded(report.report))
app.command("plugins")(guarded(plugins.plugins))
for name, group, doc in (
    ("lessons", lessons.COMMANDS, "Read and edit the lessons of a library."),
    ("runs", runs.COMMANDS, "What was run, and how it ended."),
    ("models", models.COMMANDS, "The embedded model, and what an endpoint can do."),
    ("datasets", datasets.COMMANDS, "Named benchmark sets, and what a file holds."),
):
    sub = typer.Typer(help=doc, no_args_is_help=True)
    for verb, function in group.items():
        sub.command(verb)(guarded(function))
    app.add_typer(sub, name=name)

if __name__ == "__main__":
    sys.exit(app())
