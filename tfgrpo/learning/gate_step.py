"""From what a batch taught to verdicts: proposals are brought together, checked, and put before the gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from experience_db import Edit, Evidence, Library, Op, effect_of, own_words
from tfgrpo import datasets
from tfgrpo.backends.metered import total_usage
from tfgrpo.errors import BudgetReached
from tfgrpo.gates.base import TOKENS, Missing, Observation, pool_for
from tfgrpo.gates.rival_race import race_mean
from tfgrpo.gates.trial import HeldoutTrial, observation_of
from tfgrpo.learning.batch import BatchResult
from tfgrpo.learning.gate_queue import best_of_each, in_order
from tfgrpo.learning.overlap import drop_stale, promising
from tfgrpo.learning.propose import BatchConditions
from tfgrpo.learning.run import Run, evaluation_sampling
from tfgrpo.learning.trust_region import HELD, put_off, within_region
from tfgrpo.lessons.consolidate import Consolidated, consolidate
from tfgrpo.lessons.edits import join_duplicates, normalise
from tfgrpo.lessons.review import decided_before, edit_key, hold_for_review, screen
from tfgrpo.lessons.rivals import first_of_each_subject, limit_rivals, with_subjects, without_bridges
from tfgrpo.lessons.summarize import Contrast
from tfgrpo.methods.reward import UNIT, Reward
from tfgrpo.rollout import Graded
from tfgrpo.types import Failure, Group, GroupStatus, Problem, Proposal, Step, Usage, Verdict

PRUNED = "pruned"
"""How the reason of an edit begins that its score refused before any rollout."""
CLOSE = 0.25
"""A rival that came in so little behind the one that entered meets it once more."""
MEASURED_BY = (
    "model", "agent", "grader", "grading", "instructions", "prompts", "reward", "shaping", "advantage", "environment",
    "tools", "evaluation",
)  # fmt: skip
"""Settings that must agree before one run carries on the open tests of another."""
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
    result = await _best_candidates(run, library, result)
    pairs = result.pairs
    if run.likelihood is not None:
        run.groups[:] = [*run.groups, *result.groups_P][-MOST_GROUPS:]
    heaviest = sorted(pairs, key=lambda pair: -pair[0].weight)
    proposals = [replace(p, weight=g.weight) for g, c in heaviest for p in c.proposals]
    sound, stale = drop_stale(proposals, given.library, library)
    asked = {edit_key(p.edit) for p in sound}
    again = [p for p in run.untested if edit_key(p.edit) in asked]
    effects = known_effects(run, library, given.step)
    merged = await consolidate(run.teacher, library, [*sound, *again], effects, run.topics)
    if run.challengers:
        now, run.challengers = challengers_now(run.challengers, library, rejected)
        both = join_duplicates((*merged.proposals, *now))
        merged = replace(merged, proposals=with_subjects(library, both, run.topics))
    for p in proposals:
        if p.edit.text is not None:
            run.proposers.setdefault(normalise(p.edit.text), set()).update(s.problem_id for s in p.edit.sources)
    left = {edit_key(v.edits[0]) for v in merged.dropped if v.decision == "untested"}
    run.untested = (*(p for p in run.untested if p not in again), *(p for p in sound if edit_key(p.edit) in left))
    verdicts = [v for _, c in pairs for v in c.dropped] + [*stale, *merged.dropped]
    failures = tuple(f for _, c in pairs for f in c.failures) + merged.failures
    budget = [f.message for f in _all_failures(pairs, merged) if f.kind == "budget"]
    if budget:
        run.stopped = budget[0]
    first = merged.proposals[0].edit if merged.proposals else None
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
        decided(result, verdicts, first),
    )


async def _best_candidates(run: Run, library: Library, result: BatchResult) -> BatchResult:
    """Leave each group its best candidates; without the budget for scores, those that most draws said."""
    pools = partial(pool_for, trial_of(run, library))
    try:
        found = await best_of_each(run, library, result.contrasts_P, pools)
    except BudgetReached as error:
        run.stopped, found = str(error), list(result.contrasts_P)
    return replace(result, contrasts_P=tuple(found))


def decided(result: BatchResult, verdicts: Sequence[Verdict], first: Edit | None) -> dict[str, Any]:
    """Return what the method decided in a step: what was contrasted, tested first, pruned, put off and moved."""
    asked = [name for c in result.contrasts_P for name in c.asked]
    said = [v.reason for v in verdicts]
    return {
        "contrasts": len(asked),
        "objectives": {name: asked.count(name) for name in dict.fromkeys(asked) if name},
        "passed_over": sum(g.status is GroupStatus.FILTERED for g in result.groups_P)
        + sum(g.status is GroupStatus.KEPT and not c.asked for g, c in result.pairs),
        "first": "" if first is None else first.text or first.op.value,
        "pruned": sum(reason.startswith(PRUNED) for reason in said),
        "held": sum(reason.startswith(HELD) for reason in said),
        "moved": sum(v.decision == "accepted" for v in verdicts for _ in v.edits),
    }


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


def recall_open_tests(run: Run, library: Library) -> None:
    """Hand the gate what tests of earlier runs on this library left open, where it carries such tests on.

    Evidence of this run is left out: a repeated run asks the same questions as the first time. So is that of runs with
    another model, grader or way to ask, and of no known run: it is about another question.
    """
    recall = getattr(run.gate, "recall", None)
    if recall is not None:
        own = run.store.run(run.id)
        alike = {
            other.id
            for other in run.store.runs()
            if other.id != run.id and all(other.config.get(key) == own.config.get(key) for key in MEASURED_BY)
        }
        recall(e for e in run.store.evidence(library.name) if e.run in alike and e.created < own.started)


async def _verdicts(
    run: Run, library: Library, merged: Consolidated, rejected: Sequence[Verdict], index: int
) -> list[Verdict]:
    """Put the edits before the gate, except those that were refused under this very version or are screened out."""
    refused = {edit_key(edit) for verdict in rejected for edit in verdict.edits}
    fresh: Sequence[Proposal] = [p for p in merged.proposals if edit_key(p.edit) not in refused]
    fresh, bridges, waiting = without_bridges(fresh, run.topics)
    if bridges:
        run.challengers += bridges
        fresh = with_subjects(library, fresh, run.topics)
    screened = screen(fresh, run.rules, decided_before(run.store, library.name, run.id, index), library.lessons)
    parts = (screened.clean, screened.held)
    try:
        if not run.stopped:
            # Apart, so that what goes in at once was not measured together with what waits.
            clean, held = [await _tested(run, library, part) for part in parts]
            return [*waiting, *screened.verdicts, *clean, *hold_for_review(held)]
    except BudgetReached as error:
        run.stopped = str(error)
    cut = [Verdict("undecided", (p.edit,), f"cut short: {run.stopped}") for part in parts for p in part]
    return [*waiting, *screened.verdicts, *cut]


async def _tested(run: Run, library: Library, proposals: Sequence[Proposal]) -> list[Verdict]:
    """Let the gate decide, in rounds: where no rival of a subject entered, the next best of them gets its turn.

    A gate that races rivals is given all of a subject at once, up to `lessons.rivals`; any other one, and every later
    round, one of each. Who came in far behind the best stays untested, and so does what lost to a rival that entered;
    if it was close behind, it meets that rival at the next gate.
    """
    queue = await in_order(run, library, proposals, partial(pool_for, trial_of(run, library)))
    verdicts: list[Verdict] = list(queue.waiting)
    accepted = tuple[Edit, ...]()
    most = run.config.lessons.rivals if getattr(run.gate, "races", False) else 1
    now, over = limit_rivals(queue.going, most, ranked=queue.ranked)
    waiting, best = [(p, _late(p)) for p in over], dict[str, float]()
    while now:
        now, held = await within_region(run, library, now, accepted)
        if not now:
            run.challengers += (*held, *(p for p, _ in waiting))
            return [*verdicts, *(put_off(p) for p in held), *(put_off(p) for p, _ in waiting)]
        waiting = [*((p, put_off(p)) for p in held), *waiting]
        if run.progress is not None:
            run.progress.count_round(len(now), len(waiting))
        found = await run.gate(library.with_edits(accepted), now, trial_of(run, library))
        pairs = [(p, queue.with_scores(v)) for p, v in zip(now, found, strict=True)]
        accepted += tuple(p.edit for p, v in pairs if v.decision == "accepted")
        verdicts += [v for _, v in pairs if v.decision != "untested"]
        run.challengers += tuple(p for p, v in pairs if promising(v))
        entered = {p.subject: _shown(v) for p, v in pairs if v.decision == "accepted" and p.subject}
        waiting = [*((p, v) for p, v in pairs if v.decision == "untested"), *waiting]
        waiting.sort(key=lambda pair: -shown if math.isfinite(shown := _shown(pair[1])) else 1.0)
        for p, v in pairs:
            if math.isfinite(shown := _shown(v)):
                best[p.subject] = max(shown, best.get(p.subject, shown))
        lost = [x for x in waiting if (s := x[0].subject) in entered or not _close(x[1], best.get(s, 0.0))]
        run.challengers += tuple(p for p, v in lost if p.subject in entered and _close(v, entered[p.subject]))
        verdicts += [v for _, v in lost]
        left = [pair for pair in waiting if all(pair is not other for other in lost)]
        now = first_of_each_subject([p for p, _ in left])
        waiting = [(p, v) for p, v in left if all(p is not q for q in now)]
    return verdicts


def _late(proposal: Proposal) -> Verdict:
    return Verdict("untested", (proposal.edit,), f"untested: another lesson on {proposal.subject} came first")


def _shown(verdict: Verdict) -> float:
    """Return the mean reward that an edit had in its race; infinite where it ran none, so that it is tried."""
    return next((mean for e in verdict.evidence if (mean := race_mean(e)) is not None), math.inf)


def _close(verdict: Verdict, winner: float) -> bool:
    """Whether an edit showed something and came in close behind the best of its race; what ran none may be as good."""
    return math.isfinite(winner) and _shown(verdict) > 0.0 and _shown(verdict) >= winner - CLOSE


def challengers_now(
    challengers: Sequence[Proposal], library: Library, rejected: Sequence[Verdict]
) -> tuple[tuple[Proposal, ...], tuple[Proposal, ...]]:
    """Return what comes again as it stands against `library`, and what waits because a refusal of it holds still.

    Words whose lesson has left are new.
    """
    ids, refused = {lesson.id for lesson in library}, {edit_key(edit) for verdict in rejected for edit in verdict.edits}
    now, later = list[Proposal](), list[Proposal]()
    for p in challengers:
        stays = set(p.edit.ids) <= ids
        edit = p.edit if stays else replace(p.edit, op=Op.ADD, ids=())
        if edit_key(edit) in refused:
            later.append(p)
        elif stays or edit.text is not None:
            now.append(p if stays else Proposal(edit, p.support, p.weight))
    return tuple(now), tuple(later)


def trial_of(run: Run, library: Library) -> HeldoutTrial:
    """Return the gate's laboratory: real rollouts on its problems, and the rollouts of the run so far."""
    drawn = run.config.rollout
    return HeldoutTrial(
        run.actor,
        run.pools.proving,
        evaluation_sampling(run.config),
        run.config.seed,
        (*run.pilots.values(), *reversed(run.groups)),
        run.heldout_rollouts,
        run.likelihood,
        run.teacher if run.paraphrases else None,
        on_policy=drawn.temperature in (None, 1.0) and drawn.top_p in (None, 1.0),
        observe=partial(observe, run),
        prove_on=partial(_prove_on, run, library) if run.pools.cross_fitted else None,
        named=tuple(sorted(run.part_ranges)) if len(run.part_ranges) > 1 else (),
        decided=run.progress.count_verdict if run.progress else None,
    )


def observe(run: Run, graded: Graded) -> Observation:
    """Return what a graded rollout shows a gate: reward and named values as they pay, each in [0, 1] by its range.

    The reward is an objective too, by the name `reward`, for gates that weigh it against tokens.
    """
    plain = observation_of(graded)
    paid = Reward(run.config).paid_parts(graded.score)
    named = {name: paid.get(name, v) for name, v in plain.objectives.items() if name != TOKENS}
    values = {name: run.part_ranges.get(name, UNIT).unit(v) for name, v in named.items()}
    objectives = {**plain.objectives, **values}
    reward = run.range.unit(graded.reward)
    if math.isnan(reward):
        return Observation(math.nan, plain.missing or Missing.OWN_FAULT, objectives)
    return Observation(reward, None, {**objectives, "reward": reward})


def _prove_on(run: Run, library: Library, proposal: Proposal) -> tuple[Problem, ...]:
    """Return the problems that may prove a proposal: all but those that its words came from.

    Words that two problems suggested, each on its own, came from neither: without the one, the other would have led to
    the same test. Words that a model made out of several proposals came from all of these.
    """
    edit = proposal.edit
    if edit.text is not None and len(run.proposers.get(normalise(edit.text), ())) > 1:
        return run.pools.proving
    sources = {s.problem_id for s in edit.sources}
    sources |= {s.problem_id for lesson in library if lesson.id in edit.ids for s in lesson.sources}
    return datasets.without(run.pools.proving, sources)


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
