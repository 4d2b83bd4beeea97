"""Where foreign code meets ours: whatever a grader or an agent raises becomes one of our errors, only here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from experience_db import StoreError
from tfgrpo.config import secrets
from tfgrpo.errors import BudgetReached, EnvironmentFailed, GraderError, MalformedReply, ProviderError, TfgrpoError
from tfgrpo.system.redact import without_secrets
from tfgrpo.types import Failure, FailureKind

_MESSAGE_LIMIT = 400


@contextmanager
def boundary(error: type[GraderError] | type[EnvironmentFailed], what: str) -> Iterator[None]:
    """Run foreign code; what it raises leaves as `error`, naming `what` and the original exception.

    Our own errors, those of the store, cancellation and KeyboardInterrupt pass unchanged. SystemExit does not: an agent
    that exits has failed, the run has not. Works around awaits as well: `with boundary(...): await agent(...)`.

    Raises:
        GraderError: or EnvironmentFailed, as given; the original is its `__cause__`.
    """
    try:
        yield
    except (TfgrpoError, StoreError):
        raise
    except (Exception, SystemExit) as raised:
        ours = _ours_within(raised)
        if ours is not None:
            raise ours from raised
        raise error(f"{what} raised {_described(raised)}") from raised


def failure_of(error: BaseException) -> Failure:
    """The recorded form of an error: its kind, and its message cut to a readable length."""
    if isinstance(error, ProviderError):
        return error.failure
    return Failure(_kind(error), _cut(_said(error) or type(error).__name__))


def _kind(error: BaseException) -> FailureKind:
    """The kind of an error; a TimeoutError anywhere in the chain of causes makes it a timeout."""
    if isinstance(error, MalformedReply):
        return FailureKind.MALFORMED
    if isinstance(error, BudgetReached):
        return FailureKind.BUDGET
    if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
        return FailureKind.TIMEOUT
    return FailureKind.GRADER if isinstance(error, GraderError) else FailureKind.ENVIRONMENT


def _ours_within(raised: BaseException) -> TfgrpoError | StoreError | None:
    """The first of our errors inside an exception group; agents that use TaskGroup wrap a reached budget in one."""
    if isinstance(raised, TfgrpoError | StoreError):
        return raised
    inner = raised.exceptions if isinstance(raised, BaseExceptionGroup) else ()
    return next((found for found in map(_ours_within, inner) if found), None)


def _described(raised: BaseException) -> str:
    """Type and message in one line."""
    words = " ".join(_said(raised).split())
    return _cut(f"{type(raised).__name__}: {words}" if words else type(raised).__name__)


def _said(error: BaseException) -> str:
    """The message without keys: the clients of foreign code like to quote them."""
    return without_secrets(str(error), secrets())


def _cut(text: str) -> str:
    """At most `_MESSAGE_LIMIT` characters."""
    return text if len(text) <= _MESSAGE_LIMIT else text[: _MESSAGE_LIMIT - 1] + "…"
