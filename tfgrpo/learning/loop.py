"""The learning loop: batches of problems in, library versions out, one `Step` at a time.

Per problem and without waiting for the others: rollouts, grades, contrast. Once per batch: consolidation, gate, commit.
All state between steps is the library version; everything else is a function of configuration, dataset and journal, so
running the same command again continues an interrupted run and repeats a finished one without a single call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from experience_db import Library
from tfgrpo.backends.metered import total_usage
from tfgrpo.datasets import batches
from tfgrpo.gates import final
from tfgrpo.learning.gate_queue import probe_scores
from tfgrpo.learning.gate_step import challengers_now, known_effects, put_before_gate, recall_open_tests
from tfgrpo.learning.heldout import check_whole_epoch, measure_heldout
from tfgrpo.learning.overlap import Batch, Refusal, refusals_in_force, result_of, run_with_next
from tfgrpo.learning.propose import BatchConditions
from tfgrpo.learning.record_step import commit_step
from tfgrpo.learning.run import Run, learning_sampling
from tfgrpo.lessons.review import waits_for_review
from tfgrpo.methods.method import initial_memory, remember
from tfgrpo.system.waiting import patiently
from tfgrpo.types import Problem, Step, Verdict


async def learn(run: Run) -> AsyncIterator[Step]:
    """Measure, learn epoch by epoch, measure again; yields each step once it is committed.

    A used-up budget ends the loop at the step it hit. That step is yielded but not stored: its finished calls are in
    the journal, so that the same command with a larger budget makes it whole and ends in the same library.

    Raises:
        EndpointError: the endpoint refuses every call.
        NothingLearned: not one held-out problem can be measured.
        StaleVersion: somebody else moved the library while this run was going.
    """
    run.memory = initial_memory(run.config)
    recall_open_tests(run, run.library)
    await probe_scores(run)
    run.before = await measure_heldout(run, run.library, "before")
    state = _State(run.library, done=frozenset(row.step for row in run.store.steps(run.id)))
    for epoch in range(run.config.epochs):
        if run.stopped:
            return
        start, taken = state.library, list[Step]()
        async for step, last in _epoch(run, state, epoch):
            taken.append(step)
            told = step
            if last and not checked_alone(taken) and not run.stopped:
                state.library, told = await check_whole_epoch(run, start, state.library, step)
                if "rolled_back" in told.monitor:
                    refuse_again(run, state, taken, epoch)
            yield told
    if run.stopped:
        return
    run.library = state.library
    run.after = await measure_heldout(run, state.library, "after")


@dataclass(slots=True)
class _State:
    """Where the loop stands."""

    library: Library
    done: frozenset[int]
    """Steps that are stored already."""
    index: int = 0
    refused: list[Refusal] = field(default_factory=list)


async def _epoch(run: Run, state: _State, epoch: int) -> AsyncIterator[tuple[Step, bool]]:
    """Run the batches of an epoch; yields each step once it is committed, and whether it is the last one.

    The last epoch goes on, without problems, until nothing is left that lost a race and never met the winner.
    """
    parts: list[Sequence[Problem]] = list(batches(run.learning, run.config.batch_size, run.config.seed, epoch))
    final_epoch, ahead, place = epoch == run.config.epochs - 1, None, 0
    while place < len(parts):
        index = state.index
        run.ledger.closed = index in state.done
        rejected = refusals_in_force(state.refused, state.library, epoch)
        batch = ahead or Batch(
            parts[place], _conditions(run, state.library, epoch, index, rejected, parts[place + 1 :])
        )
        step, ahead = await _run_step(run, state.library, batch, parts, place, rejected)
        run.ledger.closed = False
        if run.stopped:
            yield step, True
            return
        state.library, step = await patiently(run.store, partial(commit_step, run, state.library, step))
        if run.progress is not None:
            run.progress.count_step(step)
        state.refused += [Refusal(v, state.library.version, epoch) for v in step.verdicts if final(v)]
        state.index, place = index + 1, place + 1
        if place == len(parts) and final_epoch:
            rejected = refusals_in_force(state.refused, state.library, epoch)
            if challengers_now(run.challengers, state.library, rejected)[0]:
                parts.append(())
        yield step, place == len(parts)


def checked_alone(steps: Sequence[Step]) -> bool:
    """Whether one lesson alone entered, and the look elsewhere of its own gate has asked already whether it harms."""
    entered = [v for step in steps for v in step.verdicts if v.decision == "accepted" and v.edits]
    return len(entered) == 1 and any(e.kind == "elsewhere" for e in entered[0].evidence)


def refuse_again(run: Run, state: _State, steps: Sequence[Step], epoch: int) -> None:
    """Refuse what an undone epoch had let in, until the library is another one, and tell a gate that counts it."""
    back = [v for step in steps for v in step.verdicts if v.decision == "accepted" and v.edits]
    state.refused += [
        Refusal(replace(v, decision="rejected", reason="harmful: undone with its epoch"), state.library.version, epoch)
        for v in back
    ]
    undone = getattr(run.gate, "undone", None)
    if undone is not None:
        undone(len(back))


async def _run_step(
    run: Run,
    library: Library,
    batch: Batch,
    parts: list[Sequence[Problem]],
    place: int,
    rejected: Sequence[Verdict],
) -> tuple[Step, Batch | None]:
    """Run one batch up to the verdicts, and where the engine may overlap, run the one that follows meanwhile.

    Problems of later batches that this one took before their turn leave `parts`.
    """
    used = total_usage(run.tally)
    result = await result_of(batch)
    taken = {g.problem.id for g in result.groups_P} - {p.id for p in batch.problems}
    following = [left for part in parts[place + 1 :] if (left := [p for p in part if p.id not in taken])]
    parts[place + 1 :] = following
    run.memory = remember(run.memory, result.groups_P, run.config)
    given, ahead = batch.conditions, None
    if run.config.engine.overlap and following:
        ahead = Batch(
            following[0],
            _conditions(run, library, given.epoch, given.step + 1, rejected, following[1:], known=given.step),
        )
    judge = partial(put_before_gate, run, library, given, result, rejected, used)
    # A stored step is repeated from the journal alone, so nothing new may run beside it.
    return await run_with_next(run.actor.executor, judge, ahead, now=not run.ledger.closed)


def _conditions(
    run: Run,
    library: Library,
    epoch: int,
    index: int,
    rejected: Sequence[Verdict],
    later: Sequence[Sequence[Problem]],
    known: int | None = None,
) -> BatchConditions:
    """Return what the batch of step `index` starts from; `known` is the step before which effects count."""
    # What the checks refused is left out: a leaked answer would be shown to every later contrast.
    told = tuple(verdict for verdict in rejected if verdict.evidence and not waits_for_review(verdict))
    measured = known_effects(run, library, index if known is None else known)
    way = learning_sampling(run.config)
    heard = run.progress.count_proposals if run.progress else None
    common = (run.actor, run.teacher, run.config, library, way)
    spare = tuple(problem for part in later for problem in part)
    return BatchConditions(*common, epoch, index, told, measured, run.memory, heard, spare, run.likelihood)
