"""The one retry policy: what may pass by itself is tried again, everything else ends at once.

Whoever talks to the outside raises Transient for the failures worth another try (408, 409, 424, 425, 429, 498, 5xx,
timeouts, broken connections, unreadable or empty replies). The retries of every SDK are off: nothing multiplies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.types import FailureKind, Usage

T = TypeVar("T")
LONGEST_PAUSE = 600.0
"""Seconds: an endpoint that asks for a longer wait is of no use for now."""


class Transient(ProviderError):
    """A model call failed in a way that may pass by itself."""

    def __init__(
        self,
        message: str,
        kind: FailureKind = FailureKind.PROVIDER,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        usage: Usage = Usage(),  # noqa: B008
    ) -> None:
        super().__init__(message, kind, status=status)
        self.retry_after = retry_after
        """Seconds the endpoint asked to wait."""
        self.usage = usage

    def final(self, tries: int) -> ProviderError:
        """Return the error that ends the retries; it is not transient, so nothing retries it again."""
        return ProviderError(f"{self} (tried {tries} times)", self.failure.kind, status=self.status)


class Redraw(Transient):
    """The model would say the same again: one more try with another seed or a larger limit, and then no other."""

    def final(self, tries: int) -> ProviderError:
        """Return the error that ends the retries."""
        return ProviderError(
            f"{self} (tried {tries} times, with another seed or limit)" if tries > 1 else str(self),
            self.failure.kind,
            status=self.status,
        )


class Unreachable(EndpointError, Transient):
    """An address that has answered before is gone, or refuses the key; when it stays so, the endpoint is dead."""

    def final(self, tries: int) -> ProviderError:
        """Return an EndpointError, which ends the run."""
        return EndpointError(f"{self} (tried {tries} times)", self.failure.kind, status=self.status)


class Crowded(Transient):
    """This machine has no room for one more connection: fewer at once will do."""


class Renegotiated(Transient):
    """The endpoint rejected a setting, which will be left out from now on: ask again at once, it costs no try."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently. The wait before try k+1 is `wait_initial * 2**(k-1)`, at most `wait_max`.

    After a whole answer (status 200) that was of no use the wait does not grow: it says nothing of load.
    """

    attempts: int = 6
    """Tries in all, the first included; 1 never retries."""
    wait_initial: float = 0.5
    """Seconds."""
    wait_max: float = 30.0
    """Seconds."""
    jitter: float = 1.0
    """Up to so many seconds are added at random, so that calls that failed together come back apart."""
    retry_after_max: float = LONGEST_PAUSE
    """A longer Retry-After, in seconds, ends the retries: coming back early would only be refused again."""


async def with_retries(
    call: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Return what `call` returns, calling it again while it raises Transient and `policy` allows.

    Raises:
        ProviderError: the last failure, with the number of tries; EndpointError when nothing listens any more.
    """
    # Nearly all calls end here, and what tenacity prepares for a retry costs more than the rest of the way down.
    try:
        return await call()
    except Transient as error:
        first: Transient | None = error
    free = redraws = 0

    def out_of_tries(state: tenacity.RetryCallState) -> bool:
        nonlocal free, redraws
        error = _error(state)
        free += isinstance(error, Renegotiated)
        redraws += isinstance(error, Redraw)
        if redraws > 1:
            return True
        too_long = error.retry_after is not None and error.retry_after > policy.retry_after_max
        return too_long or state.attempt_number - free >= policy.attempts

    steady = tenacity.wait_fixed(policy.wait_initial) + tenacity.wait_random(0, policy.jitter)
    backoff = tenacity.wait_exponential(policy.wait_initial, policy.wait_max) + tenacity.wait_random(0, policy.jitter)

    def wait(state: tenacity.RetryCallState) -> float:
        error = _error(state)
        if isinstance(error, Renegotiated):
            return 0.0
        patience = steady if error.status == 200 else backoff
        return max(patience(state), error.retry_after or 0.0)

    def give_up(state: tenacity.RetryCallState) -> T:
        raise _error(state).final(state.attempt_number - free) from None

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(Transient),
        stop=out_of_tries,
        wait=wait,
        sleep=sleep,
        retry_error_callback=give_up,
    )

    # tenacity awaits only what it sees to be a coroutine function.
    async def once() -> T:
        nonlocal first
        if first is None:
            return await call()
        error, first = first, None
        raise error

    return await retrying(once)


def _error(state: tenacity.RetryCallState) -> Transient:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, Transient)
    return error
