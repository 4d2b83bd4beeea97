"""A run before it begins: the first prompts as the model will see them, and what all of it takes. Calls nobody."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from experience_db import Library, Store, StoreError
from tfgrpo import build
from tfgrpo import config as configuration
from tfgrpo.backends.pricing import known_price
from tfgrpo.datasets import learning_and_heldout
from tfgrpo.errors import UsageError
from tfgrpo.graders.dataset_check import require_fit
from tfgrpo.learning.forecast import CHARACTERS, REPLY, Forecast, Plan, forecast
from tfgrpo.learning.setup import Setup
from tfgrpo.types import Message, Problem

SHOWN = 2
"""Prompts that are shown."""
COUNTED = 50
"""Prompts whose length is taken."""
CONTRAST = 1200
"""Tokens of a prompt that asks what a group teaches, beside the attempts."""
NOWHERE = "http://127.0.0.1:9/v1"
LATENCY = (1.0, 6.0, 30.0)
"""Seconds of a call."""


@runtime_checkable
class Prompting(Protocol):
    """An environment that can say what it would ask."""

    def prompt(self, problem: Problem, library: Library) -> tuple[Message, ...]:
        """Return what comes before the first reply."""
        ...


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would do."""

    learning: int
    heldout: int
    prompts: tuple[tuple[Message, ...], ...]
    """The first rollouts; empty for agents of one's own, which write theirs themselves."""
    forecast: Forecast
    usd: tuple[float, float, float] | None
    """Low, likely, high; None where nobody knows the price."""
    minutes: tuple[float, float, float]
    notes: tuple[str, ...] = ()
    """What a reader should know, a sentence each."""

    @property
    def summary(self) -> dict[str, Any]:
        """The same as plain data."""
        words = ("low", "likely", "high")
        parts = [
            {
                "name": part.name,
                "calls": dict(zip(words, map(round, part.calls), strict=True)),
                "prompt_tokens": dict(zip(words, map(round, part.prompt_tokens), strict=True)),
                "completion_tokens": dict(zip(words, map(round, part.completion_tokens), strict=True)),
            }
            for part in self.forecast.parts
        ]
        return {
            "dry_run": True,
            "problems": self.learning,
            "heldout": self.heldout,
            "prompts": [[dict(message) for message in prompt] for prompt in self.prompts],
            "parts": parts,
            "calls": {word: self.forecast.calls(i) for i, word in enumerate(words)},
            "tokens": {
                word: self.forecast.usage(i).prompt_tokens + self.forecast.usage(i).completion_tokens
                for i, word in enumerate(words)
            },
            "usd": dict(zip(words, self.usd, strict=True)) if self.usd else None,
            "minutes": dict(zip(words, self.minutes, strict=True)),
        }


async def preview(wanted: Setup, problems: Any, fields: Mapping[str, str] | None = None) -> Preview:
    """Look at a run without asking a model and without touching the database.

    Raises:
        UsageError: what `learn` would refuse as well.
    """
    config = wanted.config
    learning, kept = learning_and_heldout(
        problems,
        config.heldout,
        seed=config.seed,
        limit=config.limit,
        fields=fields,
        folder=configuration.data_folder(),
    )
    await require_fit((*learning, *kept), wanted.grader, str(problems))
    if wanted.model.startswith("openai/") and not wanted.base_urls:
        # Nobody is asked, so nobody needs a key; litellm asks for none before its first call.
        wanted = replace(wanted, base_urls=(NOWHERE,))
    async with AsyncExitStack() as stack:
        parts = build.open_components(wanted, stack.enter_context(Store.open(":memory:")), stack)
        environment, teacher = parts.actor().environment, parts.teacher()
        library = _library(wanted.db, wanted.library, parts.prompts.block(config.lessons.place))
        asked = learning[:COUNTED] if isinstance(environment, Prompting) else ()
        prompts = tuple(environment.prompt(p, library) for p in asked) if isinstance(environment, Prompting) else ()
        notes = tuple(parts.untold())
        batches = -(-len(learning) // config.batch_size)
        plan = Plan(
            len(learning) * config.epochs,
            config.rollout.group_size,
            batches * config.epochs,
            len(kept),
            summaries=teacher.summaries == "always",
            consolidates=teacher.consolidate in ("batch", "each"),
            gated=config.gate.kind != "open" and not config.search.kind,
        )
    each = sum(_tokens(prompt) for prompt in prompts) // max(1, len(prompts)) or CONTRAST
    most = config.rollout.max_tokens or REPLY[1]
    lessons = CONTRAST + config.rollout.group_size * (each // 2 + min(most, REPLY[1]))
    found = forecast(plan, prompt={"rollouts": each, "lessons": lessons})
    width = max(1, min(config.engine.concurrency, len(learning) * config.rollout.group_size))
    low, likely, high = (found.calls(i) * LATENCY[i] / width / 60 for i in range(3))
    return Preview(len(learning), len(kept), prompts[:SHOWN], found, _money(wanted, found), (low, likely, high), notes)


def _tokens(prompt: tuple[Message, ...]) -> int:
    return sum(len(str(message.get("content") or "")) for message in prompt) // CHARACTERS + 4 * len(prompt)


def _library(db: Path, name: str, template: str) -> Library:
    """Return the library that the run would start from; an empty one where there is none yet."""
    if not db.is_file():
        return Library(name, template=template)
    try:
        with Store.open(db, readonly=True) as store:
            return store.library(name) if name in store.libraries() else Library(name, template=template)
    except StoreError as error:
        raise UsageError(f"the database cannot be read: {error}") from error


def _money(wanted: Setup, found: Forecast) -> tuple[float, float, float] | None:
    """Return what it costs at list price; lessons at that of their writer."""
    if wanted.model == "tiny" or wanted.model.startswith(("local/", "scripted/")):
        return (0.0, 0.0, 0.0)
    price, writer = known_price(wanted.model), known_price(wanted.summarizer_model or wanted.model)
    if price is None or writer is None:
        return None
    costs = []
    for at in range(3):
        whole = 0.0
        for part in found.parts:
            one = writer if part.name == "lessons" else price
            whole += (part.prompt_tokens[at] * one.prompt + part.completion_tokens[at] * one.completion) / 1e6
        costs.append(round(whole, 4))
    return (costs[0], costs[1], costs[2])
