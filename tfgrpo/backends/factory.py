"""Models from their names: endpoints get the retries, limits, journal and meter that all roles of a command share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from experience_db import Journal, Store
from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.base import Backend
from tfgrpo.backends.endpoints import Endpoints, endpoint_paces
from tfgrpo.backends.failed_calls import FailedCalls
from tfgrpo.backends.limited import Budget, Ledger
from tfgrpo.backends.metered import Metered, Tally, count_failed
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.backends.stack import with_wrappers
from tfgrpo.config import BudgetConfig
from tfgrpo.config.engine import EngineConfig
from tfgrpo.types import Request, Usage

ADDRESS = "asked at"
"""Name of the stored fact that says where a model was asked."""


@dataclass(slots=True)
class Models:
    """The models of a command, and what limits and records their calls."""

    attempting: Endpoints
    """The model that attempts problems."""
    writing: Endpoints
    """The model that writes lessons."""
    store: Store
    ledger: Ledger
    paces: tuple[Pace, ...]
    """One for each endpoint, shared by all roles."""
    policy: RetryPolicy
    tally: dict[str, Tally] = field(default_factory=dict)
    run: str | None = None
    hedge: float = 0.0
    """A call that takes so many times the usual time is asked a second time; 0 never."""

    failed_calls: FailedCalls = field(init=False)

    def __post_init__(self) -> None:
        self.failed_calls = FailedCalls(Journal(self.store))

    def backend(self, line: Endpoints) -> Backend:
        """Put retries, limits, journal and meter around the bare backends of a model."""
        stack = with_wrappers(
            line.backends,
            policy=self.policy,
            ledger=self.ledger,
            pace=self.paces[: len(line.backends)],
            weights=line.weights,
            price=line.price,
            journal=Journal(self.store),
            run=self.run,
            joining=line.joining,
            memory=self.store,
            hedge=self.hedge,
        )
        return Metered(stack, self.tally)

    def record_failure(self, request: Request, usage: Usage, calls: int, why: str) -> None:
        """Put a request that brought no reply into the bill, and where a run goes on from it into the journal."""
        count_failed(self.tally, request.role, usage, calls)
        if self.run is not None:
            self.failed_calls.record(self.run, request, usage, calls, why)

    def address_changes(self) -> list[str]:
        """Return a sentence for each model that was asked at another address the last time."""
        urls = {line.model: line.urls for line in (self.writing, self.attempting)}
        return [said for model, asked in urls.items() if (said := address_change(self.store, model, asked))]


def make_models(
    attempting: Endpoints,
    writing: Endpoints,
    store: Store,
    engine: EngineConfig,
    budget: BudgetConfig,
    run: str | None = None,
) -> Models:
    """Return the models of a command under one budget and one pace."""
    ledger = Ledger(Budget(budget.calls, budget.tokens, budget.usd, budget.seconds, budget.stop_file))
    shared = endpoint_paces((attempting, writing), engine, ledger)
    policy = RetryPolicy(attempts=engine.attempts)
    models = Models(attempting, writing, store, ledger, shared, policy, run=run, hedge=engine.hedge)
    ledger.on_failure = models.record_failure
    return models


def address_change(store: Store, model: str, urls: Sequence[str]) -> str:
    """Return a sentence when `model` was asked elsewhere the last time, and remember where it is asked now.

    The journal knows a model by its name alone, so that a run goes on at another port or another replica without
    paying twice. Only the user can tell whether what answers there is the same model.
    """
    before = set((store.endpoint_fact("", model, ADDRESS) or "").split())
    if not urls or before >= set(urls):
        return ""
    known = before if before & set(urls) else set()
    store.record_endpoint_fact("", model, ADDRESS, " ".join(sorted({*known, *urls})))
    if known or not before:
        return ""
    return (
        f"model {model} was asked at {', '.join(sorted(before))} before and is asked at {', '.join(urls)} now; calls "
        "recorded there are not made again. If another model answers to that name here, give it a --model name of its "
        f"""own and say what it is called here: -s 'engine.endpoints=[{{url="{urls[0]}", model="{model}"}}]'"""
    )
