"""Learning from what is there: contrasts over stored groups become edits, which a gate tries, or which wait for one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from experience_db import Library, Store
from tfgrpo import build
from tfgrpo import config as configuration
from tfgrpo.backends.metered import printed_usage, total_usage
from tfgrpo.datasets import learning_and_heldout
from tfgrpo.errors import NothingLearned, UsageError
from tfgrpo.executors import Local
from tfgrpo.learning.batch import BatchResult
from tfgrpo.learning.gate_step import put_before_gate
from tfgrpo.learning.propose import BatchConditions
from tfgrpo.learning.record_step import commit_step
from tfgrpo.learning.run import learning_sampling
from tfgrpo.learning.setup import Setup
from tfgrpo.learning.summary import for_record, summarize_run
from tfgrpo.lessons.consolidate import consolidate
from tfgrpo.lessons.review import ReviewRules, parse_kinds
from tfgrpo.lessons.summarize import Contrast, contrast
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.methods.method import initial_memory
from tfgrpo.readers import Stored
from tfgrpo.sessions import Event, SessionRules, cycle, enqueue
from tfgrpo.studies.stored_rollouts import groups_of_sessions, groups_of_traces
from tfgrpo.types import Group, Verdict

GROWTH = 1.5
"""How many times as many sessions a kind of task must have before it is contrasted anew."""


@dataclass(frozen=True, slots=True)
class Taught:
    """What stored rollouts taught."""

    summary: dict[str, Any]
    """As `--json` prints it."""
    verdicts: tuple[Verdict, ...] = ()
    events: tuple[Event, ...] = ()


async def learn_from_traces(wanted: Setup, stored: Stored, heldout: str | None = None) -> Taught:
    """Contrast the attempts of a file or folder, and put the edits before a gate or let them wait.

    Args:
        wanted: model, library, database; with `heldout` also the grader.
        stored: what was read.
        heldout: problems to try the edits on at once, as in `learn`: a file, or the share of the items that is kept
            from the contrasts. None lets the edits wait for sessions or a person.

    Raises:
        UsageError: no item was attempted twice with different scores.
        NothingLearned: every contrast failed.
    """
    async with AsyncExitStack() as stack:
        with Store.open(wanted.db) as store:
            known = wanted.library in store.libraries()
            version = store.library(wanted.library).version if known else 0
        groups = groups_of_traces(stored, wanted.config, version)
        counts = _counts(stored)
        if not groups:
            raise UsageError(
                f"{stored.path}: no item has two scored attempts that differ, so there is nothing to contrast; "
                f"{counts['rows']} rows, {counts['scored']} with a score, {counts['items']} items"
            )
        if heldout is not None:
            return await _gated(wanted, groups, heldout, counts, stack)
        parts = build.open_components(wanted, None, stack)
        library = parts.store.create_library(wanted.library, parts.block())
        with parts.store.claim(wanted.library, "learning from traces"):
            edits, failures = await contrasted(parts.teacher(), groups, library)
            verdicts = enqueue(parts.store, library, edits, _rules(wanted))
        usage = printed_usage(total_usage(parts.models.tally))
        summary = {**_summary(library, groups, verdicts, failures), **counts, "usage": usage}
        return Taught(summary, verdicts)


async def learn_from_sessions(
    wanted: Setup, rules: SessionRules, first: Sequence[int] = (), seen: dict[str, int] | None = None
) -> Taught:
    """Look at the sessions of a library once: contrast what is new, then decide, withdraw and begin trials.

    Args:
        wanted: model, library, database.
        rules: what must be shown.
        first: numbers of waiting edits that a person wants tried.
        seen: sessions that each kind of task had when it was contrasted last; grows.

    Raises:
        UnknownLibrary: there is no such library.
    """
    seen = {} if seen is None else seen
    async with AsyncExitStack() as stack:
        parts = build.open_components(wanted, None, stack)
        store = parts.store
        library = store.library(wanted.library)
        with store.claim(wanted.library, "learning from sessions"):
            groups = groups_of_sessions(store, library.name, wanted.config)
            fresh = [g for g in groups if g.weight >= GROWTH * seen.get(g.problem.id, 0.5)]
            seen.update({g.problem.id: round(g.weight) for g in fresh})
            edits, failures = await contrasted(parts.teacher(), fresh, library)
            verdicts = enqueue(store, library, edits, _rules(wanted))
            events = cycle(store, library.name, rules, first=first)
        usage = printed_usage(total_usage(parts.models.tally))
        counts = {"sessions": len(store.sessions(library.name)), "usage": usage}
        now = store.library(library.name)
        told = [{"kind": e.kind, "message": e.message, "version": e.version} for e in events]
        return Taught({**_summary(now, fresh, verdicts, failures), **counts, "events": told}, verdicts, events)


async def contrasted(teacher: Teacher, groups: Sequence[Group], library: Library) -> tuple[Any, int]:
    """Return the edits that groups propose, brought together, and how many contrasts failed.

    Raises:
        NothingLearned: every contrast failed.
    """
    found = await Local().run([partial(contrast, teacher, group, library) for group in groups])
    failures = [failure for one in found for failure in one.failures]
    if groups and len(failures) >= len(groups):
        raise NothingLearned(f"every contrast failed, the first one so: {failures[0].message}")
    merged = await consolidate(teacher, library, [p for one in found for p in one.proposals])
    return merged.proposals, len(failures)


async def _gated(
    wanted: Setup, groups: tuple[Group, ...], heldout: str, counts: dict[str, int], stack: AsyncExitStack
) -> Taught:
    """Put the edits before the live gate, as one step of a run without a rollout to learn from."""
    items = [{"id": g.problem.id, "question": g.problem.question, "answer": g.problem.answer} for g in groups]
    learning, kept = learning_and_heldout(
        items, heldout, seed=wanted.config.seed, folder=configuration.data_folder()
    )  # fmt: skip
    began, ids = time.monotonic(), {problem.id for problem in learning}
    run = build.open_run(wanted, learning, kept, stack)
    run.rules = _rules(wanted)
    run.memory = initial_memory(run.config)
    mine = tuple(group for group in groups if group.problem.id in ids)
    way = learning_sampling(run.config)
    given = BatchConditions(run.actor, run.teacher, run.config, run.library, way, 0, 0, (), {}, run.memory)
    status = "failed"
    try:
        found: list[Contrast] = await Local().run([partial(contrast, run.teacher, g, run.library) for g in mine])
        used = total_usage(run.tally)
        step = await put_before_gate(run, run.library, given, BatchResult(mine, tuple(found), {}), (), used)
        if not run.stopped:
            run.library, step = commit_step(run, run.library, step)
        status = "budget" if run.stopped else "finished"
    finally:
        steps = [step] if status != "failed" else []
        summary = summarize_run(run, steps, time.monotonic() - began)
        run.store.finish_run(run.id, status, for_record(run, summary))
    return Taught({**summary, **counts}, step.verdicts)


def _rules(wanted: Setup) -> ReviewRules:
    """Text of strangers waits for a person unless it was said otherwise."""
    lessons = wanted.config.lessons
    review = True if lessons.review is None else lessons.review
    return ReviewRules(review, parse_kinds(lessons.allow), tuple(configuration.secrets()))


def _counts(stored: Stored) -> dict[str, int]:
    return {
        "rows": len(stored.rows),
        "scored": sum(row.score is not None for row in stored.rows),
        "items": len({row.id for row in stored.rows}),
        "skipped_files": len(stored.skipped),
    }


def _summary(library: Library, groups: Sequence[Group], verdicts: Sequence[Verdict], failures: int) -> dict[str, Any]:
    return {
        "library": library.name,
        "version": library.version,
        "groups": len(groups),
        "proposed": len(verdicts),
        "waiting": sum(v.decision == "undecided" for v in verdicts),
        "rejected": sum(v.decision == "rejected" for v in verdicts),
        "failed_contrasts": failures,
    }
