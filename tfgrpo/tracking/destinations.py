"""Where a run can be sent, by name; what ended, or what goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from experience_db import Run, Store
from tfgrpo.errors import UsageError

NAMES = ("otel", "mlflow", "wandb")
PAUSE = 2.0
"""Seconds between two looks at a run that goes on."""


class Destination(Protocol):
    """A run in another tool. It is told of each step once, and at last how the run ended."""

    def update(self, store: Store, run: Run) -> int:
        """Send the steps that have ended since; returns how many."""
        ...

    def close(self, store: Store, run: Run) -> str:
        """Send the rest; returns what was sent and where, in words."""
        ...


def opened(store: Store, run: Run, to: str, *, where: str = "", content: bool = False) -> Destination:
    """Begin to send a run to a tool, or go on with it.

    Raises:
        UsageError: no such tool, or its package is not installed.
    """
    if to not in NAMES:
        raise UsageError(f"--to is one of {', '.join(NAMES)}, not {to!r}")
    try:
        if to == "otel":
            from tfgrpo.tracking.otel import OtlpRun  # noqa: PLC0415  an extra

            return OtlpRun(store, run, where, content=content)
        if to == "mlflow":
            from tfgrpo.tracking.mlflow import MlflowRun  # noqa: PLC0415  an extra

            return MlflowRun(store, run, where)
        from tfgrpo.tracking.wandb import WandbRun  # noqa: PLC0415  an extra

        return WandbRun(store, run, where)
    except ImportError as error:
        raise UsageError(f"--to {to} needs a package: pip install 'tfgrpo[{to}]' ({error})") from error


def send(store: Store, run: Run, to: str, *, where: str = "", content: bool = False) -> str:
    """Send a run to a tool; returns what was sent, in words.

    Args:
        store: where the run is.
        run: a finished one, or one that goes on, of which what is stored is sent.
        to: one of NAMES.
        where: `otel`: URL of a collector that takes OTLP over HTTP; `mlflow`: tracking URI; `wandb`: project. Empty
            leaves it to the tool's own settings.
        content: `otel`: also prompts, answers and what graders said, which may hold what users wrote.

    Raises:
        UsageError: no such tool, or its package is not installed.
    """
    tool = opened(store, run, to, where=where, content=content)
    tool.update(store, run)
    return tool.close(store, run)


def follow(
    db: Path, run: str, to: str, *, where: str = "", content: bool = False, said: Callable[[str], None] = lambda _: None
) -> str:
    """Send a run to a tool while another process is at it: each step when it has ended, the rest when the run has.

    The database is opened anew for each look, so that the run is never held up. Ctrl-C sends what there is.

    Args:
        db: where the run is.
        run: its id.
        to: one of NAMES; `where` and `content` are those of `send`.
        where: see `send`.
        content: see `send`.
        said: gets a line for each look that found something.

    Returns:
        What was sent, in words.

    Raises:
        UsageError: no such tool, or its package is not installed.
    """
    with Store.open(db, readonly=True) as store:
        tool = opened(store, store.with_current_status(store.run(run)), to, where=where, content=content)
    seen, goes_on = 0, True
    try:
        while goes_on:
            with Store.open(db, readonly=True) as store:
                # The status first: what a run that had ended by then has stored is all there is.
                found = store.with_current_status(store.run(run))
                goes_on = found.status == "running"
                if steps := tool.update(store, found):
                    seen += steps
                    said(f"{seen} steps sent")
            if goes_on:
                time.sleep(PAUSE)
    except KeyboardInterrupt:
        pass
    with Store.open(db, readonly=True) as store:
        return tool.close(store, store.with_current_status(store.run(run)))
