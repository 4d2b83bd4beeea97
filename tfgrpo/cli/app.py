"""The command tree, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import functools
import logging
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from tfgrpo.cli.command_table import COMMANDS, GROUPS
from tfgrpo.cli.lazy_commands import LOOKS, lazy_group
from tfgrpo.version import __version__

P = ParamSpec("P")
R = TypeVar("R")


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn errors into one sentence on stderr and the exit codes of the documentation."""
    from experience_db.errors import StoreError
    from tfgrpo.errors import TfgrpoError
    from tfgrpo.system.signals import ended_like_interrupts

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with ended_like_interrupts():
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
    cls=lazy_group(COMMANDS, guarded, GROUPS),
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
