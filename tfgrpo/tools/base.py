"""What a tool is: one async method from arguments to a result, and the schema that a model is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from tfgrpo.types import Failure


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool call gave. It is data from outside: never a template, never an instruction to the harness."""

    text: str = ""
    """What the model reads; with a failure, what went wrong in words the model can act on."""
    failure: Failure | None = None
    """Why there is no result. The model is told; the rollout goes on."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """How it came about: isolation used, provider, pages, times. Recorded, not shown to the model. No secrets."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What a model is told of a tool."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments, an object."""

    def for_request(self) -> dict[str, Any]:
        """Return the OpenAI form that goes into `Request.tools`."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": dict(self.parameters)},
        }


class Tool(Protocol):
    """Anything that a rollout may call."""

    @property
    def spec(self) -> ToolSpec:
        """Name, description and arguments."""
        ...

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Settings that decide what a call returns, as plain data without secrets; part of the journal key."""
        ...

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> ToolResult:
        """Run one call; bad arguments and failures are results, not exceptions.

        Args:
            arguments: as the model gave them, already parsed from JSON and checked against the schema.
            session: names the rollout that asks, for tools that keep state between the calls of one rollout.
        """
        ...


@runtime_checkable
class SessionTool(Protocol):
    """A tool that keeps something per rollout."""

    async def end(self, session: str) -> None:
        """Give back what the session holds; unknown sessions are fine."""
        ...


@runtime_checkable
class Restorable(Protocol):
    """A tool whose sessions hold what earlier calls left behind."""

    async def restore(self, session: str, earlier: Sequence[Mapping[str, Any]]) -> None:
        """Bring a session back to where the calls with these arguments left it, before the next one is made."""
        ...
