"""What a batch starts from, and how one starts while the batch before it is still being judged (`engine.overlap = 1`).

A batch begun early sees the library that stood when it began, one version behind. What a batch sees is thereby a matter
of its place alone, never of time, so that a repeated run asks the same questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from experience_db import Library, Store
from tfgrpo.executors import Executor
from tfgrpo.learning.batch import BatchResult, run_batch
from tfgrpo.learning.propose import BatchConditions
from tfgrpo.types import Group, Problem, Proposal, Verdict

T = TypeVar("T")
PROMISING = 0.1
"""An undecided edit with at least this effect comes again by itself, once an epoch under the same version."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A verdict that let nothing in, and when it was given."""

    verdict: Verdict
    version: int
    """The version that stood after its step."""
    epoch: int

    @property
    def harmful(self) -> bool:
        """Whether harm was shown, not only a lack of use."""
        return self.verdict.reason.startswith("harmful")


def promising(verdict: Verdict) -> bool:
    """Whether an open question leans to yes."""
    own = next((e.estimate for e in verdict.evidence if e.kind == "gate"), None)
    return verdict.decision == "undecided" and own is not None and own >= PROMISING


def refusals_in_force(refused: Sequence[Refusal], library: Library, epoch: int) -> tuple[Verdict, ...]:
    """Return the refusals that still hold.

    Those of this epoch hold for harm under any version, the others under this very one; of earlier epochs those under
    this version, but for open questions that lean to yes.
    """
    return tuple(
        r.verdict
        for r in refused
        if (r.harmful or r.version == library.version if r.epoch == epoch else _held(r, library))
    )


def _held(refusal: Refusal, library: Library) -> bool:
    return refusal.version == library.version and not promising(refusal.verdict)


@dataclass(frozen=True, slots=True)
class Batch:
    """The problems of one step and the conditions under which they are tried."""

    problems: Sequence[Problem]
    conditions: BatchConditions
    result: BatchResult | None = None
    """What came of them; None while they have not begun."""


async def result_of(batch: Batch) -> BatchResult:
    """Return what came of a batch; one that has not begun begins now."""
    return batch.result or await run_batch(batch.conditions, batch.problems)


async def run_with_next(
    executor: Executor, job: Callable[[], Awaitable[T]], ahead: Batch | None, *, now: bool
) -> tuple[T, Batch | None]:
    """Return what `job` returns, and the batch `ahead`, which has been tried at the same time where `now` allows it."""
    if ahead is None or not now:
        return await job(), ahead
    jobs: list[Callable[[], Awaitable[Any]]] = [job, partial(run_batch, ahead.conditions, ahead.problems)]
    done, result = await executor.run(jobs)
    return done, replace(ahead, result=result)


def drop_stale(
    proposals: Iterable[Proposal], seen: Library, now: Library
) -> tuple[tuple[Proposal, ...], tuple[Verdict, ...]]:
    """Return the proposals that still mean what they meant under `seen`, and a verdict for each that does not."""
    if seen.version == now.version:
        return tuple(proposals), ()
    before, after = ({lesson.id: lesson.text for lesson in library} for library in (seen, now))
    kept, stale = [], []
    for proposal in proposals:
        moved = [i for i in proposal.edit.ids if before.get(i) != after.get(i)]
        if not moved:
            kept.append(proposal)
            continue
        what = "changed" if moved[0] in after else "left"
        why = f"lesson {moved[0]} {what} after version {seen.version}, which these rollouts saw"
        stale.append(Verdict("rejected", (proposal.edit,), why))
    return tuple(kept), tuple(stale)


def lesson_uses(
    store: Store,
    library: Library,
    groups_P: Sequence[Group],
    suited: Callable[[Problem, Library], Library] | None = None,
) -> dict[int, int]:
    """Return how many rollouts had each lesson in their prompt, by id; a lesson of `library` that none had counts 0.

    `suited` says which lessons a problem met, where they were chosen for it.
    """
    shown = Counter({lesson.id: 0 for lesson in library})
    for version in {group.version for group in groups_P}:
        seen = library if version == library.version else store.library(library.name, version)
        for group in (g for g in groups_P if g.version == version):
            rollouts = sum(r.failure is None for r in group.rollouts_G)
            met = seen if suited is None else suited(group.problem, seen)
            shown.update({lesson.id: rollouts for lesson in met})
    return shown
