"""The signals that ask a process to end, a closed terminal among them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_stop(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in the running loop for SIGINT, SIGTERM and SIGHUP while the block runs.

    SIGHUP stays ignored where it is ignored already (`nohup`). Outside of the main thread nothing is listened to.
    """
    loop, mine = asyncio.get_running_loop(), []

    def hung_up() -> None:
        let_go_of_terminal()
        stop()

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            loop.add_signal_handler(number, hung_up if number is signal.SIGHUP else stop)
            mine.append(number)
    try:
        yield
    finally:
        for number in mine:
            loop.remove_signal_handler(number)


def let_go_of_terminal() -> None:
    """Send to nowhere what would be written to a terminal that is gone, so that saying goodbye cannot fail."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
