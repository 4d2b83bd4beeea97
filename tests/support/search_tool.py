"""A tool whose description a search can write; the toy task never calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from support.search_server import TOOL
from tfgrpo.tools import ToolResult, ToolSpec

FIGURE: Mapping[str, Any] = {
    "type": "object",
    "properties": {"figure": {"type": "integer"}},
    "required": ["figure"],
    "additionalProperties": False,
}


class Figures:
    """Gives a figure back."""

    spec = ToolSpec("figures", TOOL, FIGURE)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Nothing can change."""
        return {}

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> ToolResult:
        """Answer."""
        return ToolResult(str(arguments["figure"]))


def make() -> Figures:
    """Return the tool."""
    return Figures()
