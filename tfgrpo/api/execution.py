"""A run from beginning to end, and an evaluation: loads, checks, builds, runs and records what `api` was asked for."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from experience_db import Library, Store, StoreNotFound
from experience_db.codec import nan_to_none
from tfgrpo import build, search
from tfgrpo import config as configuration
from tfgrpo.backends.metered import printed_usage, total_usage
from tfgrpo.datasets import learning_and_heldout, limited, problems_from
from tfgrpo.datasets.exposure import exposure_of
from tfgrpo.errors import TfgrpoError, UsageError
from tfgrpo.evaluation import controls as controlling
from tfgrpo.evaluation import measure
from tfgrpo.evaluation.record import reader_notes, record_evaluation
from tfgrpo.evaluation.results import EvalResult, LearnResult
from tfgrpo.evaluation.retrievals import best_retrieval, retrieval_row
from tfgrpo.graders import factory
from tfgrpo.graders.dataset_check import require_fit, with_labels
from tfgrpo.learning.components import Components
from tfgrpo.learning.run import Run, evaluation_sampling
from tfgrpo.learning.run_failure import require_grades, require_learning
from tfgrpo.learning.setup import Setup
from tfgrpo.learning.summary import for_record, summarize_run, without_contents
from tfgrpo.lessons.versions import library_at, name_and_version
from tfgrpo.retrieval import retrieval_for
from tfgrpo.rollout import Actor
from tfgrpo.types import Problem, Step

KEPT_WHOLE = 5_000
"""Rollouts of one run whose content is kept in memory; that of later ones is in the store alone."""


async def execute(
    wanted: Setup,
    problems: Any,
    heldout: Any = None,
    *,
    fields: Mapping[str, str] | None = None,
    on_start: Callable[[Run], None] | None = None,
    on_end: Callable[[LearnResult], None] | None = None,
) -> AsyncGenerator[Step, None]:
    """Run `wanted` from beginning to end, record how it ended, and yield its steps."""
    config = wanted.config
    learning, kept = learning_and_heldout(
        problems, config.heldout if heldout is None else heldout, seed=config.seed, limit=config.limit,
        fields=fields, folder=configuration.data_folder(),
    )  # fmt: skip
    every = (*learning, *kept)
    await require_fit(every, wanted.grader, _named(problems, len(every)))
    wanted = replace(wanted, config=replace(config, grader=with_labels(config.grader, every, wanted.grader)))
    began, steps, rollouts = time.monotonic(), [], 0
    async with AsyncExitStack() as stack:
        run = build.open_run(wanted, learning, kept, stack)
        if on_start:
            on_start(run)
        status = "interrupted"
        try:
            await factory.self_test_judges(run.actor.grader)
            async for step in search.learn(run):
                rollouts += sum(len(g.rollouts_G) for g in step.groups_P)
                steps.append(step if rollouts <= KEPT_WHOLE else without_contents(step))
                yield step
                if not run.stopped:
                    require_grades(steps, len(learning))
            if not run.stopped:
                require_learning(steps)
            status = "budget" if run.stopped else "finished"
            if run.stopped and run.progress and run.progress.stopped:
                status = "interrupted"
        except TfgrpoError:
            status = "failed"
            raise
        finally:
            summary = summarize_run(run, steps, time.monotonic() - began)
            run.store.finish_run(run.id, status, for_record(run, summary))
        if on_end:
            on_end(LearnResult(run.store.library(run.library.name, summary["version"]), tuple(steps), summary))


async def evaluated(  # noqa: PLR0913 - those of api.evaluate
    wanted: Setup,
    problems: Any,
    library: str | Library,
    *,
    k: int,
    controls: Sequence[str],
    fields: Mapping[str, str] | None,
    test: bool,
    retrievals: Sequence[str] = (),
    on_notes: Callable[[tuple[str, ...]], None] | None = None,
) -> EvalResult:
    """Measure a library as `wanted` says; arguments and errors as of `api.evaluate`."""
    controlling.check_controls(controls)
    config = wanted.config
    for name in retrievals:
        retrieval_for(name, config.lessons)
    if isinstance(library, str) and library:
        _require_database(wanted.db, library)
    found = limited(problems_from(problems, fields, configuration.data_folder()), config.limit, config.seed)
    await require_fit(found, wanted.grader, _named(problems, len(found)))
    wanted = replace(wanted, config=replace(config, grader=with_labels(config.grader, found, wanted.grader)))
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        parts = build.open_components(wanted, None, stack)
        actor = parts.actor()
        await factory.self_test_judges(actor.grader)
        shown = _library(parts.store, library, parts.block())
        given = _control_conditions(parts, actor, shown, found, k)
        known = exposure_of(parts.store, shown if isinstance(library, str) and library else Library(""), found)
        if test and known.sentence:
            raise UsageError(f"{known.sentence}; a test set shares nothing with them: give another one, or no --test")
        dataset = _named(problems, len(found))
        notes = (*_run_notes(parts, shown), *reader_notes(parts.store, shown, found, dataset, known))
        if on_notes:
            on_notes(notes)
        main = await measure.evaluate(actor, shown, found, given.sampling, k)
        table = {
            name: await controlling.measure_control(name, given, main)
            for name in sorted(controls, key=controlling.NAMES.index)
        }
        ways = await _retrievals(parts, shown, given, main, retrievals)
        summary = nan_to_none(
            {
                "dataset": dataset,
                "library": shown.name,
                "version": shown.version,
                "model": wanted.model,
                **measure.summary(main, k, config.seed),
                "controls": table,
                **({"retrieval": ways} if ways else {}),
                "usage": printed_usage(total_usage(parts.models.tally)),
                "seconds": round(time.monotonic() - began, 3),
            }
        )
        if isinstance(library, str):
            counts = {"taught": len(known.taught), "gated": len(known.gated)}
            record_evaluation(parts.store, wanted, summary | {"seen": counts}, shown if library else None)
    return EvalResult(summary, main, notes)


def _run_notes(parts: Components, shown: Library) -> tuple[str, ...]:
    """Return what is known of endpoint, block and instructions before a model is asked anything."""
    blocks = parts.block_notes(shown) if shown.lessons else ()
    return (*parts.models.address_changes(), *blocks, *parts.untold())


async def _retrievals(
    parts: Components,
    shown: Library,
    given: controlling.ControlConditions,
    main: measure.Evaluation,
    names: Sequence[str],
) -> dict[str, Any]:
    """Measure ways to choose lessons on the same problems and seeds; empty where none was asked for."""
    own, seed, found = parts.setup.config.lessons.retrieval, parts.setup.config.seed, dict[str, measure.Evaluation]()
    for name in dict.fromkeys(names):
        found[name] = (
            main
            if name == own
            else await measure.evaluate(parts.actor(name), shown, given.problems, given.sampling, given.k)
        )
    if not found:
        return {}
    base = next(iter(found.values()))
    table = {name: retrieval_row(row, base, seed, max(len(found) - 1, 1)) for name, row in found.items()}
    best, why = best_retrieval(table)
    return {"ways": table, "best": best, "why": why}


def _named(problems: Any, count: int) -> str:
    """Return what a dataset is called in records and messages."""
    return str(problems) if isinstance(problems, str | Path) else f"{count} problems"


def _control_conditions(
    parts: Components, actor: Actor, shown: Library, found: tuple[Problem, ...], k: int
) -> controlling.ControlConditions:
    config, examples = parts.setup.config, controlling.tip_examples(parts.store, shown, found)
    return controlling.ControlConditions(
        actor,
        parts.teacher(),
        shown,
        found,
        evaluation_sampling(config),
        k,
        config.seed,
        examples,
        config.instructions,
    )


def _require_database(db: Path, spec: str) -> None:
    """Raise StoreNotFound where a library cannot be: else a database would be made, and then said to lack it."""
    name, _ = name_and_version(spec)
    if not Path(db).is_file():
        raise StoreNotFound(f"there is no database {db}, so no library {name!r}; name another file with --db")


def _library(store: Store, given: str | Library, template: str) -> Library:
    if isinstance(given, Library):
        return given
    return library_at(store, given) if given else Library("none", template=template)
