"""A name and a table become a grader; one that asks a model gets it here, with the journal and limits of the run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experience_db import Journal, Store
from tfgrpo import registry
from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.endpoints import Endpoints, endpoints_of
from tfgrpo.backends.identity import identity_of
from tfgrpo.backends.limited import Budget, Ledger, Limited
from tfgrpo.backends.metered import Metered, Tally
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.backends.stack import with_wrappers
from tfgrpo.config.engine import EngineConfig
from tfgrpo.config.grader import GraderConfig
from tfgrpo.errors import UsageError
from tfgrpo.executors import Local
from tfgrpo.graders import Grader, from_function
from tfgrpo.graders.votes import NEEDS, ROLE, JudgeModel, NeedsModel
from tfgrpo.graders.weighted import Weighted
from tfgrpo.prompting.templates import Prompts

if TYPE_CHECKING:
    from tfgrpo.graders.judge import Judge

FREE = frozenset({"base_url", "self_check", "calls", "tokens"})
"""Keys that do not change what a grader says."""
UNPACED = 100_000
"""Slots of the inner budget: the pace of the endpoint is kept outside of it."""


def grader_for(given: Any, config: GraderConfig = GraderConfig()) -> tuple[Grader, str]:
    """Return the grader and a stable name for it.

    Raises:
        UnknownPlugin: no grader of that name.
        UsageError: it is not callable, or its options do not fit.
    """
    name = given if isinstance(given, str) else getattr(given, "__qualname__", type(given).__name__)
    found = registry.resolve("graders", given) if isinstance(given, str) else given
    if found is Weighted:
        return _weighted(config), name
    if inspect.isclass(found):
        found = _made(found, name, config)
    elif config.options:
        raise UsageError(f"grader {name!r} takes no options; grader.options goes with built-in graders and classes")
    call = found if inspect.isroutine(found) else getattr(found, "__call__", found)  # noqa: B004
    try:
        parameters = list(inspect.signature(call).parameters)
    except (TypeError, ValueError) as error:
        raise UsageError(f"grader {name!r} is not callable; give a function (problem, rollout) -> float") from error
    if "rollouts" in parameters:
        return found, name
    return from_function(found, name), name


def _made(kind: Callable[..., Any], name: str, config: GraderConfig) -> Any:
    """An object of a grader class: with the whole table where it takes `config`, else with its options."""
    takes = inspect.signature(kind).parameters
    try:
        made = kind(config=read_rubric(config)) if "config" in takes else kind(**config.options)
    except TypeError as error:
        known = ", ".join(takes) or "none"
        raise UsageError(f"grader {name!r} does not take these options: {error}; it knows: {known}") from error
    if name == "judge" and not config.model:
        raise UsageError(f"grader 'judge' {NEEDS}")
    return made


def _weighted(config: GraderConfig) -> Weighted:
    if not config.parts:
        raise UsageError(
            "grader 'weighted' needs its parts, such as [grader] parts = {exact = 1.0, judge = 0.5} in the file of "
            "--config, or -s grader.parts.exact=1 -s grader.parts.judge=0.5"
        )
    for name, weight in config.parts.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise UsageError(f"grader.parts.{name} is {weight!r}; a weight is a number")
    if config.condition_on and config.condition_on not in config.parts:
        raise UsageError(f"grader.condition_on is {config.condition_on!r}; the parts are: {', '.join(config.parts)}")
    if "weighted" in config.parts:
        raise UsageError("grader.parts names 'weighted' itself; give the graders that it combines")
    if unknown := set(config.options) - set(config.parts):
        raise UsageError(f"grader.options of weighted is a table for each part, and {min(unknown)!r} is no part")
    made = {n: grader_for(n, replace(config, options=_table(config.options, n)))[0] for n in config.parts}
    weights = {name: float(weight) for name, weight in config.parts.items()}
    return Weighted(made, weights, config.condition_on, config.threshold)


def _table(options: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = options.get(name, {})
    if not isinstance(found, Mapping):
        raise UsageError(f"grader.options.{name} is a table of options for that part, not {found!r}")
    return found


def read_rubric(config: GraderConfig) -> GraderConfig:
    """Return the configuration with the words of its rubric, where it names a file.

    Raises:
        UsageError: it looks like a file that is not there or cannot be read.
    """
    given = config.rubric
    if not given.endswith((".md", ".txt")) or "\n" in given:
        return config
    try:
        return replace(config, rubric=Path(given).read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"cannot read the rubric {given}: {why}") from error


def grader_record(config: GraderConfig) -> dict[str, Any]:
    """Return what differs from the defaults and decides what a grader says, for the record and identity of a run."""
    told, default = asdict(read_rubric(config)), asdict(GraderConfig())
    return {key: told[key] for key in (f.name for f in fields(config)) if key not in FREE and told[key] != default[key]}


@dataclass(slots=True)
class JudgeConnection:
    """The connection to the judge's model: opened once, shared by all graders of a run."""

    endpoints: Endpoints
    config: GraderConfig
    pace: Pace
    same_model: bool = False
    """See `EngineConfig.same_model`."""

    def with_model(
        self,
        grader: Grader,
        *,
        prompts: Prompts,
        store: Store,
        policy: RetryPolicy,
        ledger: Ledger,
        tally: dict[str, Tally],
        run: str | None = None,
    ) -> Grader:
        """Return `grader` with its model behind journal, retries and both budgets: its own, and that of the run."""
        if not isinstance(grader, NeedsModel):
            return grader
        journal = Journal(store)
        calls, tokens, _ = journal.spent(run, ROLE) if run else (0, 0, 0.0)
        own = Ledger(Budget(self.config.calls, self.config.tokens), calls=calls, tokens=tokens)
        bare = [Limited(backend, own, Pace(UNPACED), self.endpoints.price) for backend in self.endpoints.backends]
        stack = with_wrappers(
            bare,
            policy=policy,
            ledger=ledger,
            pace=self.pace,
            price=self.endpoints.price,
            journal=journal,
            run=run,
            mark=identity_of(store, self.endpoints, same=self.same_model).mark,
        )
        return grader.with_model(JudgeModel(Metered(stack, tally), self.endpoints.model, prompts, Local()))


async def self_test_judges(grader: Grader) -> None:
    """Let every judge in `grader` decide known pairs, unless its configuration says not to.

    Raises:
        NothingLearned: a judge cannot.
    """
    for judge in judges(grader):
        from tfgrpo.graders.self_test import self_check  # noqa: PLC0415 - few runs have a judge

        if judge.config.self_check:
            relative = judge.config.mode != "answer"
            await self_check(judge, by_rubric=bool(judge.config.rubric), in_groups=relative)


def judges(grader: object) -> tuple[Judge, ...]:
    """Return what judges within a grader, itself or its parts."""
    if not isinstance(grader, NeedsModel):
        return ()
    from tfgrpo.graders.judge import Judge  # noqa: PLC0415 - few runs have one
    from tfgrpo.graders.web_qa import WebQA  # noqa: PLC0415

    if isinstance(grader, Weighted):
        return tuple(judge for part in grader.graders.values() for judge in judges(part))
    if isinstance(grader, WebQA) and grader.asks:
        return (Judge(replace(grader.config, mode="answer"), grader.judge_model),)
    return (grader,) if isinstance(grader, Judge) else ()


def judge_connection_for(grader: Grader, config: GraderConfig, engine: EngineConfig) -> JudgeConnection | None:
    """Return the way to the judge's model; None for graders that ask none.

    Raises:
        UsageError: the model's name cannot be understood.
    """
    if not isinstance(grader, NeedsModel) or not grader.asks:
        return None
    if not config.model:
        raise UsageError(f"the grader {NEEDS}")
    line = endpoints_of(config.model, (config.base_url,) if config.base_url else (), engine)
    pace = Pace(engine.concurrency, per_minute=engine.requests_per_minute)
    return JudgeConnection(line, config, pace, same_model=engine.same_model)
