"""Names and settings become objects here, and nowhere else: models, graders, gates, prompts, and a run ready to go."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from experience_db import Journal, Library, Store
from tfgrpo import config as configuration
from tfgrpo import datasets, registry, search
from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.endpoints import Line, endpoint, paces, refuses, require_prices
from tfgrpo.backends.limited import Budget, Ledger
from tfgrpo.backends.metered import Metered, Tally
from tfgrpo.backends.retry import RetryPolicy
from tfgrpo.backends.score import Scoring
from tfgrpo.backends.stack import stacked
from tfgrpo.config import BudgetConfig, LearnConfig
from tfgrpo.config.engine import EngineConfig
from tfgrpo.datasets import exposure
from tfgrpo.edit_scores.teacher_forced import Likelihood, Prompting, free_touch, scores_of
from tfgrpo.environments import Agent, Environment
from tfgrpo.environments.factory import Ways, name_of, opened, tools_of
from tfgrpo.errors import UsageError
from tfgrpo.executors import Local
from tfgrpo.gates import Gate
from tfgrpo.graders import Grader
from tfgrpo.graders.factory import Judging, described, grader_for, judging
from tfgrpo.learning.progress import Watch
from tfgrpo.learning.resume import continuation, moved
from tfgrpo.learning.run import Run
from tfgrpo.lessons.review import rules_of
from tfgrpo.lessons.rivals import topics_of
from tfgrpo.lessons.summarize import Teacher
from tfgrpo.prompting import templates
from tfgrpo.prompting.templates import Prompts
from tfgrpo.rollout import Actor
from tfgrpo.system.redact import addresses, hider
from tfgrpo.tools import Tool
from tfgrpo.types import Problem


@dataclass(frozen=True, slots=True)
class Setup:
    """What a command or a caller of the Python API asked for, still as names."""

    model: str
    grader: Any
    """A name, `package.module:attr`, a function `(problem, rollout)`, or a Grader."""
    environment: Agent | None = None
    """Anybody's agent; None asks the model once per rollout."""
    base_urls: tuple[str, ...] = ()
    summarizer_model: str | None = None
    """Writes the lessons; None means the model itself."""
    db: Path = Path("experience.db")
    library: str = "default"
    run: str | None = None
    prompts_dir: Path | None = None
    """A folder whose templates replace single ones of the set."""
    config: LearnConfig = LearnConfig()
    tools: tuple[Tool, ...] = ()
    """What the environment `tool_loop` may call; empty makes the tools that the configuration names."""


def prompt_set(model: str, config: LearnConfig, override: Path | None = None) -> Prompts:
    """Load the templates: those of `override` win, then the set of the configuration or of the model, then `default`.

    Args:
        model: a set named like it is its own; `local/...` models take `small`.
        config: for `prompts`, which wins over `small`.
        override: a folder of templates, or the name of a set, which then is the set.
    """
    if override is not None and str(override) in templates.sets() and not override.is_dir():
        return templates.load(str(override))
    own = model.rsplit("/", 1)[-1]
    if own in templates.sets() and own != "default":
        return templates.load(own, override)
    return templates.load(config.prompts or ("small" if model.startswith("local/") else "default"), override)


def gate_for(config: LearnConfig, heldout: Sequence[Problem]) -> Gate:
    """Return the gate of a configuration.

    Raises:
        UsageError: a gate that measures was chosen without held-out problems, or its options do not fit.
    """
    kind = config.gate.kind
    if kind != "open" and not heldout:
        raise UsageError(f"gate {kind!r} needs held-out problems; give --heldout, or choose --gate open")
    factory = registry.resolve("gates", kind)
    try:
        scored = {"score": config.edit_score} if configuration.needs_scores(config) else {}
        gate: Gate = factory(seed=config.seed, **scored, **config.gate.options)
    except TypeError as error:
        raise UsageError(f"gate {kind!r} does not take these options: {error}") from error
    return gate


def problems_for(given: Any, fields: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    """Return problems from a path, a named dataset, Problem objects or plain dicts."""
    if isinstance(given, str | Path):
        return datasets.load(str(given), fields=fields, folder=configuration.data_folder())
    return datasets.from_rows(given)


def split(setup: Setup, problems: tuple[Problem, ...], heldout: Any) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Return learning and held-out problems, which share nothing.

    Args:
        setup: for the seed, the limit and the default fraction.
        problems: the whole dataset.
        heldout: a fraction in [0, 1), a file, problems, or None for the configuration's.

    Raises:
        UsageError: an empty side, or problems that occur on both.
    """
    wanted = setup.config.heldout if heldout is None else heldout
    fraction = _fraction(wanted)
    if fraction is not None:
        learning, kept = datasets.split(problems, fraction, setup.config.seed, apart=True)
    else:
        learning, kept = problems, problems_for(wanted)
        if shared := datasets.overlap(learning, kept):
            listed = ", ".join(f"{item.b!r} (same {item.kind} as {item.a!r})" for item in shared[:3])
            raise UsageError(f"--heldout overlaps with the learning problems: {len(shared)} in both, such as {listed}")
    learning = limited(learning, setup.config)
    if not learning:
        raise UsageError(f"no problem is left to learn from: {len(problems)} in all, {len(kept)} held out")
    return learning, kept


def limited(problems: tuple[Problem, ...], config: LearnConfig) -> tuple[Problem, ...]:
    """Return as many problems as the configuration's limit allows: a seeded draw, in input order."""
    if config.limit is None or config.limit >= len(problems):
        return problems
    if config.limit < 1:
        raise UsageError(f"--limit is {config.limit}; give at least 1")
    drawn = sorted(random.Random(config.seed).sample(range(len(problems)), config.limit))
    return tuple(problems[i] for i in drawn)


def _fraction(wanted: Any) -> float | None:
    try:
        value = float(wanted)
    except (TypeError, ValueError):
        return None
    if not 0 <= value < 1:
        raise UsageError(f"--heldout is a file or a fraction from 0 to below 1, not {wanted}")
    return value


@dataclass(slots=True)
class Bench:
    """The objects that learning and evaluation share."""

    setup: Setup
    store: Store
    line: Line
    writer: Line
    """The way to the model that writes the lessons."""
    prompts: Prompts
    grader: Grader
    ledger: Ledger
    paces: tuple[Pace, ...]
    """One for each endpoint, shared by all roles."""
    run: str | None = None
    tally: dict[str, Tally] = field(default_factory=dict)
    watch: Watch | None = None
    judging: Judging | None = None
    """The way to the judge's model, where the grader asks one."""

    def backend(self, line: Line) -> Backend:
        """Put retries, limits, journal and meter around a bare backend; all roles share them."""
        stack = stacked(
            line.backends,
            policy=RetryPolicy(attempts=self.setup.config.engine.attempts),
            ledger=self.ledger,
            pace=self.paces[: len(line.backends)],
            weights=line.weights,
            price=line.price,
            journal=Journal(self.store),
            run=self.run,
            joining=line.joining,
            memory=self.store,
        )
        return Metered(stack, self.tally)

    def moved(self) -> list[str]:
        """Return a sentence for each model that was asked at another address the last time."""
        ways = {way.model: way.urls for way in (self.writer, self.line)}
        return [said for model, urls in ways.items() if (said := moved(self.store, model, urls))]

    def armed(self) -> Grader:
        """Return the grader, with its model where it asks one."""
        if self.judging is None:
            return self.grader
        policy = RetryPolicy(attempts=self.setup.config.engine.attempts)
        return self.judging.armed(
            self.grader, prompts=self.prompts, store=self.store, policy=policy, ledger=self.ledger, tally=self.tally,
            run=self.run,
        )  # fmt: skip

    def actor(self) -> Actor:
        """Return what attempts problems and judges the attempts."""
        setup, config = self.setup, self.setup.config
        where = ", ".join(sorted(self.line.urls))
        way = self.backend(self.line)
        ways = Ways(way, self.line.model, self.prompts, self.store, self.ledger, self.tally, self.run, where)
        environment = opened(setup.environment, config, setup.tools, ways)
        seen = self.watch.saw if self.watch else None
        return Actor(environment, self.armed(), Local(), config.seed, config.engine.concurrency, seen)


def open_bench(setup: Setup, store: Store | None, stack: AsyncExitStack, run: str | None = None) -> Bench:
    """Build what a command needs; closing the stack gives everything back.

    Without a `store` the setup's database is opened, after everything else was found to be right.

    Raises:
        UsageError: a money budget for a model whose price is unknown.
    """
    engine, budget = setup.config.engine, setup.config.budget
    line = endpoint(setup.model, setup.base_urls, engine, token_ids=configuration.needs_scores(setup.config))
    writer = line
    if setup.summarizer_model:
        writer = endpoint(setup.summarizer_model, setup.base_urls, engine)
    grader, _ = grader_for(setup.grader, setup.config.grader)
    stack.push_async_callback(close, grader)
    judge = judging(grader, setup.config.grader, engine)
    ways = (line, writer, *([judge.line] if judge else []))
    for backend in dict.fromkeys(backend for way in ways for backend in way.backends):
        stack.push_async_callback(close, backend)
    if budget.usd is not None:
        require_prices(ways)
    ledger = Ledger(Budget(budget.calls, budget.tokens, budget.usd, budget.seconds, budget.stop_file))
    texts = prompt_set(setup.model, setup.config, setup.prompts_dir)
    setup = replace(setup, tools=setup.tools or tools_of(setup.config))
    for tool in setup.tools:
        stack.push_async_callback(close, tool)
    store = store or stack.enter_context(Store.open(setup.db))
    named = [configuration.environment(way.key) or "" for way in engine.endpoints if way.key]
    urls = (*setup.base_urls, *addresses(configuration.to_table(setup.config)))
    store.hide = hider([*configuration.secrets(*urls), *filter(None, named)])
    shared = paces((line, writer), engine, ledger)
    return Bench(setup, store, line, writer, texts, grader, ledger, shared, run, judging=judge)


def teacher_of(bench: Bench) -> Teacher:
    """Return the model that writes lessons, for commands that are not a run."""
    writer = bench.writer
    return Teacher(bench.backend(writer), writer.model, bench.prompts, Local(), bench.setup.config.lessons)


def agent_name(setup: Setup) -> str:
    """Return the stable name of the user's agent; `single_turn` when there is none."""
    return name_of(setup.environment, setup.config)


def open_run(setup: Setup, learning: Sequence[Problem], heldout: Sequence[Problem], stack: AsyncExitStack) -> Run:
    """Build a run: a new one, or the one that the same command started before.

    Raises:
        UsageError: settings that do not fit together; nothing was stored.
    """
    config = setup.config
    gate = gate_for(config, heldout)
    search.check(config, heldout)
    tools = [*config.environment.tools, *(tool.spec.name for tool in setup.tools)]
    rules = rules_of(config.lessons.review, config.lessons.allow, tools, configuration.secrets())
    bench = open_bench(setup, None, stack)
    store = bench.store
    mark = fingerprint(setup, learning, heldout, bench.prompts)
    bench.run = f"{setup.run}@{mark[:8]}" if setup.run else f"learn-{mark[:8]}"
    bench.watch = Watch(bench.ledger, bench.paces, bench.tally)
    actor, writer = bench.actor(), bench.writer
    likelihood = _likelihood(bench, actor.environment, stack)
    stack.enter_context(store.claim(setup.library, f"run {bench.run}"))
    resumed = any(run.id == bench.run for run in store.runs())
    library = _base(setup, store, bench.run, bench.prompts.source("lessons"))
    started = store.start_run(
        bench.run,
        name=setup.run or bench.run,
        kind="learn",
        fingerprint=mark,
        config=describe(setup) | {exposure.POOL: exposure.marks(heldout)},
        library=library.name,
        base_version=library.version,
        dataset=datasets.content_hash(learning),
    )
    bench.ledger.calls, bench.ledger.tokens, bench.ledger.usd = _spent(store, bench.run)
    way = bench.backend(writer)
    teacher = Teacher(way, writer.model, bench.prompts, actor.executor, config.lessons, bench.run)
    name = setup.run or bench.run
    learn, held = tuple(learning), tuple(heldout)
    run = Run(bench.run, name, config, store, library, actor, teacher, gate, learn, held, bench.tally, bench.ledger)
    run.watch, run.rules, run.topics = bench.watch, rules, topics_of((*learn, *held))
    told = continuation(store, started, resumed=resumed, named=setup.run is not None)
    run.continuation = "; ".join(filter(None, [told, *bench.moved()]))
    run.unseeded = partial(refuses, bench.line, "seed")
    run.likelihood, run.paraphrases = likelihood, setup.summarizer_model is not None
    return run


def _likelihood(bench: Bench, environment: Environment, stack: AsyncExitStack) -> Likelihood | None:
    """Return what scores stored rollouts, where the gate asks for it.

    Raises:
        UsageError: the model or the environment cannot be scored.
    """
    setup, line = bench.setup, bench.line
    ours = isinstance(environment, Prompting)
    touch = free_touch(setup.config, line.backend, own_prompt=ours)
    if not touch and not configuration.needs_scores(setup.config):
        return None
    if not isinstance(environment, Prompting):
        raise UsageError("edit scores need the prompt of a rollout, and an agent makes its own; use --gate paired")
    scores = scores_of(
        line.backend, configuration.environment("OPENAI_API_KEY"), line.price, setup.config.engine.timeout
    )
    stack.push_async_callback(close, scores)
    scoring = Scoring(bench.backend(Line(scores, line.model, line.price)), line.model)
    return Likelihood(scoring, environment, Local())


def _base(setup: Setup, store: Store, run: str, template: str) -> Library:
    """Return the version a run starts from: the newest, or the one it started from the first time."""
    known = next((r for r in store.runs() if r.id == run), None)
    if known is not None:
        return store.library(setup.library, known.base_version)
    return store.create_library(setup.library, template)


def _spent(store: Store, run: str) -> tuple[int, int, float]:
    """Calls, tokens and US dollars that this run used up in earlier executions; an agent pays its own calls."""
    paid = [call for call in Journal(store).calls(run) if not call.model.startswith(("agent:", "tool:"))]
    tokens = sum(call.prompt_tokens + call.completion_tokens for call in paid)
    return len(paid), tokens, sum(call.usd or 0.0 for call in paid)


def describe(setup: Setup) -> dict[str, Any]:
    """Return the resolved setup as plain data, for the run's record; it holds no key."""
    return {
        "model": setup.model,
        "summarizer_model": setup.summarizer_model or setup.model,
        "agent": agent_name(setup),
        "library": setup.library,
        **configuration.to_table(setup.config),
        "grader": grader_for(setup.grader, setup.config.grader)[1],
        "grading": described(setup.config.grader),
    }


def fingerprint(setup: Setup, learning: Sequence[Problem], heldout: Sequence[Problem], texts: Prompts) -> str:
    """Return the identity of a run: everything that decides what is asked, nothing that only decides how fast."""
    engine = EngineConfig(overlap=setup.config.engine.overlap)
    told = describe(replace(setup, config=replace(setup.config, engine=engine, budget=BudgetConfig())))
    told["templates"] = {name: texts.hash(name) for name in texts.names}
    told["datasets"] = [datasets.content_hash(learning), datasets.content_hash(heldout)]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def library_at(store: Store, spec: str) -> Library:
    """Return the library that `NAME` or `NAME@VERSION` stands for."""
    name, _, version = spec.partition("@")
    if version and not version.isdecimal():
        raise UsageError(f"a library is NAME or NAME@VERSION with a whole number, not {spec!r}")
    return store.library(name, int(version) if version else None)
