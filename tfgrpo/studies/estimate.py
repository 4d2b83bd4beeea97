"""What a recipe will cost before it runs: counted calls, estimated tokens, and money where the price is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tfgrpo.backends.pricing import known_price
from tfgrpo.config import LearnConfig
from tfgrpo.studies.recipe_file import Recipe
from tfgrpo.types import Usage


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One kind of work."""

    what: str
    rollouts: int
    """Rollouts, or 0 for calls that write lessons or judge."""
    calls: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """All of it."""

    items: tuple[WorkItem, ...]
    usd: float | None
    """None where nobody knows the price of the model."""

    @property
    def calls(self) -> int:
        """Model calls."""
        return sum(item.calls for item in self.items)

    @property
    def usage(self) -> Usage:
        """Tokens."""
        prompt, completion = (
            sum(getattr(i, f"{kind}_tokens") for i in self.items) for kind in ("prompt", "completion")
        )
        return Usage(prompt, completion, usd=self.usd)


def estimate_cost(
    recipe: Recipe, config: LearnConfig, learning: int, tests: tuple[int, ...], model: str = ""
) -> CostEstimate:
    """Return the most a recipe is expected to ask for; groups without a contrast make it less.

    Args:
        recipe: what is run.
        config: its resolved configuration.
        learning: problems to learn from, held-out ones not counted.
        tests: problems of each test set.
        model: priced in place of the recipe's.
    """
    cost, model = recipe.cost, model or recipe.learn.model
    groups = learning * config.epochs
    steps = math.ceil(learning / config.batch_size) * config.epochs
    rollouts = {
        "learning rollouts": groups * config.rollout.group_size,
        "gate rollouts": cost.gate_rollouts if config.gate.kind != "open" else 0,
        "test rollouts": sum(2 * n * test.k for n, test in zip(tests, recipe.tests, strict=True)),
    }
    items = [_rollouts(recipe, what, count) for what, count in rollouts.items() if count]
    asked = _lesson_calls(config, groups, steps)
    tokens = (round(asked * cost.lesson_prompt_tokens), round(asked * cost.lesson_completion_tokens))
    items.append(WorkItem("lesson calls", 0, asked, *tokens))
    judged = round(sum(rollouts.values()) * cost.judge_share * config.grader.votes)
    if judged:
        items.append(WorkItem("judge calls", 0, judged, judged * 800, judged * 60))
    priced = None if model == "tiny" else known_price(model)
    used = Usage(sum(i.prompt_tokens for i in items), sum(i.completion_tokens for i in items))
    usd = 0.0 if model == "tiny" or model.startswith("scripted/") else priced.usd(used) if priced else None
    return CostEstimate(tuple(items), usd)


def _rollouts(recipe: Recipe, what: str, count: int) -> WorkItem:
    cost = recipe.cost
    tokens = (round(count * cost.prompt_tokens), round(count * cost.completion_tokens))
    return WorkItem(what, count, round(count * cost.turns), *tokens)


def _lesson_calls(config: LearnConfig, groups: int, steps: int) -> int:
    """One contrast a group with its summaries, one consolidation a step; the paper's four stages add operations."""
    each = 1 if config.lessons.summaries == "never" else 1 + config.rollout.group_size
    return groups * (each + (config.lessons.stages == "four")) + steps
