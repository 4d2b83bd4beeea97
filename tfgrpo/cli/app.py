"""The command tree, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import functools
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

import typer

from tfgrpo.cli.lazy_commands import LOOKS, lazy_group
from tfgrpo.version import __version__

P = ParamSpec("P")
R = TypeVar("R")

COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": (
        "tfgrpo.cli.init:init",
        "Ask four questions (what, where, which model, how graded), write tfgrpo.toml, and say the next command.",
    ),
    "learn": (
        "tfgrpo.cli.learn:learn",
        "Distil lessons from a dataset into a library, prove them on held-out problems, and say what it cost.",
    ),
    "eval": (
        "tfgrpo.cli.evaluate:evaluate",
        "Measure mean@k with its interval, pass@k and pass^k of a library on a dataset.",
    ),
    "compare": (
        "tfgrpo.cli.compare:compare",
        "Learn with several methods and seeds at equal budget, and say which differences exceed the noise.",
    ),
    "prove": (
        "tfgrpo.cli.prove:prove",
        "Say whether a text helps: with against without, on the same problems and seeds, until it is clear.",
    ),
    "grade": ("tfgrpo.cli.grade:grade", "Grade a file of answers: no model is needed for graders that compare."),
    "reproduce": (
        "tfgrpo.cli.reproduce:reproduce",
        "Run a pinned recipe: its price before, and after it a verdict: inside, outside, or too few problems to tell.",
    ),
    "report": (
        "tfgrpo.cli.report:report",
        "Write a run as one self-contained page: result, lessons with their evidence, rollouts, cost.",
    ),
    "ui": (
        "tfgrpo.cli.ui:ui",
        "Show libraries, lessons, runs and what waits for review as pages in a browser, and follow runs as they go on.",
    ),
    "plugins": (
        "tfgrpo.cli.plugins:plugins",
        "List graders, gates, environments, tools, presets and the rules of searches, built-in and installed.",
    ),
    "lessons": ("tfgrpo.cli.lessons:COMMANDS", "Read and edit the lessons of a library."),
    "libraries": ("tfgrpo.cli.libraries:COMMANDS", "What has been learned, library by library."),
    "watch": (
        "tfgrpo.cli.watch:watch",
        "Follow a run of another process: its steps as they end, its calls, and how it ends.",
    ),
    "runs": ("tfgrpo.cli.runs:COMMANDS", "What was run, and how it ended."),
    "db": ("tfgrpo.cli.db:COMMANDS", "Whether a database is whole, a copy of it, and the room it takes."),
    "models": ("tfgrpo.cli.models:COMMANDS", "The embedded model, and what an endpoint can do."),
    "tools": ("tfgrpo.cli.tools:COMMANDS", "What a rollout may call, and any of it by hand."),
    "tasks": ("tfgrpo.cli.tasks:COMMANDS", "Candidates for tasks out of what is there, for a person to accept."),
    "datasets": ("tfgrpo.cli.datasets:COMMANDS", "Named benchmark sets, and what a file holds."),
    "proxy": (
        "tfgrpo.cli.proxy:proxy",
        "Pass requests on to a model's API with a library's lessons in them, and answers back as they come.",
    ),
    "mcp": (
        "tfgrpo.cli.mcp:mcp",
        "Serve a library to agents over MCP: lessons as resources, the block as a prompt, and tools to search and "
        "report.",
    ),
    "corpus": ("tfgrpo.cli.corpus:COMMANDS", "A file of pages as a small web of its own."),
}
"""Name -> (`module:function`, or `module:COMMANDS` for a group; the first line of its help). A module here is imported
when its command is used, so it may import at its top whatever it needs."""


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn errors into one sentence on stderr and the exit codes of the documentation."""
    from experience_db.errors import StoreError
    from tfgrpo.errors import TfgrpoError

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            typer.echo("interrupted; the same command goes on from here", err=True)
            raise typer.Exit(130) from None
        except (TfgrpoError, StoreError) as error:
            typer.echo(f"error: {without_keys(str(error))}", err=True)
            raise typer.Exit(exit_code(error)) from None
        except Exception:
            told = traceback.format_exc()
            if (safe := without_keys(told)) == told:
                raise
            typer.echo(safe, err=True)
            raise typer.Exit(1) from None

    return run


def without_keys(text: str) -> str:
    """Return what may be shown of a message or a traceback."""
    from tfgrpo import config as configuration
    from tfgrpo.system.redact import without_secrets

    return without_secrets(text, configuration.secrets())


class _Quiet(logging.Formatter):
    """Writes log records, what they were caused by included, without keys."""

    def format(self, record: logging.LogRecord) -> str:
        return without_keys(super().format(record))


def exit_code(error: Exception) -> int:
    """Return 3 for a used-up budget, 2 for wrong usage or an unusable database, 1 for everything else.

    A database that was taken away from a run was usable when it began: that is 1.
    """
    from experience_db.errors import StoreError, StoreGone
    from tfgrpo.errors import BudgetReached, UsageError

    if isinstance(error, BudgetReached):
        return 3
    return 2 if isinstance(error, UsageError | StoreError) and not isinstance(error, StoreGone) else 1


app = typer.Typer(
    name="tfgrpo",
    help="Training-Free GRPO: the experience library whose every lesson carries its evidence.",
    cls=lazy_group(COMMANDS, guarded),
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    **{**LOOKS, "add_completion": True},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tfgrpo {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    from tfgrpo.cli.options import read_dotenv

    read_dotenv()
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Quiet())


if __name__ == "__main__":
    sys.exit(app())
