"""Does a text hold a tool call that the server should have taken out? A parser that is off leaves the model's marks.

Each family of models has marks of its own; the search is for words, so it takes one pass each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tfgrpo.system.untrusted_json import Unreadable, loads

MARKS = re.compile(
    r"<tool_call>(\s{0,20}[{<]|\w)"  # Hermes, Qwen, GLM
    r"|<\|?tool_calls?(_begin|_section_begin)?\|?>(\s{0,20}[\[{<]|\w)"  # Kimi, Granite
    r"|<｜tool▁calls?▁begin｜>"  # DeepSeek
    r"|\[TOOL_CALLS\]"  # Mistral
    r"|<function=\w|<function_calls?>\s{0,20}[\[{<]|<invoke name="  # Llama, xLAM, MiniMax
    r"|<\|python_tag\|>|<\|plugin\|>|<\|action_start\|>|<\|tool▁?call\|>"  # Llama 3, InternLM
    r"|<minimax:tool_call>|<\|tool_list_end\|>"
    r"|<\|channel\|>commentary to=functions\.|\bto=functions\.\w"  # gpt-oss
    r"|functools\[\{"  # Phi
    r"|```tool_(code|call)\s"  # Gemma
)


def has_unparsed_tool_call(text: str, tools: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a text holds the marks of a tool call, or is nothing but the JSON of a call to one of `tools`."""
    return bool(MARKS.search(text)) or _is_call(text.strip(), tools)


def _is_call(text: str, tools: Sequence[Mapping[str, Any]]) -> bool:
    if text[:1] not in ("{", "[") or text[-1:] not in ("}", "]"):
        return False
    try:
        found = loads(text, forgiving=True)
    except Unreadable:
        return False
    one = found[0] if isinstance(found, list) and found else found
    names = {(tool.get("function") or {}).get("name") for tool in tools}
    named = isinstance(one, Mapping) and isinstance(one.get("name"), str) and one["name"] in names
    return bool(named and ("arguments" in one or "parameters" in one))
