"""Held-out problems in a run: measured before and after it, and looked at as a whole once an epoch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from experience_db import Evidence, Library
from tfgrpo.errors import BudgetReached, NothingLearned
from tfgrpo.gates import OpenGate, harm_check
from tfgrpo.learning.gate_step import trial_of
from tfgrpo.learning.run import Run, evaluation_sampling
from tfgrpo.lessons.summarize import effect_in_words
from tfgrpo.methods.reward import Reward, part_ranges
from tfgrpo.rollout import Graded, measure
from tfgrpo.system.waiting import patiently
from tfgrpo.types import Step, Verdict

FEWEST = 32
"""Held-out problems from which on the check of an epoch needs no learning problems beside them."""


async def measure_heldout(run: Run, library: Library, when: str) -> tuple[float, ...]:
    """Return the reward of each held-out problem, nan where it failed; () without such problems or budget.

    The first measurement, `before`, also shows where rewards lie, for graders that do not say.

    Raises:
        NothingLearned: not one could be measured; the message names the commonest reason.
        UsageError: a gate measures, and the range of the rewards cannot be known.
    """
    if not run.heldout:
        return ()
    cases = [(problem, 0) for problem in run.heldout]
    try:
        graded = await measure(run.actor, library, cases, evaluation_sampling(run.config), "evaluate")
    except BudgetReached as error:
        run.stopped = str(error)
        return ()
    run.measured[when] = graded
    _require_scores(run, graded)
    if when == "before":
        run.heldout_rollouts = {g.rollout.problem_id: g.rollout for g in graded}
        if run.pools.proving and not run.config.search.kind:
            scores = [g.score for g in graded]
            run.range, run.part_ranges = Reward(run.config).range(scores), part_ranges(scores, run.config)
    return tuple(g.reward for g in graded)


def _require_scores(run: Run, graded: Sequence[Graded]) -> None:
    """Note how many have no score and why; a run that can measure nothing ends before it spends more."""
    missing = [g for g in graded if math.isnan(g.reward)]
    if not missing:
        return
    reasons = Counter(g.score.failure.message if g.score.failure else g.score.why or "no score" for g in missing)
    why = reasons.most_common(1)[0][0]
    if len(missing) == len(graded):
        raise NothingLearned(f"none of the {len(graded)} held-out problems could be measured: {why}")
    run.left_out = f"{len(missing)} of {len(graded)} held-out problems have no score and are left out: {why}"


async def check_whole_epoch(run: Run, before: Library, after: Library, step: Step) -> tuple[Library, Step]:
    """Put all that an epoch let in to one more test as a whole, everywhere, and undo the epoch that did harm.

    Each edit was proved beside those accepted before it; this compares the version that they made together with the one
    that the epoch began with. What it showed, better or no harm, is told as `whole` among what the step watched.

    Returns:
        The library that stands, and the step with what was found among its verdicts.
    """
    if not run.pools.proving or before.version == after.version or isinstance(run.gate, OpenGate):
        return after, step
    trial = trial_of(run, before)
    if run.pools.cross_fitted and len(run.heldout) >= FEWEST:
        # Where they are enough to tell: none of them suggested a lesson.
        trial = replace(trial, problems=run.heldout)
    try:
        found = await harm_check(before, after, trial, rewards=getattr(run.gate, "rewards", None), seed=run.config.seed)
    except BudgetReached as error:
        run.stopped = str(error)
        return after, step
    run.store.add_evidence(after.name, [found], version=after.version, run=run.id, step=step.index)
    step = replace(step, monitor={**step.monitor, "whole": f"{found.reason}, {effect_in_words(found)} on {found.n}"})
    if found.verdict != "rejected":
        return after, step
    worse = f"epoch {step.epoch + 1} made the library worse as a whole: {effect_in_words(found)} on {found.n} problems"
    if run.config.gate.harm == "warn":
        undo = f"`tfgrpo lessons rollback {before.version} --library {after.name}` undoes it"
        return after, _told(step, f"{worse}; {undo}", found)
    restored = await patiently(run.store, partial(_roll_back, run, before, after, step))
    why = f"{worse}; it was undone: version {restored.version} is version {before.version} again"
    step = replace(step, version_after=restored.version, monitor={**step.monitor, "rolled_back": after.version})
    return restored, _told(step, why, found)


def _roll_back(run: Run, before: Library, after: Library, step: Step) -> Library:
    """Make the version that stood before the epoch the newest, and let the step lead to it; at once or never."""
    store, (row,) = run.store, run.store.steps(run.id, step.index)
    if "rolled_back" in row.summary:
        return store.library(after.name, row.version_after)
    note = f"epoch {step.epoch + 1} did harm as a whole"
    with store.atomic():
        restored = store.rollback(after.name, before.version, run=run.id, note=note)
        summary = {**row.summary, "rolled_back": after.version}
        store.record_step(
            run.id,
            step.index,
            epoch=step.epoch,
            version_before=step.version_before,
            version_after=restored.version,
            summary=summary,
        )
    return restored


def _told(step: Step, why: str, found: Evidence) -> Step:
    return replace(step, verdicts=(*step.verdicts, Verdict("rejected", (), why, (found,))))
