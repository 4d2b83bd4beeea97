"""How a rollout runs, as a configuration table: asked once, in a loop with tools, or by an agent of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EnvironmentConfig:
    """How one rollout runs. `environment = "tool_loop"` is short for `environment.kind`."""

    kind: str = "single_turn"
    """`single_turn`, `tool_loop`, or `package.module:attr` of an agent `(problem, lessons)` or an environment."""
    tools: tuple[str, ...] = ()
    """tool_loop: what the model may call; their options are in the table `tools`."""
    protocol: str = "auto"
    """tool_loop: `functions` (the endpoint's function calling), `text` (fenced Python and tagged calls), or `auto`:
    functions until the endpoint refuses them."""
    max_turns: int = 16
    """tool_loop: replies of one rollout, at most; in the last one the model is asked for its answer."""
    tokens: int | None = None
    """tool_loop: tokens of one rollout over all turns, prompts included; once used up it is asked for its answer."""
    context_tokens: int | None = None
    """tool_loop: size of the model's window; before it is full the oldest tool results are shortened. None finds out by
    being refused."""
    result_tokens: int = 4000
    """tool_loop: longest tool result, 4 characters a token; the middle of longer ones is left out."""
    tool_seconds: float = 120.0
    """tool_loop: longest time of one tool call, whatever the tool's own limit."""


LEAST: Mapping[str, float] = {
    "environment.max_turns": 1,
    "environment.tokens": 1,
    "environment.context_tokens": 256,
    "environment.result_tokens": 16,
    "environment.tool_seconds": 0.1,
}
"""Smallest value of the keys that have one."""

CHOICES: Mapping[str, tuple[str, ...]] = {"environment.protocol": ("auto", "functions", "text")}
"""All values of the keys that take a word."""
