"""What leaves foreign code, and in which form."""

import asyncio

import pytest

from tfgrpo.boundary import boundary, failure_of
from tfgrpo.errors import BudgetReached, EndpointError, EnvironmentFailed, GraderError, MalformedReply, ProviderError
from tfgrpo.types import FailureKind


@pytest.mark.parametrize("raised", [ValueError("bad"), KeyError("x"), SystemExit(3), TimeoutError(), AssertionError()])
def test_foreign_exceptions_leave_as_the_given_error(raised):
    """Whatever the code raises becomes the given error, which names the code and the original."""
    with pytest.raises(EnvironmentFailed) as caught, boundary(EnvironmentFailed, "agent 'mine'"):
        raise raised
    assert f"agent 'mine' raised {type(raised).__name__}" in str(caught.value)
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize(
    "raised",
    [BudgetReached("spent"), ProviderError("500"), EndpointError("401"), asyncio.CancelledError(), KeyboardInterrupt()],
)
def test_typed_errors_and_cancellation_pass_unchanged(raised):
    """Our own errors, cancellation and Ctrl-C are nobody's failure and pass through as they are."""
    with pytest.raises(type(raised)) as caught, boundary(GraderError, "grader"):
        raise raised
    assert caught.value is raised


def test_our_error_inside_an_exception_group_is_found():
    """A reached budget inside a TaskGroup of an agent still ends the run as a reached budget."""
    with pytest.raises(BudgetReached), boundary(EnvironmentFailed, "agent"):
        raise ExceptionGroup("tasks", [ValueError("x"), ExceptionGroup("inner", [BudgetReached("spent")])])


async def test_boundary_works_around_awaits():
    """An exception after a suspension is classified like any other."""

    async def late() -> None:
        with boundary(GraderError, "grader"):
            await asyncio.sleep(0)
            raise RuntimeError("late")

    with pytest.raises(GraderError, match="RuntimeError: late"):
        await late()


async def test_real_cancellation_passes():
    """Cancelling a task that is inside a boundary cancels it."""

    async def wait() -> None:
        with boundary(GraderError, "grader"):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (GraderError("g"), FailureKind.GRADER),
        (EnvironmentFailed("e"), FailureKind.ENVIRONMENT),
        (MalformedReply("m"), FailureKind.MALFORMED),
        (BudgetReached("b"), FailureKind.BUDGET),
        (ProviderError("p", FailureKind.RATE_LIMITED), FailureKind.RATE_LIMITED),
        (TimeoutError(), FailureKind.TIMEOUT),
    ],
)
def test_each_error_has_its_kind(error, kind):
    """Every error is recorded under the kind that says what happened."""
    failure = failure_of(error)
    assert failure.kind is kind
    assert failure.message


def test_a_timeout_inside_foreign_code_is_recorded_as_timeout():
    """A TimeoutError stays recognisable after it was classified."""
    with pytest.raises(EnvironmentFailed) as caught, boundary(EnvironmentFailed, "agent"):
        raise TimeoutError("10 s")
    assert failure_of(caught.value).kind is FailureKind.TIMEOUT


def test_messages_are_cut():
    """An exception that carries a page of text is recorded in a few hundred characters."""
    with pytest.raises(GraderError) as caught, boundary(GraderError, "grader"):
        raise ValueError("x" * 10_000)
    assert len(failure_of(caught.value).message) <= 400
