"""A step as it is stored, in one transaction, and as the numbers that displays and records show of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from experience_db import Library, Store
from tfgrpo.learning.overlap import lesson_uses
from tfgrpo.learning.run import Run
from tfgrpo.types import Failure, Group, Step, Verdict


def commit_step(run: Run, library: Library, step: Step) -> tuple[Library, Step]:
    """Store a step in one transaction: groups, verdicts, the new version and its evidence.

    A step that is stored already is not stored again; the library it led to is returned.
    """
    store = run.store
    for row in store.steps(run.id, step.index):
        # A rollback at the end of its epoch comes after the step; a repeated run meets both again.
        version = row.summary.get("rolled_back", row.version_after)
        return store.library(library.name, version), replace(step, version_after=version)
    edits = [edit for verdict in step.verdicts if verdict.decision == "accepted" for edit in verdict.edits]
    with store.atomic():
        for group in step.groups_P:
            record_group(run, step, group)
        after = store.commit(library.name, edits, parent=library.version, run=run.id, step=step.index, note="learn")
        ids = [row.lesson_id for row in store.log(after.name) if row.version == after.version] if edits else []
        record_refusals(store, after.name, step.verdicts, version=step.version_before, run=run.id, step=step.index)
        _record_evidence(run, step, after, dict(zip(map(id, edits), ids, strict=True)))
        suited = getattr(run.actor.environment, "suited", None)
        record_end(run, step, after.version, lesson_uses(store, library, step.groups_P, suited))
    return after, replace(step, version_after=after.version)


def _record_evidence(run: Run, step: Step, after: Library, ids: Mapping[int, int]) -> None:
    """Store the evidence of every verdict with the lessons it speaks of."""
    for verdict in step.verdicts:
        for found in verdict.evidence:
            bundle = found.detail.get("role") == "bundle"
            about = ids.values() if bundle else (ids[id(edit)] for edit in verdict.edits if id(edit) in ids)
            edits = [] if bundle else [[e.op.value, list(e.ids), e.text] for e in verdict.edits]
            more = {"edit": edits, "pool": len(run.pools.proving)}
            named = replace(found, lesson_ids=tuple(about) or found.lesson_ids, detail={**found.detail, **more})
            run.store.add_evidence(after.name, [named], version=after.version, run=run.id, step=step.index)


def record_refusals(
    store: Store, library: str, verdicts: Iterable[Verdict], *, version: int, run: str | None, step: int | None = None
) -> None:
    """Store the edits that were not accepted under a version, each with its verdict."""
    for verdict in verdicts:
        if verdict.decision != "accepted":
            store.set_aside(
                library,
                verdict.edits,
                status="undecided" if verdict.decision == "untested" else verdict.decision,
                reason=verdict.reason,
                version=version,
                run=run,
                step=step,
            )


def record_end(run: Run, step: Step, version_after: int, uses: Mapping[int, int]) -> None:
    """Store that a step is done, with its numbers and how many rollouts had each lesson in their prompt."""
    run.store.record_uses(run.library.name, uses, run=run.id, step=step.index)
    run.store.record_step(
        run.id,
        step.index,
        epoch=step.epoch,
        version_before=step.version_before,
        version_after=version_after,
        summary=step_summary(step),
    )


def record_group(run: Run, step: Step, group: Group) -> None:
    """Store a group of a step with its rollouts, scores, rewards and advantages."""
    run.store.record_group(
        run.id,
        step.index,
        problem=_plain(group.problem),
        status=group.status.value,
        version=group.version,
        rollouts=[_stored(group, i) for i in range(len(group.rollouts_G))],
        scores=[[_plain(part) for part in (score, *score.parts)] for score in group.scores_G],
        rewards=group.rewards_G,
        advantages=group.advantages_G,
    )


_DERIVED = ("reply", "turn_ids")
"""What the journal keeps already."""


def _stored(group: Group, i: int) -> dict[str, Any]:
    """Return a rollout as it is stored, with the rewards and advantages of its steps where there are any."""
    rollout = group.rollouts_G[i]
    kept = {key: _plain(getattr(rollout, key)) for key in rollout.__dataclass_fields__ if key not in _DERIVED}
    if group.scores_G[i].steps:
        kept["step_rewards"] = [None if math.isnan(r) else r for r in group.scores_G[i].steps]
    if group.step_advantages_G:
        kept["step_advantages"] = list(group.step_advantages_G[i])
    return kept


def _plain(value: Any) -> Any:
    """Return a dataclass as `asdict` does, without its copies of what is plain already: it is written at once."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def step_summary(step: Step) -> dict[str, Any]:
    """Return the numbers of a step as they are stored and printed."""
    rewards = [r for g in step.groups_P for r in g.rewards_G if r == r]  # noqa: PLR0124 - nan is not equal to itself
    decided = [v.decision for v in step.verdicts for _ in v.edits]
    return {
        "groups": count_each(g.status.value for g in step.groups_P),
        "edits": {"proposed": proposed_edits(step), **count_each(decided)},
        "reward": sum(rewards) / len(rewards) if rewards else None,
        "rollouts": sum(len(g.rollouts_G) for g in step.groups_P),
        "failures": count_each(f.kind.value for f in step_failures(step)),
        **({"decided": dict(step.decided)} if step.decided else {}),
        **step.monitor,
    }


def proposed_edits(step: Step) -> int:
    """Return how many edits the contrasts of a step proposed, those that the checks refused included."""
    return len(step.proposals) + step.refused


def step_failures(step: Step) -> list[Failure]:
    """All failures of a step: of rollouts, of grading, and of the roles that write lessons."""
    inside = [s.failure for g in step.groups_P for s in g.scores_G if s.failure]
    return [*inside, *step.failures]


def count_each(words: Iterable[str]) -> dict[str, int]:
    """Return how often each word occurs, in order of first appearance."""
    table: dict[str, int] = {}
    for word in words:
        table[word] = table.get(word, 0) + 1
    return table
