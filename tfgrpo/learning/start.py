"""How a run begins: its record in the store, the version it starts from, and what it used up before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experience_db import Journal, Library, Store
from tfgrpo.backends.failed_calls import add_earlier_failures
from tfgrpo.backends.limited import Ledger
from tfgrpo.backends.metered import Tally
from tfgrpo.config import LearnConfig
from tfgrpo.datasets import Pools, content_hash, exposure, pools_of
from tfgrpo.learning.resume import continuation
from tfgrpo.learning.setup import Setup, describe
from tfgrpo.types import Problem


@dataclass(frozen=True, slots=True)
class RunStart:
    """A run that is on record."""

    library: Library
    """The version it starts from."""
    continuation: str
    """What it goes on from, or why it starts anew; empty when there is nothing to say."""


def run_id(setup: Setup, fingerprint: str) -> str:
    """Return the id of a run: the same command has the same one."""
    return f"{setup.run}@{fingerprint[:8]}" if setup.run else f"learn-{fingerprint[:8]}"


def start_run(
    store: Store,
    run: str,
    setup: Setup,
    fingerprint: str,
    learning: Sequence[Problem],
    heldout: Sequence[Problem],
    template: str,
    marks: Mapping[str, str] | None = None,
) -> RunStart:
    """Put a run on record, or find it there; `template` is that of a library that does not exist yet.

    `marks` are addresses by model, where they decide who answers.
    """
    resumed = next((known.status for known in store.runs() if known.id == run), "")
    library = _first_version(setup, store, run, template)
    asked = {"endpoint": dict(marks)} if marks else {}
    started = store.start_run(
        run,
        name=setup.run or run,
        kind="learn",
        fingerprint=fingerprint,
        config=describe(setup) | asked | {exposure.HELDOUT_KEY: exposure.heldout_marks(heldout)},
        library=library.name,
        base_version=library.version,
        dataset=content_hash(learning),
    )
    return RunStart(library, continuation(store, started, resumed=resumed, named=setup.run is not None))


def charge_earlier_calls(ledger: Ledger, tally: dict[str, Tally], store: Store, run: str) -> None:
    """Count the calls, tokens and US dollars of earlier executions of this run; an agent pays its own calls.

    What they lost goes into the bill at once; what was answered comes into it as it is replayed.
    """
    journal = Journal(store)
    ledger.calls, ledger.tokens, ledger.usd = journal.spent(run)
    for role, (answered, longest) in journal.longest(run).items():
        ledger.recall(role, answered, longest)
    add_earlier_failures(tally, journal, run)


def _first_version(setup: Setup, store: Store, run: str, template: str) -> Library:
    """Return the version a run starts from: the newest, or the one it started from the first time."""
    known = next((r for r in store.runs() if r.id == run), None)
    if known is not None:
        return store.library(setup.library, known.base_version)
    library = store.create_library(setup.library, template)
    if not library.lessons and library.template != template:
        # Nothing was measured in the other block yet.
        return store.commit(library.name, [], parent=library.version, template=template, note="another block")
    return library


def pools_for(config: LearnConfig, learning: Sequence[Problem], heldout: Sequence[Problem]) -> Pools:
    """Say what each problem is for: an open gate looks at none, a search validates on all that are held out."""
    if config.gate.kind == "open" and not config.search.kind:
        return Pools((), untouched=tuple(heldout))
    if config.search.kind or not heldout:
        return Pools(tuple(heldout))
    return pools_of(learning, heldout, config.seed)
