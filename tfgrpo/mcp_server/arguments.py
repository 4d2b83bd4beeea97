"""What the tools take. The docstrings and descriptions here are what a model reads about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tfgrpo.errors import UsageError


class Search(BaseModel):
    """Find lessons that bear on a task, best match first. Do this before you begin a task."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(max_length=4000, description="The task, or words of it.")
    limit: int = Field(8, ge=1, le=50, description="Most lessons to return.")


class ReportOutcome(BaseModel):
    """Say how a task ended that the lessons were used for. It is kept for people to read and changes no lesson."""

    model_config = ConfigDict(extra="forbid")

    outcome: Literal["succeeded", "failed", "unclear"] = Field(description="How the task ended.")
    reward: float | None = Field(None, ge=0, le=1, description="A score between 0 and 1, if there is one.")
    lesson_ids: list[int] = Field(default_factory=list, max_length=50, description="Ids of the lessons that were used.")
    task: str = Field("", max_length=4000, description="What the task was; no secrets.")
    feedback: str = Field("", max_length=4000, description="What helped, what misled, what was missing.")
    version: int | None = Field(None, ge=0, description="The version that was used, if it is not the newest.")


class Propose(BaseModel):
    """Propose a new lesson: one or two sentences that would help with other tasks of this kind.

    It waits for a person's review and is used by nobody before.
    """

    model_config = ConfigDict(extra="forbid")

    lesson: str = Field(min_length=1, max_length=2000, description="When ..., do ...; general, not about one task.")
    reason: str = Field("", max_length=2000, description="What happened that shows it.")


ARGUMENTS: Mapping[str, type[BaseModel]] = {
    "search_lessons": Search,
    "report_outcome": ReportOutcome,
    "propose_lesson": Propose,
}


def parsed(name: str, given: Mapping[str, Any]) -> BaseModel:
    """Return the checked arguments of a tool.

    Raises:
        UsageError: there is no such tool, or it does not take this; the message names each argument.
    """
    if name not in ARGUMENTS:
        raise UsageError(f"there is no tool {name[:80]!r}; there are {', '.join(ARGUMENTS)}")
    try:
        return ARGUMENTS[name].model_validate(dict(given))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise UsageError(f"{name} cannot take this: {faults[:600]}") from error
