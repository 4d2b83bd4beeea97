"""Requests and tokens per minute, as providers count them: what started within the last sixty seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tfgrpo.errors import UsageError

MINUTE = 60.0


@dataclass(slots=True)
class CountedCall:
    """One call within the window."""

    at: float
    tokens: int
    """What it was thought to take, until `MinuteWindow.settle` knows better."""


class MinuteWindow:
    """A sliding window over calls and their tokens."""

    def __init__(self, calls: int | None, tokens: int | None, clock: Callable[[], float]) -> None:
        """Set the limits; None sets none.

        Raises:
            UsageError: a limit below 1.
        """
        if (calls is not None and calls < 1) or (tokens is not None and tokens < 1):
            raise UsageError("calls and tokens per minute must be at least 1")
        self._calls = calls
        self._tokens = tokens
        self._clock = clock
        self._turns: deque[CountedCall] = deque()
        self._used = 0

    def wait(self, tokens: int) -> float:
        """Return the seconds until a call of so many tokens may look again; 0 when it may start.

        A call that is larger than the limit starts when nothing else is in the window, else it never would.
        """
        now = self._clock()
        while self._turns and self._turns[0].at <= now - MINUTE:
            self._used -= self._turns.popleft().tokens
        many = self._calls is not None and len(self._turns) >= self._calls
        much = self._tokens is not None and self._used + tokens > self._tokens
        return self._turns[0].at + MINUTE - now if self._turns and (many or much) else 0.0

    def enter(self, tokens: int) -> CountedCall:
        """Count a call that starts now."""
        turn = CountedCall(self._clock(), tokens)
        if self._calls is not None or self._tokens is not None:
            self._turns.append(turn)
            self._used += tokens
        return turn

    def settle(self, turn: CountedCall, tokens: int) -> None:
        """Replace what a call was thought to take by what it took."""
        if self._turns and turn.at >= self._turns[0].at:
            self._used += tokens - turn.tokens
        turn.tokens = tokens
