"""The Python face: the same verbs as the command line, with objects where those take names."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experience_db import Evaluation as Measured
from experience_db import Library, Store
from experience_db.codec import finite
from tfgrpo import build, search
from tfgrpo import config as configuration
from tfgrpo.backends.metered import total
from tfgrpo.build import Bench, Setup
from tfgrpo.datasets import exposure
from tfgrpo.environments import Agent
from tfgrpo.errors import NothingLearned, TfgrpoError, UsageError
from tfgrpo.evaluation import controls as controlling
from tfgrpo.evaluation import measure
from tfgrpo.evaluation.measure import Evaluation
from tfgrpo.graders import factory
from tfgrpo.learning.run import Run, evaluation_sampling
from tfgrpo.learning.summary import recorded, shed, summarize_run
from tfgrpo.lessons.summarize import Teacher
from tfgrpo.rollout import Actor
from tfgrpo.types import Problem, Step

ENOUGH_FAILED = 8
"""After so many groups, all of them failed, a run ends."""


KEPT_WHOLE = 5_000
"""Rollouts of one run whose content is kept in memory; that of later ones is in the store alone."""


@dataclass(frozen=True, slots=True)
class LearnResult:
    """What a finished run left behind."""

    library: Library
    steps: tuple[Step, ...]
    """All steps; after 5,000 rollouts without the rollouts' content, which is in the store."""
    summary: dict[str, Any]
    """The fields of `learn --json`."""


@dataclass(frozen=True, slots=True)
class EvalResult:
    """What an evaluation showed."""

    summary: dict[str, Any]
    """The fields of `eval --json`."""
    evaluation: Evaluation
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know: problems that taught the library, earlier looks at the same dataset."""


def setup(  # noqa: PLR0913 - the options of the command line
    *,
    model: str,
    grader: Any,
    environment: Agent | None = None,
    db: str | Path | None = None,
    library: str = "default",
    base_url: str | Sequence[str] | None = None,
    summarizer_model: str | None = None,
    run: str | None = None,
    prompts: str | Path | None = None,
    method: str = "default",
    config: str | Path | None = None,
    overrides: Sequence[str] | None = None,
    **options: Any,
) -> Setup:
    """Return what was asked for as one value.

    `options` are the command line's options with underscores (`group_size=8`, `gate="open"`, `budget_usd=2`), or
    configuration keys with a double underscore for the dot (`rollout__temperature=0.7`).

    Raises:
        UnknownKey: an option that does not exist.
    """
    named = {configuration.PLACES.get(k, k.replace("__", ".")): v for k, v in options.items() if v is not None}
    return Setup(
        model=model,
        grader=grader,
        environment=environment,
        base_urls=(base_url,) if isinstance(base_url, str) else tuple(base_url or ()),
        summarizer_model=summarizer_model,
        db=Path(db) if db is not None else configuration.default_db(),
        library=library,
        run=run,
        prompts_dir=Path(prompts) if prompts is not None else None,
        config=configuration.load(
            method, Path(config) if config is not None else None, [*named.items(), *(overrides or ())]
        ),
    )


async def learn(problems: Any, *, heldout: Any = None, **asked: Any) -> AsyncGenerator[Step, None]:
    """Learn from `problems` and yield each step once it is committed; see `setup` for the arguments.

    Args:
        problems: a path, a named dataset, Problem objects, or dicts with `question` and `answer`.
        heldout: a fraction, a path or problems to gate and measure on; None takes the configuration's.
        asked: the arguments of `setup`.

    Raises:
        UsageError: wrong arguments or input; nothing was done.
        EndpointError: the endpoint refuses every call.
        NothingLearned: not one group could be graded, or every contrast failed.
    """
    # Closed at once when the caller stops early, so that the run is recorded as interrupted and its file given back.
    async with aclosing(execute(setup(**asked), problems, heldout)) as steps:
        async for step in steps:
            yield step


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
    learning, kept = build.split(wanted, build.problems_for(problems, fields), heldout)
    began, steps, rollouts = time.monotonic(), [], 0
    async with AsyncExitStack() as stack:
        run = build.open_run(wanted, learning, kept, stack)
        if on_start:
            on_start(run)
        status = "interrupted"
        try:
            await factory.checked(run.actor.grader)
            async for step in search.learn(run):
                rollouts += sum(len(g.rollouts_G) for g in step.groups_P)
                steps.append(step if rollouts <= KEPT_WHOLE else shed(step))
                yield step
                if not run.stopped:
                    _require_grades(steps, min(ENOUGH_FAILED, len(learning)))
            if not run.stopped:
                _require_learning(steps)
            status = "budget" if run.stopped else "finished"
            if run.stopped and run.watch and run.watch.stopped:
                status = "interrupted"
        except TfgrpoError:
            status = "failed"
            raise
        finally:
            summary = summarize_run(run, steps, time.monotonic() - began)
            run.store.finish_run(run.id, status, recorded(run, summary))
        if on_end:
            on_end(LearnResult(run.store.library(run.library.name, summary["version"]), tuple(steps), summary))


def _require_grades(steps: Sequence[Step], enough: int) -> None:
    """End a run in which every group so far has failed, once there are `enough`: going on only costs more."""
    groups = [g for s in steps for g in s.groups_P]
    if len(groups) >= enough and all(g.status == "failed" for g in groups):
        failed = [s.failure for g in groups for s in g.scores_G if s.failure]
        graded = [s.value is not None for g in groups for s in g.scores_G]
        many = "no group has two graded rollouts" if any(graded) else "not one rollout could be graded"
        raise NothingLearned(f"{many}: {failed[0].message if failed else 'the grader gave no scores'}")


def _require_learning(steps: Sequence[Step]) -> None:
    """A run that learned nothing because nothing worked must not look like one that found nothing to learn."""
    groups = [g for s in steps for g in s.groups_P]
    taught = [g for g in groups if g.status == "kept"]
    lost = [f for s in steps for f in s.failures if f.kind != "budget"]
    if taught and len(lost) >= len(taught) and not any(s.proposals for s in steps):
        raise NothingLearned(f"every contrast failed, {len(lost)} in all: {lost[0].message}")


def learn_sync(problems: Any, *, heldout: Any = None, **asked: Any) -> LearnResult:
    """Learn from `problems` to the end and return the library, the steps and the summary; arguments as `learn`."""
    ended: list[LearnResult] = []

    async def run() -> None:
        async for _ in execute(setup(**asked), problems, heldout, on_end=ended.append):
            pass

    asyncio.run(run())
    return ended[0]


async def evaluate(
    problems: Any,
    *,
    library: str | Library = "",
    k: int = 1,
    controls: Sequence[str] = (),
    fields: Mapping[str, str] | None = None,
    test: bool = False,
    **asked: Any,
) -> EvalResult:
    """Measure a library on `problems`: mean@k with interval, pass@k, pass^k, and controls beside it.

    Args:
        problems: as in `learn`.
        library: `NAME`, `NAME@VERSION`, a Library, or '' for none at all.
        k: rollouts per problem.
        controls: any of `tfgrpo.evaluation.controls.NAMES`; each is measured with the same problems and seeds.
        fields: which columns hold `question`, `answer`, `id` and `metadata`, where they are called otherwise.
        test: refuse a set with problems that the library's runs learned from or were gated on.
        asked: the arguments of `setup`.

    Raises:
        UsageError: with `test`, problems that the library has seen; nothing was asked.
        NothingLearned: nothing could be measured.
    """
    controlling.check(controls)
    wanted = setup(**asked)
    found = build.limited(build.problems_for(problems, fields), wanted.config)
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        bench = build.open_bench(wanted, None, stack)
        actor = bench.actor()
        await factory.checked(actor.grader)
        shown = _library(bench.store, library, bench.prompts.source("lessons"))
        given = _given(bench, actor, shown, found, k)
        known = exposure.seen(bench.store, shown, found) if isinstance(library, str) and library else exposure.Seen()
        if test and known.sentence:
            raise UsageError(f"{known.sentence}; a test set shares nothing with them: give another one, or no --test")
        main = await measure.evaluate(actor, shown, found, given.sampling, k)
        seed = wanted.config.seed
        table = {name: await controlling.run(name, given, main) for name in controls}
        summary = finite(
            {
                "dataset": str(problems) if isinstance(problems, str | Path) else f"{len(found)} problems",
                "library": shown.name,
                "version": shown.version,
                "model": wanted.model,
                **measure.summary(main, k, seed),
                "controls": table,
                "usage": asdict(total(bench.tally)),
                "seconds": round(time.monotonic() - began, 3),
            }
        )
        notes = (*bench.moved(), *_notes(bench.store, shown, found, summary["dataset"], known))
        if isinstance(library, str):
            counts = {"taught": len(known.taught), "gated": len(known.gated)}
            _log(bench.store, wanted, summary | {"seen": counts}, shown if library else None)
    return EvalResult(summary, main, notes)


def _notes(
    store: Store, shown: Library, found: Sequence[Problem], dataset: str, known: exposure.Seen
) -> tuple[str, ...]:
    sources = {source.problem_id for lesson in shown for source in lesson.sources}
    taught = sum(problem.id in sources for problem in found)
    others = {(e.library, e.version, e.model) for e in store.evaluations() if e.dataset == dataset and not e.control}
    notes = []
    if known.sentence:
        notes.append(f"{known.sentence}; its figures look too good")
    elif taught:
        notes.append(f"{taught} of the {len(found)} problems taught lessons of this library; its figures look too good")
    if len(others) > 2:
        notes.append(
            f"{len(others)} libraries and models were measured on {dataset} before; whoever picks the best of many on "
            "one set needs another set to say how good it is"
        )
    return tuple(notes)


def _given(bench: Bench, actor: Actor, shown: Library, found: tuple[Problem, ...], k: int) -> controlling.Given:
    config, writer = bench.setup.config, bench.writer
    return controlling.Given(
        actor,
        Teacher(bench.backend(writer), writer.model, bench.prompts, actor.executor, config.lessons),
        shown,
        found,
        evaluation_sampling(config),
        k,
        config.seed,
        controlling.examples(bench.store, shown, found),
        config.instructions,
    )


def evaluate_sync(problems: Any, **asked: Any) -> EvalResult:
    """Measure a library and wait for the result; arguments as `evaluate`."""
    return asyncio.run(evaluate(problems, **asked))


def _log(store: Store, wanted: Setup, summary: Mapping[str, Any], shown: Library | None) -> None:
    """Keep every look at a dataset: a test set that is read often is no test set any more."""
    name, version = (shown.name, shown.version) if shown is not None else (None, None)
    mark = hashlib.sha256(json.dumps([summary["dataset"], name, version, wanted.model]).encode()).hexdigest()
    run = f"eval-{mark[:8]}"
    told = build.describe(wanted)
    store.start_run(
        run,
        name=run,
        kind="eval",
        fingerprint=mark,
        config=told,
        library=name,
        base_version=version,
        dataset=summary["dataset"],
    )
    rows = {"": summary, **{control: row for control, row in summary["controls"].items() if row["mean"] is not None}}
    for control, row in rows.items():
        low, high = row["ci"]
        measured = Measured(
            run, summary["dataset"], wanted.model, name, version, row["mean"], low, high, summary["problems"],
            summary["k"], control, dict(row),
        )  # fmt: skip
        store.record_evaluation(measured)
    store.finish_run(run, "finished", summary)


def _library(store: Store, given: str | Library, template: str) -> Library:
    if isinstance(given, Library):
        return given
    return build.library_at(store, given) if given else Library("none", template=template)
