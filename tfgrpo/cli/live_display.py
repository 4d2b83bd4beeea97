"""The live display of a run on a terminal: what it has done, what it is doing, what it costs and when it will end."""

from __future__ import annotations

import os
import sys
from textwrap import shorten
from typing import TYPE_CHECKING

from tfgrpo.cli.progress_lines import ProgressLines
from tfgrpo.cli.terminal_output import printable, terminal
from tfgrpo.learning.run import Run
from tfgrpo.types import Step

if TYPE_CHECKING:
    from rich.console import RenderableType

NEWEST = 3
"""Lessons shown."""


def progress_display(*, quiet: bool) -> ProgressLines:
    """Return the display that fits where stderr goes: live on a terminal, else plain lines."""
    if quiet or not terminal(sys.stderr).isatty():
        return ProgressLines(quiet=quiet)
    # 0 is a terminal that does not say.
    narrow = 0 < os.get_terminal_size(sys.stderr.fileno()).columns < 40
    return ProgressLines() if narrow else LiveDisplay()


class LiveDisplay(ProgressLines):
    """Lines as they come, and under them a few that are always up to date; NO_COLOR is rich's own business."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self._lessons: list[str] = []
        self._console = Console(file=terminal(sys.stderr))
        self._live = Live(get_renderable=self._shown, console=self._console, refresh_per_second=4, transient=True)

    def start(self, run: Run) -> None:
        """Say what is about to happen, and begin to show it."""
        super().start(run)
        if not self._console.is_dumb_terminal:
            self._live.start()

    def step(self, step: Step) -> None:
        """Report one committed step, and keep the lessons it brought."""
        super().step(step)
        new = [e.text for v in step.verdicts if v.decision == "accepted" for e in v.edits if e.text]
        self._lessons = (self._lessons + new)[-NEWEST:]

    def close(self) -> None:
        """Take the moving part away; the lines stay."""
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a line above the moving part."""
        self._console.print(printable(self.timed(text)), markup=False, highlight=False)

    def _shown(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for name, value in self.facts():
            # Wrapped at blanks: a cut could end within a number.
            table.add_row(Text(name, style="dim"), Text(printable(value)))
        for text in self._lessons:
            room = max(20, self._console.width - len("new lesson") - 2)
            shown = shorten(printable(text), room, placeholder=" ...")
            table.add_row(Text("new lesson", style="dim"), Text(shown, no_wrap=True))
        return table
