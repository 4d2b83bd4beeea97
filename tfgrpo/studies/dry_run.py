"""A model and tools that only play: they walk a recipe through every stage without a key, a network or a cent.

The model was told the answers: it is right in half of the learning rollouts, and wherever its one lesson is in the
prompt. What it learns means nothing.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tfgrpo.tools.base import Tool, ToolResult, ToolSpec
from tfgrpo.types import Problem, Reply, Request, Usage

LESSON = "When a result can be checked in another way, check it that way before you answer."
ARGUMENTS: Mapping[str, dict[str, str]] = {
    "python": {"code": "print(6 * 7)"},
    "web_search": {"query": "a rehearsal"},
    "fetch_page": {"url": "https://example.org/"},
}
_playing: dict[str, PlayedModel] = {}
_numbers = itertools.count(1)


class PlayedModel:
    """A model that plays all roles."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.answers = {problem.question: problem.answer or "" for problem in problems}

    def __call__(self, request: Request) -> Reply:
        """Reply as the role asks; rollouts with tools call each of them once."""
        usage = Usage(len(str(request.messages)) // 4, 40, usd=0.0)
        if request.role in ("rollout", "evaluate", "gate", "pilot"):
            done = {m.get("name") or "" for m in request.messages if m.get("role") == "tool"}
            used = sum(m.get("role") == "tool" for m in request.messages)
            offered = [str(tool["function"]["name"]) for tool in request.tools]
            if used < len(offered) and offered[used] not in done:
                return Reply("", "tool_calls", usage, tool_calls=(_call(offered[used], used),))
            return Reply(self._answer(request), usage=usage)
        if request.role == "judge":
            wrong = "unknown" in str(request.messages[0].get("content")).partition("## The answer")[2]
            word = "INCORRECT" if wrong else "CORRECT"
            return Reply(json.dumps({"verdict": word, "reason": "a rehearsal"}), usage=usage)
        if request.role in ("summarize", "paraphrase"):
            return Reply("It computed and answered.", usage=usage)
        edit = {"op": "ADD", "ids": [], "text": LESSON, "reason": "a rehearsal", "attempts": [1], "when": None}
        return Reply(json.dumps({"edits": [edit]}), usage=usage)

    def _answer(self, request: Request) -> str:
        text = "\n".join(str(message.get("content")) for message in request.messages)
        known = next((answer for question, answer in self.answers.items() if question in text), "")
        right = LESSON in text or (request.role == "rollout" and request.attempt % 2 == 0)
        return f"\\boxed{{{known if right and known else 'unknown'}}}"


def _call(name: str, number: int) -> dict[str, Any]:
    arguments = json.dumps(ARGUMENTS.get(name, {}))
    return {"id": f"call-{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def made_up_problems(name: str, count: int) -> tuple[Problem, ...]:
    """Return made-up problems in place of a dataset that is not here."""
    return tuple(
        Problem(f"{name}-{i}", f"Rehearsal of {name}: what is {i} plus {i}?", str(2 * i)) for i in range(count)
    )


def register_model(problems: Sequence[Problem]) -> str:
    """Return the model name under which a player that knows these problems can be asked."""
    name = f"player{next(_numbers)}"
    _playing[name] = PlayedModel(problems)
    return f"scripted/tfgrpo.studies.dry_run:{name}"


def __getattr__(name: str) -> PlayedModel:
    """Players are reached like any `package.module:attr`."""
    if name in _playing:
        return _playing[name]
    raise AttributeError(name)


class PlayedTool:
    """A tool that always gives the same."""

    fingerprint: Mapping[str, Any] = {"tool": "rehearsal"}

    def __init__(self, name: str, argument: str, text: str) -> None:
        schema = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
        self.spec = ToolSpec(name, f"{name}, played for a rehearsal.", schema)
        self._text = text

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> ToolResult:
        """Return what it always returns."""
        return ToolResult(self._text, detail={"rehearsal": True})


def web_search() -> Tool:
    """Return a search that finds one page."""
    return PlayedTool("web_search", "query", "1. A page\nhttps://example.org/\nA page for rehearsals.")


def fetch_page() -> Tool:
    """Return a fetcher that reads that page."""
    return PlayedTool("fetch_page", "url", "# A page\n\nThere is nothing on it.")


STAGED: Mapping[str, str] = {
    "web_search": "tfgrpo.studies.dry_run:web_search",
    "fetch_page": "tfgrpo.studies.dry_run:fetch_page",
}
"""Which tools are played; the others run as they are."""
