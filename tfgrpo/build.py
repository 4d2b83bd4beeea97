"""Names and settings become objects: each room makes its own things, and here they are put together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from experience_db import Store
from tfgrpo import config as configuration
from tfgrpo import search
from tfgrpo.backends.base import close
from tfgrpo.backends.endpoints import endpoints_of, refuses_setting, require_prices
from tfgrpo.backends.factory import Models, make_models
from tfgrpo.config import LearnConfig
from tfgrpo.edit_scores.factory import make_likelihood
from tfgrpo.edit_scores.teacher_forced import Likelihood
from tfgrpo.environments import Environment
from tfgrpo.environments.factory import configured_tools
from tfgrpo.errors import UsageError
from tfgrpo.executors.factory import placement
from tfgrpo.gates.factory import gate_for
from tfgrpo.graders.factory import grader_for, judge_connection_for
from tfgrpo.learning.components import Components
from tfgrpo.learning.gate_queue import unranked_because
from tfgrpo.learning.progress import Progress
from tfgrpo.learning.run import Run
from tfgrpo.learning.setup import Setup, fingerprint, secrets_of
from tfgrpo.learning.start import charge_earlier_calls, pools_for, run_id, start_run
from tfgrpo.lessons.dataset_vocabulary import dataset_vocabulary
from tfgrpo.lessons.review import review_rules
from tfgrpo.lessons.rivals import topics_of
from tfgrpo.methods.reward import Reward
from tfgrpo.prompting import templates
from tfgrpo.system.redact import secret_hider
from tfgrpo.system.signals import ended_after
from tfgrpo.types import Problem

log = logging.getLogger("tfgrpo")


def open_components(setup: Setup, store: Store | None, stack: AsyncExitStack, run: str | None = None) -> Components:
    """Build what a command needs; closing the stack gives everything back.

    Without a `store` the setup's database is opened, after everything else was found to be right.

    Raises:
        UsageError: a money budget for a model whose price is unknown.
    """
    config = setup.config
    scored = any(
        asks(config)
        for asks in (configuration.needs_scores, configuration.wants_scores, configuration.bounds_by_scores)
    )
    line = endpoints_of(setup.model, setup.base_urls, config.engine, token_ids=scored)
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
    store.share_texts = config.engine.share_texts
    store.hide = secret_hider(secrets_of(setup))
    models = make_models(line, writer, store, config.engine, config.budget, run)
    stack.callback(models.failed_calls.flush)
    stack.enter_context(ended_after(models.ledger.drain, log.warning))
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
    mark = fingerprint(setup, learning, heldout, prompts, parts.writing, models.marks)
    models.run = run = run_id(setup, mark)
    parts.progress = Progress(models.ledger, models.paces, models.tally)
    actor = parts.actor()
    likelihood, unranked = _likelihood(config, models, actor.environment, stack)
    stack.enter_context(store.claim(setup.library, f"run {run}"))
    begun = start_run(store, run, setup, mark, learning, heldout, parts.block(), models.marks)
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
        unranked=unranked,
        paraphrases=setup.summarizer_model is not None,
        continuation="; ".join(filter(None, [begun.continuation, *models.address_changes(), *notes])),
        block=parts.block_line(begun.library),
        unseeded=partial(refuses_setting, models.attempting, "seed"),
        progress=parts.progress,
        rules=rules,
        topics=topics_of((*learning, *heldout)),
        pools=pools_for(config, learning, heldout),
    )


def _likelihood(
    config: LearnConfig, models: Models, environment: Environment, stack: AsyncExitStack
) -> tuple[Likelihood | None, str]:
    """Return what scores stored rollouts, and why there is none where scores are welcome and not needed."""
    try:
        return make_likelihood(config, models, environment, stack), ""
    except UsageError as error:
        if configuration.needs_scores(config):
            raise
        return None, unranked_because(error, config)
