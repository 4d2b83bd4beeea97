"""A scripted writer of instructions for `search_server`: what MIPROv2 asks of a model, in our words or in dspy's.

A description names the made-up words that its examples hold. New instructions are the old ones and, for three of the
words in sight, a rule: the right one six times in ten, else one that does nothing. Nobody shows it what failed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

FIELD = re.compile(r"starting with the field `\[\[ ## (\w+) ## \]\]`")
"""How dspy's chat adapter says what the reply begins with."""
RULES = 3
"""Of one candidate."""

Guess = Callable[[str, str], str]
"""A word's rule, right or not, by the word and all that was asked."""


def written(messages: Sequence[Mapping[str, Any]], words: Sequence[str], guess: Guess) -> str | None:
    """Return the reply to a question for a description or for instructions; None where something else is asked."""
    text = "\n".join(str(message["content"]) for message in messages)
    seen = [word for word in words if re.search(rf"\b{word}\b", text)]
    described = "Words stand for operations: " + ", ".join(seen)
    if "Now write the description." in text:
        return described
    if "Write instructions for a solver." in text:
        edit = {"op": "ADD", "ids": [], "text": _instructions(text, seen, guess), "reason": "words", "attempts": [],
                "when": None}  # fmt: skip
        return json.dumps({"edits": [edit]})
    asked = FIELD.search(str(messages[-1]["content"]))
    if asked is None or asked[1] == "answer":
        return None
    said = _instructions(text, seen, guess) if asked[1] == "proposed_instruction" else described
    return f"[[ ## {asked[1]} ## ]]\n{said}\n\n[[ ## completed ## ]]"


def _instructions(text: str, seen: Sequence[str], guess: Guess) -> str:
    drawn = sorted(seen, key=lambda word: guess(f"order {word}", text))[:RULES]
    return " ".join(["Solve the problem.", *(guess(word, text) for word in drawn)])
