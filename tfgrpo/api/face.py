"""The Python face: the same verbs as the command line, with objects where those take names."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, TypeVar

from experience_db import Library
from tfgrpo import config as configuration
from tfgrpo.api.execution import evaluated, execute
from tfgrpo.environments import Agent
from tfgrpo.evaluation.results import EvalResult, LearnResult
from tfgrpo.learning.progress_bar import Bar
from tfgrpo.learning.setup import Setup
from tfgrpo.system.waiting import waited
from tfgrpo.types import Step

__all__ = [
    "EvalResult",
    "LearnResult",
    "evaluate",
    "evaluate_sync",
    "execute",
    "learn",
    "learn_all",
    "learn_sync",
    "setup",
]

F = TypeVar("F", bound=Callable[..., Any])


ARGUMENTS = """Args:
    problems: a path, a named dataset, Problem objects, or dicts with `question` and `answer`.
    heldout: a fraction, a path or problems to gate and measure on; None takes the configuration's.
    fields: which columns hold `question`, `answer`, `id` and `metadata`, where they are called otherwise.
    progress: a bar; None shows it in a notebook and on a terminal, True anywhere, False nowhere.
    k: rollouts per problem of an evaluation.
    controls: any of `tfgrpo.evaluation.controls.NAMES`, measured with the same problems and seeds.
    retrievals: ways to choose lessons, any of `tfgrpo.retrieval.NAMES`, measured with the same problems and seeds.
    on_notes: told what a reader should know of the measurement, before the first call.
    test: refuse a set with problems that the library's runs learned from or were gated on.
    model: `tiny`, `openai/NAME`, or any `provider/model`.
    grader: a name, `package.module:attr`, a function `(problem, rollout)`, or a Grader.
    library: its name.
    environment: an agent of one's own, `def` or `async def agent(problem, lessons)`; None asks the model once.
    base_url: of an OpenAI-compatible endpoint; several share the load.
    db: database file; None is `TFGRPO_DB`, else `experience.db`.
    prompts: folder whose templates replace single ones.
    method: preset.
    config: TOML file with configuration keys.
    tools: what a rollout may call, `"python,web_search"`, a list, or options by name: `{"python": {"seconds": 5}}`.
    instructions: what the model is told besides the problem.
    summarizer_model: writes the lessons; None is the model itself.
    run: its name.
    epochs: passes over the dataset; like all that follow, None leaves it to `method` and `config`.
    group_size: rollouts per problem.
    batch_size: problems per step.
    concurrency: model calls in flight, at most.
    seed: of everything that is drawn.
    limit: how many problems to use, drawn by the seed.
    gate: `paired`, `open` or `likelihood`.
    review: lessons that rest on tool output wait for `tfgrpo lessons review`.
    budget_usd: US dollars to spend, at most.
    budget_tokens: tokens to use, at most.
    budget_calls: calls to send, at most.
    budget_seconds: start no call later than this.
    overrides: configuration keys as texts, `["rollout.temperature=0.7"]`.
    keys: the same with a double underscore for the dot, `rollout__temperature=0.7`.
"""
"""What the arguments of all functions here mean; `help` shows it under each."""


MEASURING = ("problems", "library", "k", "controls", "retrievals", "fields", "on_notes", "test")
"""Arguments of `evaluate` that are no settings."""


def documented(function: F) -> F:
    """Put what the arguments mean under a docstring, so that help and notebooks show it."""
    function.__doc__ = f"{inspect.getdoc(function)}\n\n{ARGUMENTS}"
    return function


@documented
def setup(  # noqa: PLR0913 - the options of the command line
    *,
    model: str,
    grader: Any,
    library: str = "default",
    environment: Agent | None = None,
    base_url: str | Sequence[str] | None = None,
    db: str | Path | None = None,
    prompts: str | Path | None = None,
    method: str = "default",
    config: str | Path | None = None,
    tools: str | Sequence[str] | Mapping[str, Any] | None = None,
    instructions: str | None = None,
    summarizer_model: str | None = None,
    run: str | None = None,
    epochs: int | None = None,
    group_size: int | None = None,
    batch_size: int | None = None,
    concurrency: int | None = None,
    seed: int | None = None,
    limit: int | None = None,
    gate: str | None = None,
    review: bool | None = None,
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    budget_calls: int | None = None,
    budget_seconds: float | None = None,
    overrides: Sequence[str] | None = None,
    **keys: Any,
) -> Setup:
    """Return what was asked for as one value; the arguments are the command line's options under the same names.

    Raises:
        UnknownKey: an option that does not exist.
    """
    told = locals()
    plain = {name: told[name] for name in configuration.PLACES if told.get(name) is not None}
    plain |= {name.replace("__", "."): value for name, value in keys.items() if value is not None}
    plain = {configuration.PLACES.get(name, name): value for name, value in plain.items()}
    names = [name.strip() for name in tools.split(",")] if isinstance(tools, str) else list(tools or ())
    called: dict[str, Any] = {"environment.kind": "tool_loop", "environment.tools": tuple(names)} if names else {}
    if isinstance(tools, Mapping):
        called["tools"] = dict(tools)
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
            method,
            Path(config) if config is not None else None,
            [*called.items(), *plain.items(), *(overrides or ())],
        ),
    )


def _options(told: Mapping[str, Any], *beside: str) -> dict[str, Any]:
    """Return the arguments of a caller as those of `setup`."""
    return {**{name: value for name, value in told.items() if name not in (*beside, "keys")}, **told["keys"]}


@documented
async def learn(  # noqa: PLR0913
    problems: Any,
    *,
    model: str,
    grader: Any,
    heldout: Any = None,
    library: str = "default",
    fields: Mapping[str, str] | None = None,
    environment: Agent | None = None,
    base_url: str | Sequence[str] | None = None,
    db: str | Path | None = None,
    prompts: str | Path | None = None,
    method: str = "default",
    config: str | Path | None = None,
    tools: str | Sequence[str] | Mapping[str, Any] | None = None,
    instructions: str | None = None,
    summarizer_model: str | None = None,
    run: str | None = None,
    epochs: int | None = None,
    group_size: int | None = None,
    batch_size: int | None = None,
    concurrency: int | None = None,
    seed: int | None = None,
    limit: int | None = None,
    gate: str | None = None,
    review: bool | None = None,
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    budget_calls: int | None = None,
    budget_seconds: float | None = None,
    overrides: Sequence[str] | None = None,
    **keys: Any,
) -> AsyncGenerator[Step, None]:
    """Learn from `problems` and yield each step once it is committed.

    Raises:
        UsageError: wrong arguments or input; nothing was done.
        EndpointError: the endpoint refuses every call.
        NothingLearned: not one group could be graded, or every contrast failed.
    """
    wanted = setup(**_options(locals(), "problems", "heldout", "fields"))
    # Closed at once when the caller stops early, so that the run is recorded as interrupted and its file given back.
    async with aclosing(execute(wanted, problems, heldout, fields=fields)) as steps:
        async for step in steps:
            yield step


@documented
async def learn_all(  # noqa: PLR0913
    problems: Any,
    *,
    model: str,
    grader: Any,
    heldout: Any = None,
    library: str = "default",
    fields: Mapping[str, str] | None = None,
    progress: bool | None = None,
    environment: Agent | None = None,
    base_url: str | Sequence[str] | None = None,
    db: str | Path | None = None,
    prompts: str | Path | None = None,
    method: str = "default",
    config: str | Path | None = None,
    tools: str | Sequence[str] | Mapping[str, Any] | None = None,
    instructions: str | None = None,
    summarizer_model: str | None = None,
    run: str | None = None,
    epochs: int | None = None,
    group_size: int | None = None,
    batch_size: int | None = None,
    concurrency: int | None = None,
    seed: int | None = None,
    limit: int | None = None,
    gate: str | None = None,
    review: bool | None = None,
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    budget_calls: int | None = None,
    budget_seconds: float | None = None,
    overrides: Sequence[str] | None = None,
    **keys: Any,
) -> LearnResult:
    """Learn from `problems` to the end and return the library, the steps and the summary; arguments as in `learn`.

    Raises:
        UsageError: wrong arguments or input; nothing was done.
        EndpointError: the endpoint refuses every call.
        NothingLearned: not one group could be graded, or every contrast failed.
    """
    wanted = setup(**_options(locals(), "problems", "heldout", "fields", "progress"))
    ended: list[LearnResult] = []
    with closing(Bar(progress)) as bar:
        async for _ in execute(wanted, problems, heldout, fields=fields, on_start=bar.start, on_end=ended.append):
            pass
    return ended[0]


@documented
def learn_sync(  # noqa: PLR0913
    problems: Any,
    *,
    model: str,
    grader: Any,
    heldout: Any = None,
    library: str = "default",
    fields: Mapping[str, str] | None = None,
    progress: bool | None = None,
    environment: Agent | None = None,
    base_url: str | Sequence[str] | None = None,
    db: str | Path | None = None,
    prompts: str | Path | None = None,
    method: str = "default",
    config: str | Path | None = None,
    tools: str | Sequence[str] | Mapping[str, Any] | None = None,
    instructions: str | None = None,
    summarizer_model: str | None = None,
    run: str | None = None,
    epochs: int | None = None,
    group_size: int | None = None,
    batch_size: int | None = None,
    concurrency: int | None = None,
    seed: int | None = None,
    limit: int | None = None,
    gate: str | None = None,
    review: bool | None = None,
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    budget_calls: int | None = None,
    budget_seconds: float | None = None,
    overrides: Sequence[str] | None = None,
    **keys: Any,
) -> LearnResult:
    """Do what `learn_all` does and wait for it, also inside a running event loop, as a notebook has one."""
    return waited(learn_all, problems, **_options(locals(), "problems"))


@documented
async def evaluate(  # noqa: PLR0913
    problems: Any,
    *,
    model: str,
    grader: Any,
    library: str | Library = "",
    k: int = 1,
    controls: Sequence[str] = (),
    retrievals: Sequence[str] = (),
    fields: Mapping[str, str] | None = None,
    on_notes: Callable[[tuple[str, ...]], None] | None = None,
    test: bool = False,
    environment: Agent | None = None,
    base_url: str | Sequence[str] | None = None,
    db: str | Path | None = None,
    prompts: str | Path | None = None,
    method: str = "default",
    config: str | Path | None = None,
    tools: str | Sequence[str] | Mapping[str, Any] | None = None,
    instructions: str | None = None,
    summarizer_model: str | None = None,
    run: str | None = None,
    concurrency: int | None = None,
    seed: int | None = None,
    limit: int | None = None,
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    budget_calls: int | None = None,
    budget_seconds: float | None = None,
    overrides: Sequence[str] | None = None,
    **keys: Any,
) -> EvalResult:
    """Measure a library on `problems`: mean@k with interval, pass@k, pass^k, and controls beside it.

    `library` is `NAME`, `NAME@VERSION`, a Library, or '' for none at all.

    Raises:
        UsageError: with `test`, problems that the library has seen; nothing was asked.
        NothingLearned: nothing could be measured.
    """
    wanted = setup(**_options(locals(), *MEASURING))
    return await evaluated(
        wanted, problems, library,
        k=k, controls=controls, fields=fields, test=test, retrievals=retrievals, on_notes=on_notes,
    )  # fmt: skip


@documented
def evaluate_sync(  # noqa: PLR0913
    problems: Any,
    *,
    model: str,
    grader: Any,
    library: str | Library = "",
    k: int = 1,
    controls: Sequence[str] = (),
    retrievals: Sequence[str] = (),
    fields: Mapping[str, str] | None = None,
    on_notes: Callable[[tuple[str, ...]], None] | None = None,
    test: bool = False,
    environment: Agent | None = None,
    base_url: str | Sequence[str] | None = None,
    db: str | Path | None = None,
    prompts: str | Path | None = None,
    method: str = "default",
    config: str | Path | None = None,
    tools: str | Sequence[str] | Mapping[str, Any] | None = None,
    instructions: str | None = None,
    summarizer_model: str | None = None,
    run: str | None = None,
    concurrency: int | None = None,
    seed: int | None = None,
    limit: int | None = None,
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    budget_calls: int | None = None,
    budget_seconds: float | None = None,
    overrides: Sequence[str] | None = None,
    **keys: Any,
) -> EvalResult:
    """Do what `evaluate` does and wait for it, also inside a running event loop, as a notebook has one."""
    return waited(evaluate, problems, **_options(locals(), "problems"))
