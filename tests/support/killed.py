"""Run the command line and kill it (SIGKILL) at the N-th call of a function, or count the calls.

    python -m support.killed FILE:FUNCTION N ARGUMENTS...      # kill
    python -m support.killed count OUT.json ARGUMENTS...       # count calls of all functions of the package

A profile hook sees every Python call, so nothing in the program is changed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGES = (f"{os.sep}tfgrpo{os.sep}", f"{os.sep}experience_db{os.sep}")


def killer(target: str, count: int) -> Any:
    """Return a profile hook that ends this process at the `count`-th call of `FILE:FUNCTION`."""
    file, _, function = target.partition(":")
    left = count

    def hook(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        code = frame.f_code
        if event == "call" and code.co_name == function and code.co_filename.endswith(file):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def counter(calls: Counter[str]) -> Any:
    """Return a profile hook that counts calls as `FILE:FUNCTION`, files named from the package on."""

    def hook(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and any(name in code.co_filename for name in PACKAGES):
            calls[f"{code.co_filename.rpartition('main' + os.sep)[2]}:{code.co_name}"] += 1

    return hook


def main() -> None:
    """Set the hook and become the command line."""
    target, number, *arguments = sys.argv[1:]
    from tfgrpo.cli.app import app

    sys.argv = ["tfgrpo", *arguments]
    if target != "count":
        sys.setprofile(killer(target, int(number)))
        app()
    calls: Counter[str] = Counter()
    sys.setprofile(counter(calls))
    try:
        app()
    finally:
        sys.setprofile(None)
        Path(number).write_text(json.dumps(calls), encoding="utf-8")


@contextmanager
def heard_hangups() -> Iterator[None]:
    """Undo `nohup` for the children that are started inside: that SIGHUP is ignored is inherited."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


if __name__ == "__main__":
    main()
