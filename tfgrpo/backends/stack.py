"""The order of the wrappers, in one place: journal outside of retries outside of limits outside of the endpoint.

So a replayed call costs nothing, a call that waits for its next try holds no slot, and a budget counts every request
that goes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfgrpo.backends.base import Backend
from tfgrpo.backends.journaled import Journal, Journaled
from tfgrpo.backends.limited import Ledger, Limited
from tfgrpo.backends.retried import Retried
from tfgrpo.retry import RetryPolicy

if TYPE_CHECKING:
    from tfgrpo.backends.pace import Pace
    from tfgrpo.pricing import Price


def stacked(
    backend: Backend,
    *,
    policy: RetryPolicy = RetryPolicy(),  # noqa: B008
    ledger: Ledger | None = None,
    pace: Pace | None = None,
    price: Price | None = None,
    journal: Journal | None = None,
    run: str | None = None,
) -> Backend:
    """Return `backend` with retries, limits and, when there is a journal, memory.

    Args:
        backend: what answers, one request per call.
        policy: how often and how patiently to try again.
        ledger: the budgets of the run, shared by all its backends; None has no budgets.
        pace: shared by all backends of the same endpoint; None is a pace of its own.
        price: for a budget in USD.
        journal: where finished calls are kept.
        run: the run that new records belong to.
    """
    patient = Retried(Limited(backend, ledger or Ledger(), pace, price), policy)
    return patient if journal is None else Journaled(patient, journal, run)
