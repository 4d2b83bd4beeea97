"""What can go wrong, as one tree. Every message says what happened, to which thing, and what to do next.

TfgrpoError
 +- UsageError (ValueError)            bad arguments or input; the command ends with exit code 2
 |   +- BadRow                         a dataset row that cannot be used: file, line and what is wrong
 |   +- UnknownPlugin (KeyError)       no grader, backend, gate, ... of that name
 |   +- UnknownKey                     a configuration key that does not exist
 |   +- TemplateError                  a prompt template is missing or asks for a variable it does not get
 +- ProviderError (RuntimeError)       one model call failed for good; becomes a Failure on the rollout
 |   +- EndpointError                  the endpoint cannot be used at all (401, 404, refused): ends the run
 |       +- UnusableModel (UsageError)      a model of no provider, or no key for it; exit code 2
 +- MalformedReply (ValueError)        a structured reply that could not be parsed or validated
 +- GraderError (RuntimeError)         a grader raised or ran out of time
 +- EnvironmentFailed (RuntimeError)   the user's agent raised
 +- BudgetReached (RuntimeError)       a hard budget was used up; ends the run cleanly with exit code 3
 +- NothingLearned (RuntimeError)      nothing could be learned or measured at all; exit code 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfgrpo.types import FailureKind


class TfgrpoError(Exception):
    """Base of all errors that tfgrpo raises on purpose."""


class UsageError(TfgrpoError, ValueError):
    """Arguments or input are wrong; nothing was done."""


class BadRow(UsageError):
    """A row of a dataset cannot be used; the message names file, line and fault."""


class UnknownPlugin(UsageError, KeyError):
    """Nothing of that name is known; the message lists what is."""

    def __str__(self) -> str:
        """Return the plain message; KeyError would quote it."""
        return str(self.args[0])


class UnknownKey(UsageError):
    """A configuration key does not exist; the message suggests the nearest one."""


class TemplateError(UsageError):
    """A prompt template is missing, broken, or asks for a variable it does not get."""


class ProviderError(TfgrpoError, RuntimeError):
    """A model call failed for good: after retries, or because retrying cannot help."""

    def __init__(self, message: str, kind: FailureKind | None = None, *, status: int | None = None) -> None:
        from tfgrpo.types import Failure, FailureKind, Usage  # noqa: PLC0415 - many commands need no record

        super().__init__(message)
        self.failure = Failure(kind or FailureKind.PROVIDER, message)
        self.status = status
        """The HTTP status, where there was one."""
        self.usage = Usage()
        """What the failed call consumed all the same."""


class EndpointError(ProviderError):
    """The endpoint refuses every call (wrong key, wrong model, nothing listening): going on is pointless."""


class UnusableModel(EndpointError, UsageError):
    """Nobody knows the model, or there is no key for its provider; the message says what to write or to export."""


class MalformedReply(TfgrpoError, ValueError):
    """A structured reply could not be parsed or validated; `reply` holds the text."""

    def __init__(self, message: str, reply: str = "") -> None:
        super().__init__(message)
        self.reply = reply


class GraderError(TfgrpoError, RuntimeError):
    """A grader raised or ran out of time; its rollouts stay unscored."""


class EnvironmentFailed(TfgrpoError, RuntimeError):
    """The agent or environment raised; the rollout becomes a failure."""


class BudgetReached(TfgrpoError, RuntimeError):
    """A hard budget (calls, tokens, money, seconds) is used up."""


class NothingLearned(TfgrpoError, RuntimeError):
    """Nothing could be learned or measured; the message says why."""
