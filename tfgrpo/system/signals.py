"""The signals that ask a process to end, a closed terminal among them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

Handlers = dict[signal.Signals, Any]
Hold = Callable[[Callable[[], None]], None]
"""Begins to wait for something, and calls what it is given when that is over."""


class _Command:
    """What the command line that this process runs does when it is asked to end."""

    holds: list[Hold] | None = None
    """Waited for before the first request to end is followed; None where nobody listens."""
    let_go: Callable[[], None] = staticmethod(lambda: None)
    """Stops listening for `holds`."""


@contextmanager
def on_stop(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in the running loop for SIGINT, SIGTERM and SIGHUP while the block runs.

    SIGHUP stays ignored where it is ignored already (`nohup`). Outside of the main thread nothing is listened to.
    """
    import asyncio  # noqa: PLC0415  (0.1 s, and many commands have no loop)

    loop, before = asyncio.get_running_loop(), Handlers()
    # Of two that listen either may end first, so that neither may keep the other's handler to give it back.
    _Command.let_go()

    def hung_up() -> None:
        let_go_of_terminal()
        stop()

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            handler = signal.getsignal(number)
            if number is signal.SIGHUP and handler is signal.SIG_IGN:
                continue
            loop.add_signal_handler(number, hung_up if number is signal.SIGHUP else stop)
            before[number] = handler
    holds, _Command.holds = _Command.holds, None
    try:
        yield
    finally:
        _Command.holds = holds
        _give_back(loop, before)


@contextmanager
def ended_after(hold: Hold, say: Callable[[str], None]) -> Iterator[None]:
    """In a command the first request to end waits for `hold`, and the second does not; `say` tells so.

    For calls that are under way: what they will have cost, they shall have brought. Outside of `ended_like_interrupts`
    and within `on_stop` nothing is changed.
    """
    import asyncio  # noqa: PLC0415

    holds = _Command.holds
    if holds is None:
        yield
        return
    loop, before, waiting = asyncio.get_running_loop(), Handlers(), list[Hold]()

    def over() -> None:
        waiting.pop()
        if not waiting:
            signal.raise_signal(signal.SIGINT)

    def asked(number: signal.Signals) -> None:
        _give_back(loop, before)
        if number is signal.SIGHUP:
            let_go_of_terminal()
        say("interrupted: calls in flight may end; interrupt again to stop now")
        waiting.extend(holds)
        for each in tuple(waiting):
            each(over)

    holds.append(hold)
    if len(holds) == 1:
        _Command.let_go = partial(_give_back, loop, before)
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                handler = signal.getsignal(number)
                if handler is not signal.SIG_IGN:
                    loop.add_signal_handler(number, asked, number)
                    before[number] = handler
    try:
        yield
    finally:
        holds.remove(hold)
        _give_back(loop, before)


def _give_back(loop: Any, before: Handlers) -> None:
    while before:
        number, handler = before.popitem()
        loop.remove_signal_handler(number)
        signal.signal(number, handler)


@contextmanager
def ended_like_interrupts() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP do what Ctrl-C does, so that what was begun is ended in order.

    SIGHUP stays ignored where it is ignored already (`nohup`).
    """
    before = Handlers()
    holds, _Command.holds = _Command.holds, []
    with contextlib.suppress(ValueError):  # outside of the main thread nothing is listened to
        for number in (signal.SIGTERM, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _interrupt)
    try:
        yield
    finally:
        _Command.holds = holds
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do what SIGINT would do: cancel what a loop runs, else raise KeyboardInterrupt."""
    if number == signal.SIGHUP:
        let_go_of_terminal()
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt  # SIGINT is ignored in the background of a script; SIGTERM is not
    handler(signal.SIGINT, frame)


def let_go_of_terminal() -> None:
    """Send to nowhere what would be written to a terminal that is gone, so that saying goodbye cannot fail."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
