"""The Python face: the same verbs as the command line, with objects where those take names."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experience_db import Library, Store
from experience_db.codec import nan_to_none
from tfgrpo import build, search
from tfgrpo import config as configuration
from tfgrpo.backends.metered import printed_usage, total_usage
from tfgrpo.build import Components
from tfgrpo.datasets import learning_and_heldout, limited, problems_from
from tfgrpo.datasets.exposure import exposure_of
from tfgrpo.environments import Agent
from tfgrpo.errors import TfgrpoError, UsageError
from tfgrpo.evaluation import controls as controlling
from tfgrpo.evaluation import measure
from tfgrpo.evaluation.measure import Evaluation
from tfgrpo.evaluation.record import reader_notes, record_evaluation
from tfgrpo.graders import factory
from tfgrpo.graders.fit import require_fit, with_labels
from tfgrpo.learning.outcome import require_grades, require_learning
from tfgrpo.learning.run import Run, evaluation_sampling
from tfgrpo.learning.setup import Setup
from tfgrpo.learning.summary import for_record, summarize_run, without_contents
from tfgrpo.lessons.versions import library_at
from tfgrpo.rollout import Actor
from tfgrpo.types import Problem, Step

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
            await factory.checked(run.actor.grader)
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
    controlling.check_controls(controls)
    wanted = setup(**asked)
    config = wanted.config
    found = limited(problems_from(problems, fields, configuration.data_folder()), config.limit, config.seed)
    await require_fit(found, wanted.grader, _named(problems, len(found)))
    wanted = replace(wanted, config=replace(config, grader=with_labels(config.grader, found, wanted.grader)))
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        parts = build.open_components(wanted, None, stack)
        actor = parts.actor()
        await factory.checked(actor.grader)
        shown = _library(parts.store, library, parts.prompts.block(wanted.config.lessons.place))
        given = _control_conditions(parts, actor, shown, found, k)
        known = exposure_of(parts.store, shown if isinstance(library, str) and library else Library(""), found)
        if test and known.sentence:
            raise UsageError(f"{known.sentence}; a test set shares nothing with them: give another one, or no --test")
        main = await measure.evaluate(actor, shown, found, given.sampling, k)
        table = {name: await controlling.measure_control(name, given, main) for name in controls}
        summary = nan_to_none(
            {
                "dataset": _named(problems, len(found)),
                "library": shown.name,
                "version": shown.version,
                "model": wanted.model,
                **measure.summary(main, k, config.seed),
                "controls": table,
                "usage": printed_usage(total_usage(parts.models.tally)),
                "seconds": round(time.monotonic() - began, 3),
            }
        )
        notes = (*parts.models.address_changes(), *reader_notes(parts.store, shown, found, summary["dataset"], known))
        if isinstance(library, str):
            counts = {"taught": len(known.taught), "gated": len(known.gated)}
            record_evaluation(parts.store, wanted, summary | {"seen": counts}, shown if library else None)
    return EvalResult(summary, main, notes)


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


def evaluate_sync(problems: Any, **asked: Any) -> EvalResult:
    """Measure a library and wait for the result; arguments as `evaluate`."""
    return asyncio.run(evaluate(problems, **asked))


def _library(store: Store, given: str | Library, template: str) -> Library:
    if isinstance(given, Library):
        return given
    return library_at(store, given) if given else Library("none", template=template)
