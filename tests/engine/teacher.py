"""Writes the true lessons of the world in the current folder, so that what `learn` gains depends on vLLM alone."""

import json
import re
from pathlib import Path

from tfgrpo.types import Request


def write(request: Request) -> str:
    """Answer as a summarizer that knows the truth; used as `scripted/teacher:write`."""
    prompt = request.messages[-1]["content"]
    if request.role == "summarize":
        return "An attempt."
    if request.role == "consolidate":
        text = prompt.rpartition("New: ")[2].strip()
        return edits([] if f"] {text}\n" in prompt else [text])
    words = set(re.findall(r"[a-z]+", prompt.partition("Problem: ")[2].partition("\n")[0]))
    return edits([lesson for lesson in Path("truth.txt").read_text().splitlines() if words & set(lesson.split())])


def silent(request: Request) -> str:
    """Answer as a summarizer that has nothing to say; used as `scripted/teacher:silent`."""
    return edits([])


def edits(texts: list[str]) -> str:
    """Return a reply that adds lessons of these texts."""
    common = {"op": "ADD", "ids": [], "reason": "It is so.", "attempts": [1], "when": None}
    return json.dumps({"edits": [{**common, "text": text} for text in texts]})
