"""Models from their names: endpoints get the retries, limits, journal and meter that all roles of a command share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from experience_db import Journal, Store
from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.base import Backend
from tfgrpo.backends.dialect_facts import recall_dialects
from tfgrpo.backends.endpoints import Endpoints, endpoint_paces
from tfgrpo.backends.failed_calls import FailedCalls
from tfgrpo.backends.identity import Identity, identity_of
from tfgrpo.backends.limited import Budget, Ledger
from tfgrpo.backends.metered import Metered, Tally, count_failed
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.backends.stack import with_wrappers
from tfgrpo.config import BudgetConfig
from tfgrpo.config.engine import EngineConfig
from tfgrpo.types import Request, Usage


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
    identities: Mapping[str, Identity] = field(default_factory=dict)
    """Who answers, by model."""
    sticky: bool = True
    """Whether calls that begin alike go to the same of several endpoints."""

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
            sticky=self.sticky,
            mark=self.mark(line.model),
        )
        return Metered(stack, self.tally)

    def record_failure(self, request: Request, usage: Usage, calls: int, why: str) -> None:
        """Put a request that brought no reply into the bill, and where a run goes on from it into the journal."""
        count_failed(self.tally, request.role, usage, calls)
        if self.run is not None:
            self.failed_calls.record(self.run, request, usage, calls, why)

    def mark(self, model: str) -> str:
        """Return what the questions to a model are marked with; mostly nothing."""
        return self.identities.get(model, Identity()).mark

    @property
    def marks(self) -> dict[str, str]:
        """The addresses that belong into questions, by model, where one does."""
        return {model: found.mark for model, found in self.identities.items() if found.mark}

    def address_changes(self) -> list[str]:
        """Return a sentence for each model that was asked at another address before."""
        return [found.note for found in self.identities.values() if found.note]


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
    lines = {line.model: line for line in (writing, attempting)}
    for line in lines.values():
        recall_dialects(store, line)
    who = {model: identity_of(store, line, same=engine.same_model) for model, line in lines.items()}
    models = Models(
        attempting, writing, store, ledger, shared, policy,
        run=run, hedge=engine.hedge, identities=who, sticky=engine.sticky,
    )  # fmt: skip
    ledger.on_failure = models.record_failure
    return models
