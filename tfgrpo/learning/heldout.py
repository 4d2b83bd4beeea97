"""Held-out problems in a run: measured before and after it, and looked at as a whole once an epoch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from experience_db import Library
from tfgrpo.errors import BudgetReached, NothingLearned
from tfgrpo.gates import OpenGate, harm_check
from tfgrpo.learning.gate_step import trial_of
from tfgrpo.learning.run import Run, evaluation_sampling
from tfgrpo.lessons.summarize import effect_in_words
from tfgrpo.rollout import Graded, measure
from tfgrpo.types import Step, Verdict


async def measure_heldout(run: Run, library: Library) -> tuple[float, ...]:
    """Return the reward of each held-out problem, nan where it failed; () without such problems or budget.

    Raises:
        NothingLearned: not one could be measured; the message names the commonest reason.
    """
    if not run.heldout:
        return ()
    cases = [(problem, 0) for problem in run.heldout]
    try:
        graded = await measure(run.actor, library, cases, evaluation_sampling(run.config), "evaluate")
    except BudgetReached as error:
        run.stopped = str(error)
        return ()
    if not run.heldout_rollouts:
        run.heldout_rollouts = {g.rollout.problem_id: g.rollout for g in graded}
    _require_scores(run, graded)
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


async def check_whole_epoch(run: Run, before: Library, after: Library, step: Step) -> Step:
    """Look everywhere for harm that the gates of an epoch could not see; what is found joins the step's verdicts."""
    if not run.heldout or before.version == after.version or isinstance(run.gate, OpenGate):
        return step
    try:
        found = await harm_check(
            before, after, trial_of(run), rewards=getattr(run.gate, "rewards", None), seed=run.config.seed
        )
    except BudgetReached as error:
        run.stopped = str(error)
        return step
    run.store.add_evidence(after.name, [found], version=after.version, run=run.id, step=step.index)
    if found.verdict != "rejected":
        return step
    why = (
        f"epoch {step.epoch + 1} made the library worse as a whole: {effect_in_words(found)} on {found.n} problems; "
        f"`tfgrpo lessons rollback {before.version} --library {after.name}` undoes it"
    )
    return replace(step, verdicts=(*step.verdicts, Verdict("rejected", (), why, (found,))))
