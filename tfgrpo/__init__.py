"""Training-Free GRPO: the experience library whose every lesson carries its evidence.

Public names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfgrpo.version import __version__

if TYPE_CHECKING:
    from experience_db import Evidence, Lesson, Library
    from tfgrpo.api import evaluate, evaluate_sync, learn, learn_all, learn_sync
    from tfgrpo.config.library import open_library
    from tfgrpo.errors import TfgrpoError
    from tfgrpo.evaluation.results import EvalResult, LearnResult
    from tfgrpo.types import Failure, Group, Message, Problem, Rollout, Score, Step, Usage

__all__ = [
    "EvalResult",
    "Evidence",
    "Failure",
    "Group",
    "LearnResult",
    "Lesson",
    "Library",
    "Message",
    "Problem",
    "Rollout",
    "Score",
    "Step",
    "TfgrpoError",
    "Usage",
    "__version__",
    "evaluate",
    "evaluate_sync",
    "learn",
    "learn_all",
    "learn_sync",
    "open_library",
]

_HOMES = {
    "experience_db": ("Evidence", "Lesson", "Library"),
    "tfgrpo.config.library": ("open_library",),
    "tfgrpo.api": ("evaluate", "evaluate_sync", "learn", "learn_all", "learn_sync"),
    "tfgrpo.evaluation.results": ("EvalResult", "LearnResult"),
    "tfgrpo.errors": ("TfgrpoError",),
    "tfgrpo.types": ("Failure", "Group", "Message", "Problem", "Rollout", "Score", "Step", "Usage"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_PARTS = ("advantages", "edit_scores", "replies", "selection", "stats")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _PARTS:
        return importlib.import_module(f"tfgrpo.{name}")
    raise AttributeError(f"module 'tfgrpo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_PARTS})
