"""The learning loop: batches of problems in, library versions out, one `Step` at a time.

Per problem and without waiting for the others: rollouts, grades, contrast. Once per batch: consolidation, gate, commit.
All state between steps is the library version; everything else is a function of configuration, dataset and journal, so
running the same command again continues an interrupted run and repeats a finished one without a single call.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from experience_db import Evidence, Library, Store, effect_of, own_words
from tfgrpo.backends.limited import Ledger
from tfgrpo.backends.metered import Tally, total
from tfgrpo.config import LearnConfig
from tfgrpo.datasets import batches
from tfgrpo.edit_scores.teacher_forced import Likelihood
from tfgrpo.errors import BudgetReached
from tfgrpo.gates import Gate, OpenGate, final, harm_check
from tfgrpo.gates.trial import HeldoutTrial
from tfgrpo.learning.batch import Conditions, Taught
from tfgrpo.learning.overlap import Batch, Refused, beside, rebased, standing, taught, uses
from tfgrpo.learning.progress import Watch
from tfgrpo.lessons.consolidate import Consolidated, consolidate
from tfgrpo.lessons.review import Rules, decided_before, hold, question, screen, waiting
from tfgrpo.lessons.summarize import Contrast, Teacher, in_words
from tfgrpo.methods.method import NEW, Memory, begin, remember
from tfgrpo.rollout import Actor, measure
from tfgrpo.types import Group, Problem, Rollout, Sampling, Step, Usage, Verdict

MOST_GROUPS = 512
"""Groups whose rollouts are kept for edit scores."""


@dataclass(slots=True)
class Run:
    """Everything one execution of `learn` works with. Built by `tfgrpo.build`."""

    id: str
    name: str
    config: LearnConfig
    store: Store
    library: Library
    """The version the run starts from."""
    actor: Actor
    teacher: Teacher
    gate: Gate
    learning: tuple[Problem, ...]
    heldout: tuple[Problem, ...]
    tally: dict[str, Tally] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    """What admits calls; closed while a stored step is repeated."""
    before: tuple[float, ...] = ()
    """Held-out reward per problem under the version the run started from; nan where it failed."""
    after: tuple[float, ...] = ()
    memory: Memory = NEW
    """What the steps so far left for the method."""
    likelihood: Likelihood | None = None
    """Scores stored rollouts, for gates that ask for edit scores."""
    groups: list[Group] = field(default_factory=list)
    """The newest graded groups, oldest first; kept where there is a likelihood."""
    stored: dict[str, Rollout] = field(default_factory=dict)
    """A rollout of each held-out problem under the version the run started from."""
    paraphrases: bool = False
    """Whether the summarizer is a model of its own, able to say a lesson in other words."""
    stopped: str = ""
    """Why the run ended early: which budget; empty when it did not."""
    continuation: str = ""
    """What the run goes on from, or why it starts anew; empty when there is nothing to say."""
    unseeded: Callable[[], bool] = bool  # whether an endpoint has refused seeds: then pairs meet different noise
    watch: Watch | None = None
    """Live numbers for displays, and the way to stop."""
    rules: Rules = Rules()
    """What enters the library unseen, and what waits for a person."""


def learning_sampling(config: LearnConfig) -> Sampling:
    """Return how learning rollouts are drawn."""
    drawn = config.rollout
    return Sampling(drawn.temperature, drawn.top_p, drawn.max_tokens)


def evaluation_sampling(config: LearnConfig) -> Sampling:
    """Return how gate and held-out rollouts are drawn."""
    drawn = config.evaluation
    return Sampling(drawn.temperature, drawn.top_p, drawn.max_tokens)


async def learn(run: Run) -> AsyncIterator[Step]:
    """Measure, learn epoch by epoch, measure again; yields each step once it is committed.

    A used-up budget ends the loop at the step it hit. That step is yielded but not stored: its finished calls are in
    the journal, so that the same command with a larger budget makes it whole and ends in the same library.

    Raises:
        EndpointError: the endpoint refuses every call.
        StaleVersion: somebody else moved the library while this run was going.
    """
    library, run.memory = run.library, begin(run.config)
    if run.likelihood is not None:
        await run.likelihood.probe(run.learning[0])
    run.before = await _heldout(run, library)
    if run.stopped:
        return
    refused: list[Refused] = []
    done = {row.step for row in run.store.steps(run.id)}
    index = 0
    for epoch in range(run.config.epochs):
        start, parts = library, batches(run.learning, run.config.batch_size, run.config.seed, epoch)
        ahead: Batch | None = None
        for place, problems in enumerate(parts, 1):
            run.ledger.closed = index in done
            rejected = standing(refused, library, epoch)
            batch = ahead or Batch(problems, _given(run, library, epoch, index, rejected))
            step, ahead = await _turn(run, library, batch, parts[place : place + 1], rejected)
            run.ledger.closed = False
            if run.stopped:
                yield step
                return
            library, step = commit(run, library, step)
            if run.watch is not None:
                run.watch.steps += 1
            refused += [Refused(v, library.version, epoch) for v in step.verdicts if final(v)]
            if place == len(parts):
                step = await _whole_epoch(run, start, library, step)
            yield step
            if run.stopped:
                return
            index += 1
    run.library = library
    run.after = await _heldout(run, library)


async def _whole_epoch(run: Run, before: Library, after: Library, step: Step) -> Step:
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
        f"epoch {step.epoch + 1} made the library worse as a whole: {in_words(found)} on {found.n} problems; "
        f"`tfgrpo lessons rollback {before.version} --library {after.name}` undoes it"
    )
    return replace(step, verdicts=(*step.verdicts, Verdict("rejected", (), why, (found,))))


async def _heldout(run: Run, library: Library) -> tuple[float, ...]:
    if not run.heldout:
        return ()
    cases = [(problem, 0) for problem in run.heldout]
    try:
        graded = await measure(run.actor, library, cases, evaluation_sampling(run.config), "evaluate")
    except BudgetReached as error:
        run.stopped = str(error)
        return ()
    if not run.stored:
        run.stored = {g.rollout.problem_id: g.rollout for g in graded}
    return tuple(g.reward for g in graded)


def _given(
    run: Run, library: Library, epoch: int, index: int, rejected: Sequence[Verdict], known: int | None = None
) -> Conditions:
    """Return what the batch of step `index` starts from; `known` is the step before which effects count."""
    # What the checks refused is left out: a leaked answer would be shown to every later contrast.
    told = tuple(verdict for verdict in rejected if verdict.evidence and not waiting(verdict))
    measured = effects(run, library, index if known is None else known)
    way = learning_sampling(run.config)
    return Conditions(run.actor, run.teacher, run.config, library, way, epoch, index, told, measured, run.memory)


async def _turn(
    run: Run, library: Library, batch: Batch, following: Sequence[Sequence[Problem]], rejected: Sequence[Verdict]
) -> tuple[Step, Batch | None]:
    """Run one batch up to the verdicts, and where the engine may overlap, teach the one that follows meanwhile."""
    used = total(run.tally)
    lessons = await taught(batch)
    run.memory = remember(run.memory, lessons.groups_P, run.config)
    given, ahead = batch.given, None
    if run.config.engine.overlap and following:
        ahead = Batch(following[0], _given(run, library, given.epoch, given.step + 1, rejected, known=given.step))
    judge = partial(_judged, run, library, given, lessons, rejected, used)
    # A stored step is repeated from the journal alone, so nothing new may run beside it.
    return await beside(run.actor.executor, judge, ahead, now=not run.ledger.closed)


async def _judged(
    run: Run, library: Library, given: Conditions, lessons: Taught, rejected: Sequence[Verdict], used: Usage
) -> Step:
    """Bring what a batch taught together and before the gate; nothing is stored yet."""
    taught = list(zip(lessons.groups_P, lessons.contrasts_P, strict=True))
    if run.likelihood is not None:
        run.groups[:] = [*run.groups, *lessons.groups_P][-MOST_GROUPS:]
    heaviest = sorted(taught, key=lambda pair: -pair[0].weight)
    proposals = [replace(p, weight=g.weight) for g, c in heaviest for p in c.proposals]
    sound, stale = rebased(proposals, given.library, library)
    merged = await consolidate(run.teacher, library, sound, effects(run, library, given.step))
    verdicts = [v for _, c in taught for v in c.dropped] + [*stale, *merged.dropped]
    failures = tuple(f for _, c in taught for f in c.failures) + merged.failures
    budget = [f.message for f in _failures(taught, merged) if f.kind == "budget"]
    if budget:
        run.stopped = budget[0]
    verdicts += await _judge(run, library, merged, rejected, given.step)
    return Step(
        given.step,
        given.epoch,
        tuple(group for group, _ in taught),
        tuple(proposals),
        tuple(verdicts),
        failures,
        library.version,
        library.version,
        sum(len(c.dropped) for _, c in taught),
        minus(total(run.tally), used),
        lessons.monitor,
    )


def effects(run: Run, library: Library, index: int) -> dict[int, Evidence]:
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


async def _judge(
    run: Run, library: Library, merged: Consolidated, rejected: Sequence[Verdict], index: int
) -> list[Verdict]:
    """Put the edits before the gate, except those that were refused under this very version or are screened out."""
    refused = {question(edit) for verdict in rejected for edit in verdict.edits}
    fresh = [p for p in merged.proposals if question(p.edit) not in refused]
    screened = screen(fresh, run.rules, decided_before(run.store, library.name, run.id, index))
    parts = (screened.clean, screened.held)
    try:
        if not run.stopped:
            # Apart, so that what goes in at once was not measured together with what waits.
            clean, held = [await run.gate(library, part, trial_of(run)) if part else () for part in parts]
            return [*screened.verdicts, *clean, *hold(held)]
    except BudgetReached as error:
        run.stopped = str(error)
    cut = [Verdict("undecided", (p.edit,), f"cut short: {run.stopped}") for part in parts for p in part]
    return [*screened.verdicts, *cut]


def trial_of(run: Run) -> HeldoutTrial:
    """Return the gate's laboratory: real rollouts on held-out problems, and the rollouts of the run so far."""
    drawn = run.config.rollout
    return HeldoutTrial(
        run.actor,
        run.heldout,
        evaluation_sampling(run.config),
        run.config.seed,
        tuple(reversed(run.groups)),
        run.stored,
        run.likelihood,
        run.teacher if run.paraphrases else None,
        on_policy=drawn.temperature in (None, 1.0) and drawn.top_p in (None, 1.0),
    )


def commit(run: Run, library: Library, step: Step) -> tuple[Library, Step]:
    """Store a step in one transaction: groups, verdicts, the new version and its evidence.

    A step that is stored already is not stored again; the library it led to is returned.
    """
    store = run.store
    for row in store.steps(run.id, step.index):
        return store.library(library.name, row.version_after), replace(step, version_after=row.version_after)
    edits = [edit for verdict in step.verdicts if verdict.decision == "accepted" for edit in verdict.edits]
    with store.atomic():
        for group in step.groups_P:
            record_group(run, step, group)
        after = store.commit(library.name, edits, parent=library.version, run=run.id, step=step.index, note="learn")
        ids = [row.lesson_id for row in store.log(after.name) if row.version == after.version] if edits else []
        _record_verdicts(run, step, after, dict(zip(map(id, edits), ids, strict=True)))
        store.record_uses(library.name, uses(store, library, step.groups_P), run=run.id, step=step.index)
        store.record_step(
            run.id,
            step.index,
            epoch=step.epoch,
            version_before=library.version,
            version_after=after.version,
            summary=step_summary(step),
        )
    return after, replace(step, version_after=after.version)


def _record_verdicts(run: Run, step: Step, after: Library, ids: Mapping[int, int]) -> None:
    """Store what was refused, and the evidence of every verdict with the lessons it speaks of."""
    for verdict in step.verdicts:
        if verdict.decision != "accepted":
            run.store.set_aside(
                after.name,
                verdict.edits,
                status=verdict.decision,
                reason=verdict.reason,
                version=step.version_before,
                run=run.id,
                step=step.index,
            )
        for found in verdict.evidence:
            bundle = found.detail.get("role") == "bundle"
            about = ids.values() if bundle else (ids[id(edit)] for edit in verdict.edits if id(edit) in ids)
            edits = [] if bundle else [[e.op.value, list(e.ids), e.text] for e in verdict.edits]
            named = replace(found, lesson_ids=tuple(about) or found.lesson_ids, detail={**found.detail, "edit": edits})
            run.store.add_evidence(after.name, [named], version=after.version, run=run.id, step=step.index)


def record_group(run: Run, step: Step, group: Group) -> None:
    """Store a group of a step with its rollouts, scores, rewards and advantages."""
    run.store.record_group(
        run.id,
        step.index,
        problem=asdict(group.problem),
        status=group.status.value,
        version=group.version,
        rollouts=[_stored(group, i) for i in range(len(group.rollouts_G))],
        scores=[[asdict(part) for part in (score, *score.parts)] for score in group.scores_G],
        rewards=group.rewards_G,
        advantages=group.advantages_G,
    )


def _stored(group: Group, i: int) -> dict[str, Any]:
    """Return a rollout as it is stored, with the rewards and advantages of its steps where there are any."""
    kept = {key: value for key, value in asdict(group.rollouts_G[i]).items() if key not in ("reply", "turn_ids")}
    if group.scores_G[i].steps:
        kept["step_rewards"] = [None if math.isnan(r) else r for r in group.scores_G[i].steps]
    if group.step_advantages_G:
        kept["step_advantages"] = list(group.step_advantages_G[i])
    return kept


def step_summary(step: Step) -> dict[str, Any]:
    """Return the numbers of a step as they are stored and printed."""
    rewards = [r for g in step.groups_P for r in g.rewards_G if r == r]  # noqa: PLR0124 - nan is not equal to itself
    decided = [v.decision for v in step.verdicts for _ in v.edits]
    return {
        "groups": count(g.status.value for g in step.groups_P),
        "edits": {"proposed": proposed(step), **count(decided)},
        "reward": sum(rewards) / len(rewards) if rewards else None,
        "rollouts": sum(len(g.rollouts_G) for g in step.groups_P),
        "failures": count(f.kind.value for f in failures(step)),
        **step.monitor,
    }


def proposed(step: Step) -> int:
    """Return how many edits the contrasts of a step proposed, those that the checks refused included."""
    return len(step.proposals) + step.refused


def failures(step: Step) -> list[Any]:
    """All failures of a step: of rollouts, of grading, and of the roles that write lessons."""
    inside = [s.failure for g in step.groups_P for s in g.scores_G if s.failure]
    return [*inside, *step.failures]


def count(words: Any) -> dict[str, int]:
    """Return how often each word occurs, in order of first appearance."""
    table: dict[str, int] = {}
    for word in words:
        table[word] = table.get(word, 0) + 1
    return table


def _failures(taught: Sequence[tuple[Group, Contrast]], merged: Consolidated) -> list[Any]:
    found = [s.failure for group, _ in taught for s in group.scores_G if s.failure]
    return [*found, *(f for _, c in taught for f in c.failures), *merged.failures]


def minus(a: Usage, b: Usage) -> Usage:
    """Return what `a` has more than `b`; unknown money stays unknown."""
    usd = None if a.usd is None or b.usd is None else a.usd - b.usd
    return Usage(
        a.prompt_tokens - b.prompt_tokens,
        a.completion_tokens - b.completion_tokens,
        a.cached_tokens - b.cached_tokens,
        usd,
    )
