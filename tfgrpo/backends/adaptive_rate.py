"""How fast one endpoint is asked: fewer calls at once when it is overloaded, and more again when it answers.

The cut is in proportion to the share of recent calls that met overload (as in DCTCP, Alizadeh et al. 2010): where all
do, concurrency halves; a refusal now and then, which says little about load, costs a few per cent.

One Pace is shared by all roles that talk to the same endpoint: a Retry-After pauses every one of them, and an endpoint
found dead is not asked again for a while. A Retry-After of hours pauses nobody: such an endpoint is of no use for now.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from tfgrpo.backends.rate_window import CountedCall, MinuteWindow
from tfgrpo.backends.retry_policy import LONGEST_PAUSE, Crowded, Transient, Unreachable
from tfgrpo.errors import EndpointError, UsageError

OVERLOADED = {429, 503, 529}
RECENT = 16
"""The share of overload is an exponential mean over about so many calls."""
RARE = 0.1
"""Up to this share of overload the width grows by a quarter per round of answers, above it by one."""


class Pace:
    """Slots for one endpoint, handed out in the order of asking."""

    def __init__(
        self,
        concurrency: int = 64,
        *,
        per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        dead_after: int = 8,
        dead_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Start with all slots open.

        Args:
            concurrency: calls at once, at most.
            per_minute: calls that may start within any minute; None for no such limit.
            tokens_per_minute: tokens they may take together; a call counts by estimate until it has ended.
            dead_after: so many connections refused in a row close the endpoint, as one EndpointError does.
            dead_seconds: how long it then stays closed.
            clock: seconds, for tests.
            sleep: how waiting is done, for tests.

        Raises:
            UsageError: a limit below 1.
        """
        if concurrency < 1:
            raise UsageError("concurrency must be at least 1")
        self.width = float(concurrency)
        """Calls allowed at once now, between 1 and the concurrency asked for."""
        self.in_flight = 0
        self._widest = concurrency
        self._minute = MinuteWindow(per_minute, tokens_per_minute, clock)
        self._dead_after = dead_after
        self._dead_seconds = dead_seconds
        self._clock = clock
        self._sleep = sleep
        self._free_at = 0.0
        self._dead_until = 0.0
        self._epitaph = ""
        self._may_return = False
        self._has_answered = False
        self._unreachable = 0
        self._cut_at = -1.0
        # Nothing is known yet, so the first refusal counts in full.
        self._overload = 1.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def load(self) -> float:
        """Calls under way and waiting, as a share of those allowed at once."""
        return (self.in_flight + len(self._waiting)) / max(1, int(self.width))

    @property
    def closed(self) -> bool:
        """Whether the endpoint was found dead a moment ago."""
        return self._clock() < self._dead_until

    def set_aside(self, why: str) -> None:
        """Close the endpoint for a while; calls that wait for it end with `why`."""
        self._dead_until, self._epitaph, self._may_return = self._clock() + self._dead_seconds, why, True

    def reopen(self) -> bool:
        """Let calls in again where the endpoint was away or not well; says whether it was. A refusal stays one."""
        if not (self.closed and self._may_return):
            return False
        self._dead_until, self._unreachable = 0.0, 0
        return True

    @asynccontextmanager
    async def slot(self, tokens: int = 0) -> AsyncIterator[Callable[[int], None]]:
        """Hold one slot while a call runs; what the call raises sets the pace.

        Args:
            tokens: what the call may take; call what this yields with what it did take.

        Raises:
            EndpointError: the endpoint was found dead a moment ago.
        """
        await self._take()
        started = self._clock()
        try:
            turn = await self._pause(tokens)
            self._check_alive()
            started = self._clock()
            yield partial(self._minute.settle, turn)
        except (Transient, EndpointError) as error:
            told = self._unless_too_long(error)
            self._note(told, started)
            if told is error:
                raise
            raise told from None
        else:
            self._unreachable, self._has_answered = 0, True
            self._overload -= self._overload / RECENT
            growth = 0.25 if self._overload < RARE else 0.0
            self.width = min(self._widest, self.width + max(growth, 1 / self.width))
        finally:
            self.in_flight -= 1
            self._wake()

    async def _take(self) -> None:
        if self.in_flight < int(self.width) and not self._waiting:
            self.in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.in_flight -= 1
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting and self.in_flight < int(self.width):
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    async def _pause(self, tokens: int) -> CountedCall:
        while (wait := max(self._free_at - self._clock(), self._minute.wait(tokens))) > 0:
            await self._sleep(wait)
        return self._minute.enter(tokens)

    def _check_alive(self) -> None:
        if self.closed:
            raise EndpointError(self._epitaph)

    def _unless_too_long(self, error: Transient | EndpointError) -> Transient | EndpointError:
        """Return the error for an endpoint that asks for a wait beyond all patience: it may be a slip once."""
        if not isinstance(error, Transient) or (error.retry_after or 0.0) <= LONGEST_PAUSE:
            return error
        kind = Unreachable if self._has_answered else EndpointError
        said = f"{error}; it asks to wait {error.retry_after:,.0f} s, more than the {LONGEST_PAUSE:.0f} s waited for"
        return kind(f"{said}: give the same command again then", error.failure.kind, status=error.status)

    def _note(self, error: Transient | EndpointError, started: float) -> None:
        now = self._clock()
        if isinstance(error, Transient):
            self._free_at = max(self._free_at, now + (error.retry_after or 0.0))
            if error.status in OVERLOADED or isinstance(error, Crowded):
                self._overload += (1 - self._overload) / RECENT
                # Calls already under way when the width was cut tell nothing new.
                if started > self._cut_at:
                    self.width, self._cut_at = max(1.0, self.width * (1 - self._overload / 2)), now
        self._unreachable = self._unreachable + 1 if isinstance(error, Unreachable) else 0
        closed = isinstance(error, EndpointError) and not isinstance(error, Transient)
        if now >= self._dead_until and (closed or self._unreachable >= self._dead_after):
            self._dead_until, self._epitaph = now + self._dead_seconds, str(error)
            self._may_return = error.status is None
