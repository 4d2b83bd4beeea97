"""A progress bar for callers of the Python API: one line on a terminal, one element in a notebook, else nothing."""

from __future__ import annotations

import importlib
import sys
import time
from html import escape
from typing import Any

from tfgrpo.learning.run import Run

WIDTH = 24
"""Characters of the bar on a terminal."""
PAUSE = 0.2
"""Seconds between two drawings."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; imports nothing that is not there already."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class Bar:
    """Groups graded so far of all that a run has ahead of it."""

    def __init__(self, shown: bool | None = None) -> None:
        """`shown` None decides by where the output goes; True draws anyway, False never."""
        self._notebook = in_notebook()
        self._on = (self._notebook or sys.stderr.isatty()) if shown is None else shown
        self._run: Run | None = None
        self._handle: Any = None
        self._drawn = 0.0

    def start(self, run: Run) -> None:
        """Begin to follow a run."""
        self._run = run
        if self._on and run.progress is not None:
            run.progress.on_group = self._tick
            self._draw()

    def close(self) -> None:
        """Draw the end, and leave the line."""
        if self._on and self._run is not None:
            self._draw()
            if not self._notebook:
                print(file=sys.stderr)

    def _tick(self) -> None:
        if time.monotonic() - self._drawn >= PAUSE:
            self._draw()

    def _draw(self) -> None:
        assert self._run is not None
        self._drawn = time.monotonic()
        done = self._run.progress.groups.total() if self._run.progress else 0
        ahead = len(self._run.learning) * self._run.config.epochs
        share = min(1.0, done / ahead) if ahead else 1.0
        told = f"{done} of {ahead} groups, step {(self._run.progress.steps if self._run.progress else 0) + 1}"
        if not self._notebook:
            filled = round(share * WIDTH)
            print(f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {told} ", end="", file=sys.stderr, flush=True)
            return
        html = f"<progress value='{share:.3f}' max='1'></progress> {escape(self._run.name)}: {escape(told)}"
        display = importlib.import_module("IPython.display")
        if self._handle is None:
            self._handle = display.display(display.HTML(html), display_id=True)
        else:
            self._handle.update(display.HTML(html))
