"""A scripted model for whole runs: what it says is a function of the request, so equal questions get equal replies.

Problems ask for double a figure in one of four topics. A rollout is right when the library has the lesson of the
topic, else every second time; outside of learning it is wrong without the lesson. A contrast proposes that lesson.

    model = Model()
    name = play(model)        # "scripted/support.script:model1", for --model
    learn(model, rows(8))     # or straight to a result, with every setting small
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tfgrpo
from tfgrpo.types import Reply, Request

TOPICS = ("maple", "granite", "velvet", "copper")
ASKED = re.compile(r"topic (\w+): what comes of (\d+)\?")
PROPOSED = re.compile(r"^(\d+)\. ADD \(support \d+\): (.+?) \| reason", re.MULTILINE)
Said = str | Reply | Exception
_playing: dict[str, Model] = {}
_numbers = itertools.count(1)


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    """Return `count` problems as rows, the topics in turn; `start` gives others."""
    return [_row(TOPICS[i % len(TOPICS)], 200 + start + i) for i in range(count)]


def _row(topic: str, figure: int) -> dict[str, str]:
    return {
        "id": f"{topic}-{figure}",
        "question": f"In topic {topic}: what comes of {figure}?",
        "answer": str(2 * figure),
    }


def write(path: Path, written: Sequence[dict[str, Any]]) -> Path:
    """Write rows as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")
    return path


def lesson(topic: str) -> str:
    """Return the lesson that helps with a topic."""
    return f"When the topic is {topic}, double the figure before you answer."


def text_of(request: Request) -> str:
    """Return all words of a request."""
    return "\n".join(str(message["content"]) for message in request.messages)


def solve(request: Request) -> Said:
    """Answer a problem."""
    found = ASKED.search(text_of(request))
    assert found is not None
    topic, figure = found[1], int(found[2])
    right = lesson(topic) in text_of(request) or (request.role == "rollout" and request.attempt % 2 == 0)
    return f"Answer: {2 * figure if right else figure}"


def propose(request: Request) -> Said:
    """Propose the lesson of the topic unless the library has it."""
    found = ASKED.search(text_of(request))
    assert found is not None
    words = lesson(found[1])
    return edits() if words in text_of(request) else edits({"op": "ADD", "text": words, "attempts": [1, 2]})


def edits(*operations: dict[str, Any]) -> str:
    """Return a reply with these operations; what they leave out is filled in."""
    whole = [{"ids": [], "text": None, "reason": "seen", "attempts": [1], "when": None, **o} for o in operations]
    return json.dumps({"edits": whole})


def agree(request: Request) -> Said:
    """Consolidate by taking every proposal as it is."""
    found = PROPOSED.findall(text_of(request))
    return edits(*({"op": "ADD", "text": words, "attempts": [int(number)]} for number, words in found))


class Model:
    """A model that plays roles by functions, and remembers every request."""

    def __init__(self, **roles: Callable[[Request], Said]) -> None:
        answering = dict.fromkeys(("rollout", "gate", "evaluate"), solve)
        others = {
            "contrast": propose,
            "consolidate": agree,
            "summarize": lambda _: "brief",
            "ground": lambda _: edits(),
        }
        self.roles = {**answering, **others} | roles
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> str | Reply:
        """Answer as the role's function says; an exception is raised."""
        self.requests.append(request)
        said = self.roles[request.role](request)
        if isinstance(said, Exception):
            raise said
        return said

    @property
    def calls(self) -> Counter[str]:
        """How many requests came in, by role."""
        return Counter(request.role for request in self.requests)

    def asked(self, role: str) -> list[str]:
        """The texts of all requests of a role."""
        return [text_of(request) for request in self.requests if request.role == role]


def play(model: Model, name: str = "") -> str:
    """Return the model name under which `model` can be asked for; the same `name` replaces an earlier one."""
    name = name or f"model{next(_numbers)}"
    _playing[name] = model
    return f"scripted/support.script:{name}"


def __getattr__(name: str) -> Model:
    if name in _playing:
        return _playing[name]
    raise AttributeError(name)


SMALL: dict[str, Any] = {"grader": "exact", "heldout": 0, "gate": "open", "epochs": 1, "group_size": 4}


def learn(model: Model, problems: Any, db: Path, name: str = "model", **changed: Any) -> tfgrpo.LearnResult:
    """Learn with small settings: one epoch, no held-out problems, an open gate."""
    return tfgrpo.learn_sync(problems, model=play(model, name), db=db, **SMALL | changed)
