"""What asks a process to end, ends it in order, and what was told to be ignored stays ignored."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tfgrpo.system.signals import ended_after, ended_like_interrupts, on_stop


@pytest.fixture
def hangup() -> Iterator[None]:
    """Put the handler of SIGHUP back afterwards."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
def test_a_closed_terminal_interrupts_unless_nohup_said_otherwise():
    """A server that was started by `nohup` outlives its terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ended_like_interrupts():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with pytest.raises(KeyboardInterrupt), ended_like_interrupts():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


async def test_listeners_may_end_in_any_order():
    """What a run waits for ends before the command stops to listen: it still listens, and leaves no handler behind."""
    numbers, stopped = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP), []
    before = [signal.getsignal(number) for number in numbers]
    with ended_like_interrupts(), ExitStack() as listening:
        with ended_after(lambda over: over(), print):
            listening.enter_context(on_stop(lambda: stopped.append(True)))
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0.01)
    assert stopped == [True]
    assert [signal.getsignal(number) for number in numbers] == before
