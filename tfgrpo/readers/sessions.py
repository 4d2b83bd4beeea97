"""Sessions of coding agents: Claude Code (`~/.claude/projects/*/*.jsonl`) and Codex (`rollout-*.jsonl`).

A session is one row: the first request, the last answer, the conversation with tool calls as text, the tokens. It has
no score of its own; give one in a file of scores, or grade its answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tfgrpo.readers.documents import Document
from tfgrpo.readers.row import Row, content_id, float_or_none, message_text, sum_counts, text_of

Message = dict[str, str]
CLAUDE_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
FRAMES = ("<command-", "<local-command", "<system-reminder", "<environment_context", "<user_instructions", "Caveat:",
          "# AGENTS.md instructions for ")  # fmt: skip
"""How messages begin that the host wrote, not the person."""


def matches_claude(document: Document) -> bool:
    """Say whether this is a session of Claude Code."""
    return any("sessionId" in v and "type" in v for v in document.objects[:20])


def claude_rows(document: Document) -> tuple[Row, ...]:
    """Return a row per session in the file."""
    sessions: dict[str, list[Mapping[str, Any]]] = {}
    for value in document.objects:
        if isinstance(value.get("message"), Mapping) and not value.get("isMeta") and not value.get("isSidechain"):
            sessions.setdefault(str(value.get("sessionId")), []).append(value)
    return tuple(row for name, lines in sessions.items() if (row := _claude(name, lines)))


def _claude(name: str, lines: list[Mapping[str, Any]]) -> Row | None:
    messages, tokens = list[Message](), dict[str, int | None]()
    usd = [float_or_none(line.get("costUSD")) for line in lines]
    for place, line in enumerate(lines):
        told = line["message"]
        messages += _blocks(str(told.get("role", line.get("type"))), told.get("content"))
        usage = told.get("usage")
        if isinstance(usage, Mapping):
            # A reply of several blocks is one line for each, every time with its usage.
            tokens[str(told.get("id") or place)] = sum_counts(*(usage.get(kind) for kind in CLAUDE_COUNTS))
    return _row(name, messages, sum_counts(*tokens.values()), sum(u for u in usd if u) or None)


def _blocks(role: str, content: Any) -> list[Message]:
    """Return the messages that one line makes: text stays with its role, results of tools are messages of `tool`."""
    if isinstance(content, str):
        return [{"role": role, "content": content}] if content.strip() else []
    found: list[Message] = []
    for block in content if isinstance(content, list) else ():
        match block.get("type") if isinstance(block, Mapping) else None:
            case "text" | "input_text" | "output_text":
                found.append({"role": role, "content": text_of(block.get("text"))})
            case "tool_use":
                found.append({"role": role, "content": _call(block.get("name"), block.get("input"))})
            case "tool_result":
                found.append({"role": "tool", "content": text_of(block.get("content"))})
    return found


def _call(name: Any, arguments: Any) -> str:
    told = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
    return f"[{name}] {told}"


def matches_codex(document: Document) -> bool:
    """Say whether this is a session of Codex."""
    return any(v.get("type") in ("session_meta", "response_item", "turn_context") for v in document.objects[:5])


def codex_rows(document: Document) -> tuple[Row, ...]:
    """Return the one row of the file."""
    name, messages, tokens = document.path.stem, list[Message](), None
    for line in document.objects:
        payload = line.get("payload")
        if not isinstance(payload, Mapping):
            continue
        kind = (line.get("type"), payload.get("type"))
        if line.get("type") == "session_meta":
            name = str(payload.get("id", name))
        elif kind == ("response_item", "message"):
            messages += _blocks(str(payload.get("role")), payload.get("content"))
        elif kind[0] == "response_item" and kind[1] in ("function_call", "custom_tool_call"):
            called = _call(payload.get("name"), payload.get("arguments", payload.get("input")))
            messages.append({"role": "assistant", "content": called})
        elif kind[0] == "response_item" and kind[1] in ("function_call_output", "custom_tool_call_output"):
            messages.append({"role": "tool", "content": text_of(payload.get("output"))})
        elif kind == ("event_msg", "token_count"):
            info = payload.get("info")
            used = info.get("total_token_usage") if isinstance(info, Mapping) else None
            tokens = sum_counts(used.get("total_tokens")) if isinstance(used, Mapping) else tokens
    row = _row(name, messages, tokens, None)
    return (row,) if row else ()


def _row(session: str, messages: list[Message], tokens: int | None, usd: float | None) -> Row | None:
    own = [m for m in messages if not (m["role"] == "user" and m["content"].lstrip().startswith(FRAMES))]
    asked = message_text(own, "user", last=False)
    if not asked:
        return None
    answers = [m for m in own if not m["content"].startswith("[")]
    return Row(
        content_id(asked),
        text=message_text(answers, "assistant", last=True),
        failure="a session has no score",
        question=asked,
        tokens=tokens,
        usd=usd,
        messages=tuple(own),
        scores={},
        arm="",
    )
