"""A scripted solver for searches: it knows nothing, and a reflection names the lesson of each topic it is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from support.script import ASKED, Model, edits, lesson, play, rows, text_of

import tfgrpo
from tfgrpo.types import Request

SHOWN = re.compile(r"topic (\w+): what comes of")


def blank(request: Request) -> str:
    """Solve a problem only with the lesson of its topic."""
    found = ASKED.search(text_of(request))
    assert found is not None
    right = lesson(found[1]) in text_of(request)
    return f"Answer: {2 * int(found[2]) if right else found[2]}"


def reflect(request: Request) -> str:
    """Propose the lessons of two topics that the attempts are about and the library lacks."""
    text = text_of(request)
    held = text.partition("## The library now")[2].partition("\n## ")[0]
    lacking = [lesson(t) for t in dict.fromkeys(SHOWN.findall(text)) if lesson(t) not in held]
    return edits(*({"op": "ADD", "text": words, "attempts": [1]} for words in lacking[:2]))


def model(**roles: Any) -> Model:
    """Return a model that solves and reflects as above."""
    return Model(**{"rollout": blank, "evaluate": blank, "gate": blank, "reflect": reflect, **roles})


def search(playing: Model, db: Path, method: str = "gepa", name: str = "search", **changed: Any) -> tfgrpo.LearnResult:
    """Search with small settings: 12 problems, 8 held out, one pass, 2 x 2 proposals."""
    small = {
        "grader": "exact",
        "heldout": rows(8, 500),
        "epochs": 1,
        "group_size": 4,
        "search__parents": 2,
        "search__proposals": 2,
        "search__look": 4,
    }
    problems = changed.pop("problems", rows(12))
    return tfgrpo.learn_sync(problems, model=play(playing, name), db=db, method=method, **small | changed)
