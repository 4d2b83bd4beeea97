"""Calls in plain text, for models without function calling: fenced Python, and JSON between `<tool_call>` tags."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfgrpo.system.untrusted_json import loads
from tfgrpo.tools import ToolSpec

STOPS = ("```output", "<tool_result>")
"""Where models begin to make a result up."""
_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_PYTHON = re.compile(r"^[ \t]*```(?:python|py)[ \t]*\n(.*?)(?:(^[ \t]*```[ \t]*$)|\Z)", re.DOTALL | re.MULTILINE)
"""The second group is None where nothing closes the block: read to the end once, not again from every later opening."""


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """One call as the model wrote it, not yet checked."""

    id: str
    name: str
    arguments: str
    """JSON text."""


def parse_calls(text: str, *, python: bool) -> tuple[WrittenCall, ...]:
    """Return the calls in a reply, in the order in which they stand.

    Args:
        text: the reply.
        python: whether fenced Python is a call of the tool `python`.
    """
    found = [(match.start(), _tagged(match[1].strip())) for match in _CALL.finditer(text)]
    if python:
        spans = [match.span() for match in _CALL.finditer(text)]
        starts = [start for start, _ in spans]
        for match in _PYTHON.finditer(text):
            before = bisect_right(starts, match.start()) - 1
            in_call = before >= 0 and match.start() < spans[before][1]
            if match[2] is not None and match[1].strip() and not in_call:
                found.append((match.start(), ("python", json.dumps({"code": match[1]}))))
    ordered = [call for _, call in sorted(found, key=lambda item: item[0])]
    return tuple(WrittenCall(str(number), name, arguments) for number, (name, arguments) in enumerate(ordered, 1))


def cut_invented_result(text: str) -> str:
    """Cut a reply where the model goes on with a result of its own making; some endpoints ignore stop words."""
    ends = [at for stop in STOPS if (at := text.find(stop)) >= 0]
    return text[: min(ends)].rstrip() if ends else text


def tool_descriptions(specs: Sequence[ToolSpec], *, python: bool) -> list[dict[str, Any]]:
    """Return the tools as the template describes them; fenced Python needs no description of its arguments."""
    return [
        {"name": spec.name, "description": spec.description, "parameters": json.dumps(spec.parameters, sort_keys=True)}
        for spec in specs
        if not (python and spec.name == "python")
    ]


def _tagged(body: str) -> tuple[str, str]:
    """Return name and arguments; what cannot be read becomes a call without a name, which is answered as such."""
    try:
        call = loads(body, strict=False)
    except ValueError:
        return "", body
    if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
        return "", body
    arguments = call.get("arguments", call.get("parameters", {}))
    return call["name"], arguments if isinstance(arguments, str) else json.dumps(arguments)
