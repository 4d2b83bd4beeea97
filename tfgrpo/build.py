"""Names and settings become objects: each room makes its own things, and here they are put together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from experience_db import Library, Store
from tfgrpo import config as configuration
from tfgrpo import datasets, search
from tfgrpo.backends.base import close
from tfgrpo.backends.endpoints import endpoints_of, refuses_setting, require_prices
from tfgrpo.backends.factory import Models, make_models
from tfgrpo.config import LearnConfig
from tfgrpo.datasets import Pools
from tfgrpo.edit_scores.factory import make_likelihood
from tfgrpo.environments.factory import EnvironmentParts, configured_tools, instructions_note, make_environment
from tfgrpo.executors import Local
from tfgrpo.executors.factory import Placement, placement
from tfgrpo.gates.factory import gate_for
from tfgrpo.graders import Grader
from tfgrpo.graders.factory import JudgeConnection, grader_for, judge_connection_for
from tfgrpo.learning.progress import Progress
from tfgrpo.learning.run import Run
from tfgrpo.learning.setup import Setup, fingerprint, secrets_of
from tfgrpo.learning.start import charge_earlier_calls, run_id, start_run
from tfgrpo.lessons.blocks import PREFILL, fact_key, probed_template, warning
from tfgrpo.lessons.dataset_vocabulary import dataset_vocabulary
from tfgrpo.lessons.review import review_rules
from tfgrpo.lessons.rivals import topics_of
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.methods.reward import Reward
from tfgrpo.prompting import templates
from tfgrpo.prompting.templates import Prompts
from tfgrpo.rollout import Actor
from tfgrpo.system.redact import secret_hider
from tfgrpo.types import Problem


@dataclass(slots=True)
class Components:
    """The objects that learning and evaluation share."""

    setup: Setup
    store: Store
    models: Models
    prompts: Prompts
    """What the model that attempts is told."""
    writing: Prompts
    """What the model that writes lessons is told."""
    grader: Grader
    judge_connection: JudgeConnection | None = None
    """The way to the judge's model, where the grader asks one."""
    progress: Progress | None = None
    placed: Placement = Placement()  # noqa: RUF009 - holds nothing
    """Where the user's agent runs."""

    def grader_with_model(self) -> Grader:
        """Return the grader, with its model where it asks one."""
        if self.judge_connection is None:
            return self.grader
        models = self.models
        return self.judge_connection.with_model(
            self.grader, prompts=self.prompts, store=self.store, policy=models.policy, ledger=models.ledger,
            tally=models.tally, run=models.run,
        )  # fmt: skip

    def actor(self) -> Actor:
        """Return what attempts problems and judges the attempts."""
        config, models, line = self.setup.config, self.models, self.models.attempting
        where, backend = ", ".join(sorted(line.urls)), models.backend(line)
        books = (self.store, models.ledger, models.tally, models.run)
        ways = EnvironmentParts(backend, line.model, self.prompts, *books, where, self.placed.agent)
        environment = make_environment(self.setup.environment, config, self.setup.tools, ways)
        seen = self.progress.count_group if self.progress else None
        return Actor(environment, self.grader_with_model(), Local(), config.seed, config.engine.concurrency, seen)

    def block(self) -> str:
        """Return the template of a new library's lessons: what was asked for, else what suits the probed endpoint."""
        setup, place = self.setup, self.setup.config.lessons.place
        asked = bool(setup.prompts_dir or setup.config.prompts or place)
        probed = None if asked else probed_template(self.store, self.models.attempting)
        return probed or self.prompts.block(place)

    def block_notes(self, library: Library) -> list[str]:
        """Return what a reader should know of the block in use: not the one asked for, or not followed."""
        told = [warning(self.store, self.models.attempting, library.template)]
        setup = self.setup
        asked = setup.prompts_dir is not None or setup.config.lessons.place
        if library.lessons and asked and library.template != self.block():
            told.append(
                f"the block of lessons is that of library {library.name!r}, whatever --prompts and lessons.place say; "
                "`tfgrpo lessons block` changes it"
            )
        return [said for said in told if said]

    def untold(self) -> list[str]:
        """Return what a reader should know of instructions that reach no prompt; empty where they do or are none."""
        said = instructions_note(self.setup.environment, self.setup.config, self.prompts)
        return [said] if said else []

    def teacher(self) -> Teacher:
        """Return the model that writes lessons."""
        models, line = self.models, self.models.writing
        way, config = models.backend(line), self.setup.config.lessons
        known = self.store.endpoint_fact(fact_key(line), line.model, PREFILL)
        prefill = known == "yes" or all(getattr(backend, "prefill", False) for backend in line.backends)
        return Teacher(way, line.model, self.writing, Local(), config, models.run or "", prefill)


def open_components(setup: Setup, store: Store | None, stack: AsyncExitStack, run: str | None = None) -> Components:
    """Build what a command needs; closing the stack gives everything back.

    Without a `store` the setup's database is opened, after everything else was found to be right.

    Raises:
        UsageError: a money budget for a model whose price is unknown.
    """
    config = setup.config
    line = endpoints_of(setup.model, setup.base_urls, config.engine, token_ids=configuration.needs_scores(config))
    writer = endpoints_of(setup.summarizer_model, setup.base_urls, config.engine) if setup.summarizer_model else line
    grader, _ = grader_for(setup.grader, config.grader)
    stack.push_async_callback(close, grader)
    judge = judge_connection_for(grader, config.grader, config.engine)
    others = (judge.endpoints,) if judge else ()
    placed = placement(config.engine)
    if placed.pool is not None:
        stack.push_async_callback(placed.pool.aclose)
    if judge is None:
        grader = placed.grader(grader)
    for backend in dict.fromkeys(backend for way in (line, writer, *others) for backend in way.backends):
        stack.push_async_callback(close, backend)
    require_prices(config.budget, (line, writer, *others))
    texts = writing = templates.load_for_model(setup.model, config.prompts, setup.prompts_dir)
    if setup.summarizer_model:
        writing = templates.load_for_model(setup.summarizer_model, config.prompts, setup.prompts_dir)
    tools = setup.tools or configured_tools(config)
    for tool in tools:
        stack.push_async_callback(close, tool)
    setup = replace(setup, tools=placed.tools(tools))
    store = store or stack.enter_context(Store.open(setup.db))
    store.wait_for(config.engine.lock_wait)
    store.hide = secret_hider(secrets_of(setup))
    models = make_models(line, writer, store, config.engine, config.budget, run)
    stack.callback(models.failed_calls.flush)
    return Components(setup, store, models, texts, writing, grader, judge, placed=placed)


def open_run(setup: Setup, learning: Sequence[Problem], heldout: Sequence[Problem], stack: AsyncExitStack) -> Run:
    """Build a run: a new one, or the one that the same command started before.

    Raises:
        UsageError: settings that do not fit together; nothing was stored.
    """
    config = setup.config
    gate = gate_for(config, heldout)
    search.check_search(config, heldout)
    tools = [*config.environment.tools, *(tool.spec.name for tool in setup.tools)]
    rules = review_rules(config.lessons.review, config.lessons.allow, tools, configuration.secrets())
    parts = open_components(setup, None, stack)
    parts.store.require_sound()
    store, models, prompts = parts.store, parts.models, parts.prompts
    mark = fingerprint(setup, learning, heldout, prompts, parts.writing)
    models.run = run = run_id(setup, mark)
    parts.progress = Progress(models.ledger, models.paces, models.tally)
    actor = parts.actor()
    likelihood = make_likelihood(config, models, actor.environment, stack)
    stack.enter_context(store.claim(setup.library, f"run {run}"))
    begun = start_run(store, run, setup, mark, learning, heldout, parts.block())
    charge_earlier_calls(models.ledger, models.tally, store, run)
    notes = (*parts.block_notes(begun.library), *parts.untold())
    return Run(
        id=run,
        name=setup.run or run,
        config=config,
        store=store,
        library=begun.library,
        actor=replace(actor, reward=Reward(config)),
        teacher=replace(parts.teacher(), public=dataset_vocabulary((*learning, *heldout), config.lessons.leakage)),
        gate=gate,
        learning=tuple(learning),
        heldout=tuple(heldout),
        tally=models.tally,
        ledger=models.ledger,
        likelihood=likelihood,
        paraphrases=setup.summarizer_model is not None,
        continuation="; ".join(filter(None, [begun.continuation, *models.address_changes(), *notes])),
        unseeded=partial(refuses_setting, models.attempting, "seed"),
        progress=parts.progress,
        rules=rules,
        topics=topics_of((*learning, *heldout)),
        pools=_pools(config, learning, heldout),
    )


def _pools(config: LearnConfig, learning: Sequence[Problem], heldout: Sequence[Problem]) -> Pools:
    """Say what each problem is for: an open gate looks at none, a search validates on all that are held out."""
    if config.gate.kind == "open" and not config.search.kind:
        return Pools((), untouched=tuple(heldout))
    if config.search.kind or not heldout:
        return Pools(tuple(heldout))
    return datasets.pools_of(learning, heldout, config.seed)
