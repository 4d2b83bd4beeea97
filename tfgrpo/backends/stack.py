"""The order of the wrappers, in one place: journal, joining, retries, hedging, limits, inside of all the endpoint.

So a replayed call costs nothing, a call that waits for its next try holds no slot, and a budget counts every request
that goes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfgrpo import config as configuration
from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.base import Backend
from tfgrpo.backends.coalesced import Coalesced, Memory
from tfgrpo.backends.engine_state import EngineWatch
from tfgrpo.backends.hedged import Hedged
from tfgrpo.backends.journaled import Journal, Journaled
from tfgrpo.backends.limited import Ledger, Limited
from tfgrpo.backends.load_balancing import LoadBalanced
from tfgrpo.backends.redacted import Redacted
from tfgrpo.backends.retried import Retried
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.system.redact import secret_hider

if TYPE_CHECKING:
    from tfgrpo.backends.pricing import Price


def with_wrappers(  # noqa: PLR0913  (one for each wrapper)
    backend: Backend | Sequence[Backend],
    *,
    policy: RetryPolicy = RetryPolicy(),  # noqa: B008
    ledger: Ledger | None = None,
    pace: Pace | Sequence[Pace] | None = None,
    weights: Sequence[float] | None = None,
    price: Price | None = None,
    journal: Journal | None = None,
    run: str | None = None,
    joining: str | None = None,
    memory: Memory | None = None,
    hedge: float = 0.0,
    sticky: bool = True,
    mark: str = "",
) -> Backend:
    """Return `backend` with retries, limits and, when there is a journal, memory.

    Args:
        backend: what answers, one request per call; several share the load.
        policy: how often and how patiently to try again.
        ledger: the budgets of the run, shared by all its backends; None has no budgets.
        pace: shared by all backends of the same endpoint, one for each; None is a pace of its own.
        weights: of several backends, how much of the load each takes compared with the others; None is the same.
        price: for a budget in USD.
        journal: where finished calls are kept.
        run: the run that new records belong to.
        joining: the endpoint's address, where identical calls may go out as one with `n`; None never joins them.
        memory: where it is kept whether an endpoint honours `n`.
        hedge: a call that takes so many times the usual time is asked a second time; 0 never.
        sticky: of several backends, whether calls that begin alike go to the same one while it has room; not with
            `hedge`, whose second request is meant for another.
        mark: of the endpoint, for the journal; see `tfgrpo.backends.identity`.
    """
    backends = backend if isinstance(backend, Sequence) else (backend,)
    paces = pace if isinstance(pace, Sequence) else [pace or Pace() for _ in backends]
    ledger = ledger or Ledger()
    ways = [Limited(one, ledger, its, price) for one, its in zip(backends, paces, strict=True)]
    way: Backend = ways[0] if len(ways) == 1 else _balanced(ways, backends, paces, weights, sticky and not hedge)
    asked: Backend = Retried(Hedged(way, hedge) if hedge else way, policy, ledger.sleep)
    asked = asked if joining is None else Coalesced(asked, joining, memory)
    own = [secret for one in backends for secret in getattr(getattr(one, "backend", one), "secrets", ())]
    conceal = secret_hider([*configuration.secrets(), *own])
    asked = asked if conceal is None else Redacted(asked, conceal)
    return asked if journal is None else Journaled(asked, journal, run, mark=mark)


def _balanced(
    ways: Sequence[Limited],
    bare: Sequence[Backend],
    paces: Sequence[Pace],
    weights: Sequence[float] | None,
    sticky: bool,
) -> LoadBalanced:
    return LoadBalanced(ways, paces, weights, sticky=sticky, watch=EngineWatch(bare, paces))
