"""From what a batch taught to verdicts: proposals are brought together, checked, and put before the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from experience_db import Edit, Evidence, Library, effect_of, own_words
from tfgrpo.backends.metered import total_usage
from tfgrpo.errors import BudgetReached
from tfgrpo.gates.trial import HeldoutTrial
from tfgrpo.learning.batch import BatchConditions, BatchResult
from tfgrpo.learning.overlap import drop_stale
from tfgrpo.learning.run import Run, evaluation_sampling
from tfgrpo.lessons.consolidate import Consolidated, consolidate
from tfgrpo.lessons.review import decided_before, edit_key, hold_for_review, screen
from tfgrpo.lessons.rivals import apart
from tfgrpo.lessons.summarize import Contrast
from tfgrpo.types import Failure, Group, Proposal, Step, Usage, Verdict

MOST_GROUPS = 512
"""Groups whose rollouts are kept for edit scores."""


async def put_before_gate(
    run: Run,
    library: Library,
    given: BatchConditions,
    result: BatchResult,
    rejected: Sequence[Verdict],
    used: Usage,
) -> Step:
    """Bring what a batch taught together and before the gate; nothing is stored yet."""
    pairs = list(zip(result.groups_P, result.contrasts_P, strict=True))
    if run.likelihood is not None:
        run.groups[:] = [*run.groups, *result.groups_P][-MOST_GROUPS:]
    heaviest = sorted(pairs, key=lambda pair: -pair[0].weight)
    proposals = [replace(p, weight=g.weight) for g, c in heaviest for p in c.proposals]
    sound, stale = drop_stale(proposals, given.library, library)
    asked = {edit_key(p.edit) for p in sound}
    again = [p for p in run.untested if edit_key(p.edit) in asked]
    effects = known_effects(run, library, given.step)
    merged = await consolidate(run.teacher, library, [*sound, *again], effects, run.topics)
    left = {edit_key(v.edits[0]) for v in merged.dropped if v.decision == "untested"}
    run.untested = (*(p for p in run.untested if p not in again), *(p for p in sound if edit_key(p.edit) in left))
    verdicts = [v for _, c in pairs for v in c.dropped] + [*stale, *merged.dropped]
    failures = tuple(f for _, c in pairs for f in c.failures) + merged.failures
    budget = [f.message for f in _all_failures(pairs, merged) if f.kind == "budget"]
    if budget:
        run.stopped = budget[0]
    verdicts += await _verdicts(run, library, merged, rejected, given.step)
    return Step(
        given.step,
        given.epoch,
        tuple(group for group, _ in pairs),
        tuple(proposals),
        tuple(verdicts),
        failures,
        library.version,
        library.version,
        sum(len(c.dropped) for _, c in pairs),
        usage_difference(total_usage(run.tally), used),
        result.monitor,
    )


def known_effects(run: Run, library: Library, index: int) -> dict[int, Evidence]:
    """Return the measured effect of each lesson as it was known before step `index` of this run.

    Later measurements are left out, so that a repeated run asks the same questions and the journal answers them.
    """
    started = run.store.run(run.id).started
    earlier = [
        found
        for found in run.store.evidence(library.name)
        if ((found.step or 0) < index if found.run == run.id else found.created < started)
    ]
    known = {x.id: effect_of(own_words([e for e in earlier if x.id in e.lesson_ids], x.changed)) for x in library}
    return {lesson_id: found for lesson_id, found in known.items() if found is not None}


async def _verdicts(
    run: Run, library: Library, merged: Consolidated, rejected: Sequence[Verdict], index: int
) -> list[Verdict]:
    """Put the edits before the gate, except those that were refused under this very version or are screened out."""
    refused = {edit_key(edit) for verdict in rejected for edit in verdict.edits}
    fresh = [p for p in merged.proposals if edit_key(p.edit) not in refused]
    screened = screen(fresh, run.rules, decided_before(run.store, library.name, run.id, index))
    parts = (screened.clean, screened.held)
    try:
        if not run.stopped:
            # Apart, so that what goes in at once was not measured together with what waits.
            clean, held = [await _tested(run, library, part) for part in parts]
            return [*screened.verdicts, *clean, *hold_for_review(held)]
    except BudgetReached as error:
        run.stopped = str(error)
    cut = [Verdict("undecided", (p.edit,), f"cut short: {run.stopped}") for part in parts for p in part]
    return [*screened.verdicts, *cut]


async def _tested(run: Run, library: Library, proposals: Sequence[Proposal]) -> list[Verdict]:
    """Let the gate decide, in rounds: where no rival of a subject entered, those that were not tested get their turn.

    What lost to a rival that entered stays untested and may be proposed again; then it has to beat that one.
    """
    verdicts: list[Verdict] = []
    waiting, accepted = tuple(proposals), tuple[Edit, ...]()
    while waiting:
        now = apart(waiting)
        over = [p for p in waiting if all(p is not q for q in now)]
        found = await run.gate(library.with_edits(accepted), now, trial_of(run))
        pairs = list(zip(now, found, strict=True))
        entered = {p.subject for p, v in pairs if v.decision == "accepted"}
        accepted += tuple(p.edit for p, v in pairs if v.decision == "accepted")
        idle = [(p, v) for p, v in pairs if v.decision == "untested"]
        verdicts += [v for _, v in pairs if v.decision != "untested"]
        idle += [(p, Verdict("untested", (p.edit,), f"other lessons on {p.subject} came first")) for p in over]
        again = [p for p, _ in idle if p.subject not in entered and len(idle) < len(waiting)]
        verdicts += [v for p, v in idle if p not in again]
        waiting = tuple(again)
    return verdicts


def trial_of(run: Run) -> HeldoutTrial:
    """Return the gate's laboratory: real rollouts on held-out problems, and the rollouts of the run so far."""
    drawn = run.config.rollout
    return HeldoutTrial(
        run.actor,
        run.heldout,
        evaluation_sampling(run.config),
        run.config.seed,
        tuple(reversed(run.groups)),
        run.heldout_rollouts,
        run.likelihood,
        run.teacher if run.paraphrases else None,
        on_policy=drawn.temperature in (None, 1.0) and drawn.top_p in (None, 1.0),
    )


def _all_failures(pairs: Sequence[tuple[Group, Contrast]], merged: Consolidated) -> list[Failure]:
    found = [s.failure for group, _ in pairs for s in group.scores_G if s.failure]
    return [*found, *(f for _, c in pairs for f in c.failures), *merged.failures]


def usage_difference(a: Usage, b: Usage) -> Usage:
    """Return what `a` has more than `b`; unknown money stays unknown."""
    usd = None if a.usd is None or b.usd is None else a.usd - b.usd
    return Usage(
        a.prompt_tokens - b.prompt_tokens,
        a.completion_tokens - b.completion_tokens,
        a.cached_tokens - b.cached_tokens,
        usd,
    )
