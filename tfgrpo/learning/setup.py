"""What a command asked for, still as names; what is recorded of it, and what makes it the run it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfgrpo import config as configuration
from tfgrpo import datasets
from tfgrpo.config import BudgetConfig, LearnConfig
from tfgrpo.config.engine import EngineConfig
from tfgrpo.environments import Agent
from tfgrpo.environments.factory import environment_name
from tfgrpo.graders.factory import grader_for, grader_record
from tfgrpo.prompting.templates import Prompts
from tfgrpo.system.redact import address_texts
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

    def __post_init__(self) -> None:
        """Fill in what the model settles: how held-out rollouts are drawn."""
        object.__setattr__(self, "config", configuration.for_model(self.config, self.model))


def describe(setup: Setup) -> dict[str, Any]:
    """Return the resolved setup as plain data, for the run's record; it holds no key."""
    return {
        "model": setup.model,
        "summarizer_model": setup.summarizer_model or setup.model,
        "agent": environment_name(setup.environment, setup.config),
        "library": setup.library,
        **configuration.to_table(setup.config),
        "grader": grader_for(setup.grader, setup.config.grader)[1],
        "grading": grader_record(setup.config.grader),
    }


def fingerprint(
    setup: Setup,
    learning: Sequence[Problem],
    heldout: Sequence[Problem],
    texts: Prompts,
    writing: Prompts | None = None,
    marks: Mapping[str, str] | None = None,
) -> str:
    """Return the identity of a run: everything that decides what is asked, nothing that only decides how fast.

    `marks` are addresses by model, where they decide who answers (`tfgrpo.backends.identity`).
    """
    engine = EngineConfig(overlap=setup.config.engine.overlap)
    told = describe(replace(setup, config=replace(setup.config, engine=engine, budget=BudgetConfig())))
    told["templates"] = {name: texts.hash(name) for name in texts.names}
    if writing is not None and (own := {name: writing.hash(name) for name in writing.names}) != told["templates"]:
        told["writing"] = own
    if marks:
        told["endpoint"] = dict(marks)
    told["datasets"] = [datasets.content_hash(learning), datasets.content_hash(heldout)]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def secrets_of(setup: Setup) -> list[str]:
    """Return every key that the environment and the addresses of a setup hold: no text that is stored may show one."""
    named = [configuration.environment(way.key) or "" for way in setup.config.engine.endpoints if way.key]
    urls = (*setup.base_urls, *address_texts(configuration.to_table(setup.config)))
    return [*configuration.secrets(*urls), *filter(None, named)]
