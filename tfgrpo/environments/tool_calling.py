"""Two ways of calling tools: the endpoint's function calling, and plain text. Both give the same calls and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tfgrpo.environments import tool_text
from tfgrpo.environments.tool_text import WrittenCall
from tfgrpo.prompting.templates import Prompts
from tfgrpo.system.untrusted_json import loads
from tfgrpo.tools import ToolSpec
from tfgrpo.types import Message, Reply


@dataclass(frozen=True, slots=True)
class CallResult:
    """What the model gets to read of one call."""

    asked: WrittenCall
    text: str


class ToolProtocol(Protocol):
    """How calls and results look in a conversation."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Where a reply shall end."""
        ...

    def described(self, words: Mapping[str, str]) -> ToolProtocol:
        """Return the same with other descriptions of the tools that are named."""
        ...

    def system(self, prompts: Prompts, instructions: str) -> str:
        """Return the system prompt."""
        ...

    def tools(self) -> tuple[dict[str, Any], ...]:
        """Return what goes into `Request.tools`."""
        ...

    def calls(self, reply: Reply, taken: set[str]) -> tuple[WrittenCall, ...]:
        """Return the calls of a reply under ids that are not in `taken`, and add them to it."""
        ...

    def said(self, reply: Reply, calls: Sequence[WrittenCall]) -> Message:
        """Return the reply as a message."""
        ...

    def results(self, prompts: Prompts, told: Sequence[CallResult]) -> tuple[Message, ...]:
        """Return the messages that answer the calls."""
        ...


@dataclass(frozen=True, slots=True)
class FunctionCalling:
    """The OpenAI way."""

    specs: tuple[ToolSpec, ...]
    stops: tuple[str, ...] = ()

    def described(self, words: Mapping[str, str]) -> ToolProtocol:
        """The same with other descriptions."""
        return replace(self, specs=_described(self.specs, words))

    def system(self, prompts: Prompts, instructions: str) -> str:
        """The system prompt of a rollout without tools: the endpoint tells the model of them."""
        return prompts.render("solve/system", instructions=instructions)

    def tools(self) -> tuple[dict[str, Any], ...]:
        """All tools."""
        return tuple(spec.for_request() for spec in self.specs)

    def calls(self, reply: Reply, taken: set[str]) -> tuple[WrittenCall, ...]:
        """The calls of the reply; ids that are missing or used before get a number."""
        found = []
        for call in reply.tool_calls:
            function = call.get("function") or {}
            wanted = name = str(call.get("id") or "call")
            number = 1
            while name in taken:
                number += 1
                name = f"{wanted}-{number}"
            taken.add(name)
            found.append(WrittenCall(name, str(function.get("name") or ""), str(function.get("arguments") or "{}")))
        return tuple(found)

    def said(self, reply: Reply, calls: Sequence[WrittenCall]) -> Message:
        """Text and calls; servers that render the arguments again refuse a conversation with unreadable ones."""
        message: Message = {"role": "assistant", "content": reply.text or None}
        if calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": _rendered(call.arguments)},
                }
                for call in calls
            ]
        return message

    def results(self, prompts: Prompts, told: Sequence[CallResult]) -> tuple[Message, ...]:
        """One message for each call."""
        return tuple({"role": "tool", "tool_call_id": one.asked.id, "content": one.text} for one in told)


@dataclass(frozen=True, slots=True)
class TextCalling:
    """Fenced Python and tagged JSON, for models without function calling."""

    specs: tuple[ToolSpec, ...]
    stops: tuple[str, ...] = tool_text.STOPS

    @property
    def python(self) -> bool:
        """Whether fenced Python is run."""
        return any(spec.name == "python" for spec in self.specs)

    def described(self, words: Mapping[str, str]) -> ToolProtocol:
        """The same with other descriptions."""
        return replace(self, specs=_described(self.specs, words))

    def system(self, prompts: Prompts, instructions: str) -> str:
        """The instructions, then the tools."""
        tools = tool_text.tool_descriptions(self.specs, python=self.python)
        return prompts.render("tools/text", instructions=instructions, tools=tools, python=self.python)

    def tools(self) -> tuple[dict[str, Any], ...]:
        """None: the prompt tells of them."""
        return ()

    def calls(self, reply: Reply, taken: set[str]) -> tuple[WrittenCall, ...]:
        """The calls in the text, numbered on through the rollout."""
        found = tool_text.parse_calls(tool_text.cut_invented_result(reply.text), python=self.python)
        numbered = [WrittenCall(str(len(taken) + i), c.name, c.arguments) for i, c in enumerate(found, 1)]
        taken.update(call.id for call in numbered)
        return tuple(numbered)

    def said(self, reply: Reply, calls: Sequence[WrittenCall]) -> Message:
        """The text, up to where a result of its own making begins."""
        return {"role": "assistant", "content": tool_text.cut_invented_result(reply.text) if calls else reply.text}

    def results(self, prompts: Prompts, told: Sequence[CallResult]) -> tuple[Message, ...]:
        """One message with all results, each fenced."""
        rows = [{"number": one.asked.id, "name": one.asked.name or "unreadable call", "text": one.text} for one in told]
        return ({"role": "user", "content": prompts.render("tools/results", results=rows)},)


def _described(specs: Sequence[ToolSpec], words: Mapping[str, str]) -> tuple[ToolSpec, ...]:
    return tuple(replace(spec, description=words.get(spec.name, spec.description)) for spec in specs)


def _rendered(arguments: str) -> str:
    """Return arguments that a server can render again; an empty object for those that are not JSON."""
    try:
        return arguments if isinstance(loads(arguments), dict) else "{}"
    except ValueError:
        return "{}"
