"""Tools for tests: one that tells what it was asked, and replies that call tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfgrpo.tools import ToolResult, ToolSpec
from tfgrpo.types import Reply, Usage

QUERY: Mapping[str, Any] = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["query"],
    "additionalProperties": False,
}

SPENT = Usage(10, 5)


@dataclass
class Lookup:
    """Answers every query in capitals, and remembers what it was asked; `replies` wins, and may hold exceptions."""

    name: str = "lookup"
    replies: list[str | ToolResult | Exception] = field(default_factory=list)
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    version: int = 1

    @property
    def spec(self) -> ToolSpec:
        """Its name and its one query."""
        return ToolSpec(self.name, "Looks things up.", QUERY)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Its version."""
        return {"version": self.version}

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> ToolResult:
        """Answer."""
        self.asked.append(arguments)
        answer = self.replies.pop(0) if self.replies else str(arguments["query"]).upper()
        if isinstance(answer, Exception):
            raise answer
        return (
            answer if isinstance(answer, ToolResult) else ToolResult(answer, detail={"source": "memory"}, seconds=0.5)
        )


@dataclass
class Counting(Lookup):
    """Says how many calls its session has seen; keeps a file of all calls that ran, across processes."""

    path: Path | None = None
    sessions: dict[str, int] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> ToolResult:
        """Count."""
        self.asked.append(arguments)
        self.sessions[session] = self.sessions.get(session, 0) + 1
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(arguments) + "\n")
        return ToolResult(f"{arguments['query']} is call {self.sessions[session]}")

    async def restore(self, session: str, earlier: Any) -> None:
        """Count what was recorded."""
        self.sessions[session] = self.sessions.get(session, 0) + len(earlier)

    async def end(self, session: str) -> None:
        """Forget the session."""
        self.ended.append(session)
        self.sessions.pop(session, None)


def calling(*calls: tuple[str, Any], text: str = "", ids: tuple[str, ...] = (), usage: Usage = SPENT) -> Reply:
    """Return a reply that calls tools; arguments that are text go out as they are."""
    made = tuple(
        {
            "id": ids[i] if ids else f"call-{i}",
            "type": "function",
            "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
        }
        for i, (name, given) in enumerate(calls)
    )
    return Reply(text, "tool_calls", usage, tool_calls=made)


def pair() -> list[Lookup]:
    """Two tools under one name."""
    return [Lookup("first"), Lookup("second")]
