"""One row per fault of an endpoint: retried and fine, a typed failure, or the end of the run; for each client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext, suppress

import pytest
from support.patience import AMPLE, LIMITS
from support.server import Fault, Server

from tfgrpo.backends import LiteLLM, OpenAI, Retried, with_wrappers
from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.faults import retry_after
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.types import FailureKind, Request

NO_WAIT = RetryPolicy(attempts=3, wait_initial=0, wait_max=0, jitter=0)
KEY = "my-secret-word"  # does not look like a key, so that only knowing it helps
ASK = Request("rollout", "openai/test-model", ({"role": "user", "content": "2+2?"},))

PASSING = {
    Fault.RATE_LIMITED: FailureKind.RATE_LIMITED,
    Fault.SERVER_ERROR: FailureKind.PROVIDER,
    Fault.UNAVAILABLE: FailureKind.PROVIDER,
    Fault.CONFLICT: FailureKind.PROVIDER,
    Fault.REQUEST_TIMEOUT: FailureKind.TIMEOUT,
    Fault.HANG: FailureKind.TIMEOUT,
    Fault.TRICKLE: FailureKind.TIMEOUT,
    Fault.RESET: FailureKind.PROVIDER,
    Fault.RESET_MID_BODY: FailureKind.PROVIDER,
    Fault.TRUNCATED_JSON: FailureKind.PROVIDER,
    Fault.HTML_200: FailureKind.PROVIDER,
    Fault.HTML_502: FailureKind.PROVIDER,
    Fault.ERROR_200: FailureKind.PROVIDER,
    Fault.EMPTY_CHOICES: FailureKind.EMPTY,
    Fault.NO_CHOICES: FailureKind.EMPTY,
    Fault.NULL_CONTENT: FailureKind.EMPTY,
    Fault.EMPTY_CONTENT: FailureKind.EMPTY,
}
ENDLESS = {Fault.HANG, Fault.TRICKLE}
"""What a time limit ends."""
FINAL = [Fault.UNAUTHORIZED, Fault.FORBIDDEN, Fault.NO_MODEL]
BLURRED_BY_LITELLM = {Fault.NO_CHOICES, Fault.EMPTY_CHOICES}
"""litellm raises an error of its own for these, so that the kind is lost, though not the failure."""


def by_openai(server: Server, timeout: float = 30) -> Backend:
    """Return the plain backend."""
    return OpenAI(server.url, KEY, model="test-model", timeout=timeout)


def by_sdk(server: Server, timeout: float = 30) -> Backend:
    """Return the plain backend over the openai client."""
    return OpenAI(server.url, KEY, model="test-model", timeout=timeout, transport="sdk")


def by_litellm(server: Server, timeout: float = 30) -> Backend:
    """Return the litellm backend."""
    return LiteLLM(server.url, KEY, timeout=timeout)


@pytest.fixture(params=[by_openai, by_sdk, by_litellm])
async def make(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Callable[..., Backend]]:
    """Make a backend with retries on either client, and close it afterwards."""
    made: list[Backend] = []
    first = request.param(server)  # The first call loads the client, which no time limit should meet.
    await first.complete(ASK)
    await close(first)
    server.calls.clear()

    def make(server: Server, seconds: float = AMPLE) -> Backend:
        made.append(with_wrappers(request.param(server, seconds), policy=NO_WAIT))
        return made[-1]

    def limits(fault: Fault) -> tuple[float, ...]:
        # The SDK takes a while to build its client, and does so within the limit.
        return (AMPLE,) if fault not in ENDLESS else LIMITS if request.param is by_sdk else (0.3, *LIMITS)

    make.limits = limits  # type: ignore[attr-defined]

    make.by_litellm = request.param is by_litellm  # type: ignore[attr-defined]
    yield make
    for backend in made:
        await close(backend)


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
async def test_a_passing_fault_is_retried_once_and_is_fine(make, server, fault):
    """The second request is answered, and exactly two reached the socket."""
    for seconds in make.limits(fault):
        server.calls.clear()
        server.faults = [fault]
        said = ""
        with suppress(ProviderError) if fault in ENDLESS else nullcontext():
            said = (await make(server, seconds).complete(ASK)).text
        if server.chats == 2:
            break  # Else the limit was too short for the request that is answered.
    assert (said, server.chats) == ("you said: 2+2?", 2)


async def test_a_body_that_comes_in_pieces_is_waited_for(make, server):
    """Slow is not broken: what is whole within the limit is taken, at the first try."""
    server.faults = [Fault.SLOW_BODY]
    assert (await make(server).complete(ASK)).text == "you said: 2+2?"
    assert server.chats == 1


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
async def test_a_lasting_fault_becomes_a_typed_failure(make, server, fault):
    """After as many requests as the policy says the failure has its kind, and the endpoint is not called dead."""
    server.faults = lambda index, body: fault
    for seconds in make.limits(fault):
        server.calls.clear()
        with pytest.raises(ProviderError, match="tried 3 times") as caught:
            await make(server, seconds).complete(ASK)
        assert not isinstance(caught.value, EndpointError)
        if server.chats == 3:
            break  # Else the limit was too short for a request to arrive.
    assert server.chats == 3
    if not (make.by_litellm and fault in BLURRED_BY_LITELLM):
        assert caught.value.failure.kind is PASSING[fault]


@pytest.mark.parametrize("fault", FINAL, ids=lambda fault: fault.name)
async def test_a_useless_endpoint_ends_at_once(make, server, fault):
    """One request is enough to know; the message names the URL and the model, never the key."""
    server.faults = lambda index, body: fault
    with pytest.raises(EndpointError) as caught:
        await make(server).complete(ASK)
    assert server.chats == 1
    message = str(caught.value)
    assert server.url in message
    assert "test-model" in message
    assert "secret" not in message


@pytest.mark.parametrize("client", [by_openai, by_sdk, by_litellm])
async def test_a_retry_after_header_is_heeded(server, client):
    """The wait that the endpoint asks for reaches the retries."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    server.faults = [Fault.RATE_LIMITED_AFTER]
    backend = Retried(client(server), NO_WAIT, sleep)
    assert (await backend.complete(ASK)).text == "you said: 2+2?"
    assert waits == [1.0]
    await close(backend)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
    ],
    ids=str,
)
def test_retry_after_is_seconds_milliseconds_or_a_date(headers, seconds):
    """What cannot be read asks for nothing, and no wait is negative."""
    assert retry_after(headers) == seconds


async def test_an_empty_account_ends_at_once(server):
    """A 429 that no waiting cures is told apart by its code; litellm drops the code, so it retries there."""
    server.faults = [Fault.NO_QUOTA]
    backend = with_wrappers(by_openai(server), policy=NO_WAIT)
    with pytest.raises(EndpointError, match="no credit left"):
        await backend.complete(ASK)
    await close(backend)


async def test_a_prompt_that_is_too_long_is_refused_once(make, server):
    """A 400 is about this request alone: no retry, no end of the run."""
    server.faults = [Fault.CONTEXT]
    with pytest.raises(ProviderError, match="maximum context length") as caught:
        await make(server).complete(ASK)
    assert caught.value.failure.kind is FailureKind.REFUSED_REQUEST
    assert not isinstance(caught.value, EndpointError)
    assert server.chats == 1


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.CUT_EMPTY], ids=lambda fault: fault.name)
async def test_a_reply_cut_at_the_token_limit_is_a_reply(make, server, fault):
    """Even an empty one: the model spent its tokens, and the finish reason tells."""
    server.faults = [fault]
    reply = await make(server).complete(ASK)
    assert reply.finish_reason == "length"
    assert server.chats == 1


async def test_a_choice_too_many_is_ignored(make, server):
    """The first choice is the reply."""
    server.faults = [Fault.EXTRA_CHOICES]
    assert (await make(server).complete(ASK)).text == "you said: 2+2?"


async def test_nothing_listening_ends_at_once(make, server):
    """A refused connection says where nobody answers."""
    backend = make(server)
    server.stop()
    with pytest.raises(EndpointError, match="nothing answers at http://127"):
        await backend.complete(ASK)


async def test_an_endpoint_that_goes_away_gets_a_second_chance_then_ends(server):
    """After it has answered once, a refused connection is retried before the endpoint is called dead."""
    backend = with_wrappers(by_openai(server), policy=NO_WAIT)
    await backend.complete(ASK)
    server.stop()
    with pytest.raises(EndpointError, match="tried 3 times"):
        await backend.complete(ASK)
    await close(backend)
