"""An audit: measure what every lesson of a version is worth, keep it as evidence, let a gate confirm deletions."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experience_db import Edit, Evidence, Library, Op, Store
from tfgrpo import api, datasets
from tfgrpo import config as configuration
from tfgrpo.backends.metered import printed_usage, total_usage
from tfgrpo.build import open_components
from tfgrpo.errors import BudgetReached, NothingLearned, TfgrpoError, UsageError
from tfgrpo.evaluation import credit
from tfgrpo.evaluation.redundancy import pairs_out
from tfgrpo.gates.base import Rewards
from tfgrpo.gates.factory import gate_for
from tfgrpo.graders import factory
from tfgrpo.learning.components import Components
from tfgrpo.learning.record_step import record_refusals
from tfgrpo.learning.run import evaluation_sampling
from tfgrpo.learning.setup import Setup, describe
from tfgrpo.lessons.versions import library_at
from tfgrpo.types import Problem, Proposal, Verdict


@dataclass(frozen=True, slots=True)
class Plan:
    """How lessons are measured."""

    dropout: bool = False
    """The dropout pass instead of leave-one-out."""
    k: int = 2
    """Rollouts per touched problem and side, for leave-one-out."""
    group: int = credit.GROUP
    """Rollouts per problem, for dropout."""
    missing: float = credit.MISSING
    """Share of them that miss a lesson, for dropout."""
    confirm: bool = False
    """Ask the gate about the deletion of nominated lessons, and delete those whose absence helps."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found; all of it is stored."""

    library: Library
    """The version that was measured."""
    evidence: tuple[Evidence, ...]
    """One per lesson."""
    verdicts: tuple[Verdict, ...]
    """The gate's word on nominated deletions; empty unless asked for."""
    summary: dict[str, Any]
    """The fields of `lessons audit --json`."""


async def audit(
    problems: Any,
    *,
    library: str = "default",
    plan: Plan | None = None,
    fields: Mapping[str, str] | None = None,
    **asked: Any,
) -> Audit:
    """Measure every lesson of a library on `problems`, which should be others than it learned from.

    Args:
        problems: a path, a named dataset, Problem objects, or dicts with `question` and `answer`.
        library: `NAME` or `NAME@VERSION`.
        plan: how to measure; None means leave-one-out.
        fields: which columns hold `question`, `answer`, `id` and `metadata`, where they are called otherwise.
        asked: the arguments of `tfgrpo.learn` that say which model, grader and database.

    Raises:
        UsageError: wrong arguments, or a library without lessons; nothing was done.
        NothingLearned: not one lesson could be measured.
        BudgetReached: a budget did not admit the whole audit.
    """
    plan = plan or Plan()
    wanted = api.setup(**asked)
    whole = datasets.problems_from(problems, fields, configuration.data_folder())
    found = datasets.limited(whole, wanted.config.limit, wanted.config.seed)
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        store = stack.enter_context(Store.open(wanted.db))
        shown = library_at(store, library)
        if plan.confirm and shown.version != store.library(shown.name).version:
            raise UsageError(f"{library!r} is not the newest version; leave --confirm out, or roll back to it first")
        run = _start(store, wanted, shown, found, plan)
        stack.enter_context(store.claim(f"run {run}", f"run {run}"))
        status, summary = "interrupted", {}
        try:
            parts = open_components(wanted, store, stack, run)
            actor = parts.actor()
            await factory.self_test_judges(actor.grader)
            pool = credit.AuditTrial(actor, found, evaluation_sampling(wanted.config))
            known = Rewards()
            evidence = await _measure(shown, pool, plan, known)
            evidence = tuple(replace(e, detail={**e.detail, "model": wanted.model}) for e in evidence)
            if all(e.estimate is None for e in evidence):
                raise NothingLearned(f"no lesson could be measured: no rollout of {len(found)} problems has a score")
            store.add_evidence(shown.name, evidence, version=shown.version, run=run)
            verdicts = await _confirm(parts, shown, pool, evidence) if plan.confirm else ()
            # With one lesson less a pair would be measured in another library than the rest.
            twins = () if plan.dropout or verdicts else await pairs_out(shown, pool, evidence, k=plan.k, rewards=known)
            summary = _summary(parts, shown, found, evidence, verdicts) | {"redundant": _pairs(twins)}
            summary |= {"dataset": _name(problems, found), "seconds": round(time.monotonic() - began, 3)}
            status = "finished"
        except TfgrpoError as error:
            status = "budget" if isinstance(error, BudgetReached) else "failed"
            raise
        finally:
            store.finish_run(run, status, summary)
    return Audit(shown, evidence, verdicts, summary)


async def audit_models(
    problems: Any, *, models: Sequence[str], library: str = "default", plan: Plan | None = None, **asked: Any
) -> dict[str, Any]:
    """Audit a library under several models, one after the other, and set the effects of each lesson side by side.

    Arguments and errors as of `audit`. Returns `dataset, library, version, models, lessons, audits`: each lesson with
    its effect for every model, and whether their intervals lie apart.
    """
    if len(set(models)) < len(models):
        raise UsageError("a model is named twice; name each once")
    if plan is not None and plan.confirm:
        raise UsageError("--confirm goes with one model: what harms one may help another; audit them one by one")
    found = [await audit(problems, library=library, plan=plan, model=model, **asked) for model in models]
    first = found[0].summary
    rows = []
    for place, lesson in enumerate(first["lessons"]):
        each = {model: f.summary["lessons"][place] for model, f in zip(models, found, strict=True)}
        told = {model: {key: row[key] for key in ("estimate", "ci", "n", "reason")} for model, row in each.items()}
        rows.append({"id": lesson["id"], "text": lesson["text"], "effects": told, "apart": _apart(told.values())})
    named = {key: first[key] for key in ("dataset", "library", "version")}
    return {**named, "models": list(models), "lessons": rows, "audits": [f.summary for f in found]}


def _apart(effects: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether two of the intervals have no point in common."""
    ends = [effect["ci"] for effect in effects if None not in effect["ci"]]
    return bool(ends) and max(low for low, _ in ends) > min(high for _, high in ends)


def _name(given: Any, found: Sequence[Problem]) -> str:
    return str(given) if isinstance(given, str | Path) else f"{len(found)} problems"


def _start(store: Store, wanted: Setup, shown: Library, found: Sequence[Problem], plan: Plan) -> str:
    told = {**describe(wanted), "version": shown.version, "audit": asdict(plan)}
    content = datasets.content_hash(found)
    mark = hashlib.sha256(json.dumps([told, content], sort_keys=True, default=str).encode()).hexdigest()
    run = f"audit-{mark[:8]}"
    store.start_run(
        run,
        name=run,
        kind="audit",
        fingerprint=mark,
        config=told,
        library=shown.name,
        base_version=shown.version,
        dataset=content,
    )
    return run


async def _measure(shown: Library, pool: credit.AuditTrial, plan: Plan, known: Rewards) -> tuple[Evidence, ...]:
    actor = pool.actor
    if not plan.dropout:
        return await credit.leave_one_out(shown, pool, k=plan.k, rewards=known)
    return await credit.dropout(
        shown,
        pool,
        actor.executor,
        group=plan.group,
        missing=plan.missing,
        seed=actor.seed,
        limit=actor.concurrency,
    )


async def _confirm(
    parts: Components, shown: Library, pool: credit.AuditTrial, evidence: Sequence[Evidence]
) -> tuple[Verdict, ...]:
    """Ask the gate about each nominated deletion, on fresh rollouts, and commit what it accepts."""
    named = {i: e for e in evidence for i in credit.deletion_candidates([e])}
    if not named:
        return ()
    config, store = parts.setup.config, parts.store
    if config.gate.kind == "open":
        raise UsageError("--confirm needs a gate that measures; leave --gate open out")
    gate = gate_for(config, pool.problems)
    edits = [Edit(Op.DELETE, None, (i,), f"{e.kind} {e.estimate:+.3f}: {e.reason}") for i, e in named.items()]
    verdicts = await gate(shown, [Proposal(edit) for edit in edits], replace(pool, role="gate"))
    gone = [edit for v in verdicts if v.decision == "accepted" for edit in v.edits]
    with store.atomic():
        store.commit(shown.name, gone, parent=shown.version, run=parts.models.run, note="audit")
        record_refusals(store, shown.name, verdicts, version=shown.version, run=parts.models.run)
        for verdict in verdicts:
            store.add_evidence(shown.name, verdict.evidence, version=shown.version, run=parts.models.run)
    return verdicts


def _pairs(twins: Sequence[Evidence]) -> list[dict[str, Any]]:
    return [{"ids": list(e.lesson_ids), "estimate": e.estimate, "ci": [e.low, e.high], "n": e.n} for e in twins]


def _summary(
    parts: Components,
    shown: Library,
    found: Sequence[Problem],
    evidence: Sequence[Evidence],
    verdicts: Sequence[Verdict],
) -> dict[str, Any]:
    taught = {source.problem_id for lesson in shown for source in lesson.sources}
    return {
        "library": shown.name,
        "version": shown.version,
        "after": parts.store.library(shown.name).version,
        "model": parts.setup.model,
        "problems": len(found),
        "taught": sum(problem.id in taught for problem in found),
        "lessons": [
            {
                "id": lesson.id,
                "text": lesson.text,
                "kind": e.kind,
                "estimate": e.estimate,
                "ci": [e.low, e.high],
                "n": e.n,
                "touch": e.detail["touch"],
                "rollouts": e.detail["rollouts"]["new"] if e.kind == "leave-one-out" else None,
                "reason": e.reason,
            }
            for lesson, e in zip(shown, evidence, strict=True)
        ],
        "nominated": list(credit.deletion_candidates(evidence)),
        "rollouts": sum(tally.new + tally.replayed for tally in parts.models.tally.values()),
        "verdicts": [{"ids": list(v.edits[0].ids), "decision": v.decision, "reason": v.reason} for v in verdicts],
        "usage": printed_usage(total_usage(parts.models.tally)),
    }
