"""Rows that hold a conversation: the question is what the model is asked, the reference what the row says of it.

Known layouts: `messages` (the last reply, if there is one, is the reference), verl (`prompt` and
`reward_model.ground_truth`), TRL (`prompt`, and `completion`, `ground_truth`, `solution` or `answer`), OpenAI evals
(`input` and `ideal`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("messages", "prompt", "input", "conversations")
"""Where a conversation may be, in the order of looking."""
REFERENCES = ("answer", "reward_model.ground_truth", "ground_truth", "ideal", "solution", "completion", "label")
"""Where its reference may be."""
ROLES = {"human": "user", "gpt": "assistant", "developer": "system"}
"""What other formats call the roles."""


def is_chat(value: object) -> bool:
    """Whether this is a list of messages."""
    return isinstance(value, Sequence) and not isinstance(value, str) and bool(value) and all(map(_message, value))


def chat_column(row: Mapping[str, Any]) -> str:
    """Return the column that holds a conversation; '' where none does."""
    return next((name for name in COLUMNS if is_chat(row.get(name))), "")


def question_and_reply(chat: Sequence[Mapping[str, Any]]) -> tuple[str, str | None]:
    """Return what a conversation asks, and the reply that ends it, None where nobody replied.

    One question stands as it was put, behind what the system said; several turns are written out with their roles.
    """
    turns = [turn for message in chat if (turn := _message(message)) and turn[1].strip()]
    reply = None
    if turns and turns[-1][0] == "assistant":
        reply = turns.pop()[1]
    spoken = [text for role, text in turns if role != "system"]
    if len(spoken) <= 1:
        return "\n\n".join(text for _, text in turns), reply
    return "\n\n".join(text if role == "system" else f"{role}: {text}" for role, text in turns), reply


def _message(value: object) -> tuple[str, str] | None:
    """Return role and text of a message; None if it is none. Parts of texts are joined, pictures are not read."""
    if not isinstance(value, Mapping):
        return None
    role, content = value.get("role", value.get("from")), value.get("content", value.get("value"))
    if isinstance(content, Sequence) and not isinstance(content, str):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        content = "\n".join(part for part in parts if isinstance(part, str)) or None
    if not isinstance(role, str) or not isinstance(content, str):
        return None
    return ROLES.get(role, role), content
