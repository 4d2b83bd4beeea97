"""The retry policy: how often, how long, and when not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.backends.retry_policy import Renegotiated, RetryPolicy, Transient, Unreachable, with_retries
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.types import FailureKind

STEADY = RetryPolicy(attempts=4, wait_initial=1, wait_max=3, jitter=0)


async def play(lines: list[Exception | str], policy: RetryPolicy = STEADY) -> tuple[str, list[float]]:
    """Return the outcome of a script and the waits it took; the waits take no time."""
    script, waits = iter(lines), []

    async def call() -> str:
        line = next(script)
        if isinstance(line, Exception):
            raise line
        return line

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    return await with_retries(call, policy, sleep), waits


async def test_waits_double_up_to_the_longest():
    """Each wait is twice the one before, until the limit."""
    assert await play([Transient("x"), Transient("x"), Transient("x"), "done"]) == ("done", [1, 2, 3])


async def test_an_answer_of_no_use_is_asked_for_again_soon():
    """It says nothing of load, so the wait stays; what does say something goes on from where it would have been."""
    lines = [Transient("x", status=200), Transient("x", status=200), Transient("x", status=503), "done"]
    assert await play(lines) == ("done", [1, 1, 3])


async def test_a_retry_after_is_honoured():
    """The endpoint's own wait counts when it is longer than ours."""
    lines = [Transient("x", retry_after=7), Transient("x", retry_after=0.5), "done"]
    assert await play(lines) == ("done", [7, 2])


async def test_a_retry_after_beyond_patience_ends_the_retries():
    """Coming back early would be refused again, so it is not tried."""
    with pytest.raises(ProviderError, match="tried 1 times"):
        await play([Transient("x", retry_after=3600), "done"])


async def test_the_last_failure_is_final_and_keeps_its_kind():
    """What is raised is no longer transient, so that no second loop retries it."""
    with pytest.raises(ProviderError, match=r"slow down.*tried 4 times") as caught:
        await play([Transient("slow down", FailureKind.RATE_LIMITED)] * 4)
    assert caught.value.failure.kind is FailureKind.RATE_LIMITED
    assert not isinstance(caught.value, Transient)


async def test_an_endpoint_that_stays_away_is_dead():
    """Unreachable to the end becomes an EndpointError."""
    with pytest.raises(EndpointError) as caught:
        await play([Unreachable("gone")] * 4)
    assert not isinstance(caught.value, Transient)


@pytest.mark.parametrize("error", [ProviderError("no"), EndpointError("no"), ValueError("bug")])
async def test_all_else_passes_at_once(error):
    """What is not transient is raised as it is."""
    with pytest.raises(type(error)) as caught:
        await play([error, "done"])
    assert caught.value is error


async def test_renegotiating_is_free():
    """Settings that an endpoint rejects cost neither a try nor a wait."""
    lines = [Renegotiated("a"), Renegotiated("b"), "done"]
    assert await play(lines, RetryPolicy(attempts=1)) == ("done", [0, 0])


@given(st.integers(1, 8), st.integers(0, 10))
async def test_there_are_never_more_tries_than_allowed(attempts, failures):
    """A policy of N tries makes at most N, and stops at the first that is answered."""
    tries = 0

    async def call() -> str:
        nonlocal tries
        tries += 1
        if tries <= failures:
            raise Transient("x")
        return "done"

    async def sleep(seconds: float) -> None:
        pass

    try:
        await with_retries(call, RetryPolicy(attempts), sleep)
    except ProviderError:
        assert failures >= attempts
    assert tries == min(attempts, failures + 1)
