"""What the store holds, as frozen values: lessons, edits, versions and the evidence for them.

A library is a named line of versions. A version is an immutable set of lessons, and the edits are the truth:
every version can be rebuilt from them. Lesson ids are integers that belong to a library, start at 1 and are never
given out twice, so the history of a lesson survives every later edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Op(StrEnum):
    """What an edit does to the library."""

    ADD = "ADD"
    """A new lesson; the store gives it the next id."""
    UPDATE = "UPDATE"
    """New words for one lesson, which keeps its id."""
    DELETE = "DELETE"
    """One lesson leaves; its id is never used again."""
    MERGE = "MERGE"
    """Two or more lessons become one: the first named id keeps living, the others leave."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a lesson or an edit comes from."""

    problem_id: str
    rollouts: tuple[int, ...] = ()
    """Indices of the rollouts of that problem's group which the edit rests on."""
    run: str = ""
    step: int = 0
    model: str = ""
    """The model that wrote the text."""
    template: str = ""
    """Hash of the prompt template that asked for it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of the library, with its reason and its sources."""

    op: Op
    text: str | None = None
    """The new words; None for DELETE only."""
    ids: tuple[int, ...] = ()
    """The lessons it is about: empty for ADD, one for UPDATE and DELETE, two or more for MERGE."""
    reason: str = ""
    sources: tuple[Source, ...] = ()
    tainted: bool = False
    """True when tool output was among the sources: such text was written by strangers."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One entry of a library, as it stands in one version."""

    id: int
    text: str
    born: int
    """The version that added it."""
    changed: int
    """The version that gave it its present words."""
    sources: tuple[Source, ...] = ()
    tainted: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """A measured effect of a lesson, an edit or a whole version.

    Effects are differences of mean reward, so they lie in [-1, 1] when rewards lie in [0, 1].
    """

    kind: str
    """How it was measured: `gate`, `leave-one-out`, `dropout`, `heldout`, `control`, ..."""
    estimate: float | None
    low: float | None = None
    high: float | None = None
    """Ends of the 95% interval."""
    n: int = 0
    """Number of problems (or pairs) behind the estimate."""
    lesson_ids: tuple[int, ...] = ()
    """The lessons it speaks about; empty means the whole version."""
    verdict: str = ""
    """`accepted`, `rejected`, `undecided`, or empty for a plain measurement."""
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the measurement knows: E values, rollouts spent, touched problems, cost."""


@dataclass(frozen=True, slots=True)
class Version:
    """One point in a library's history."""

    library: str
    number: int
    """0 is the empty library."""
    parent: int | None
    created: float
    """Seconds since the epoch."""
    run: str = ""
    step: int | None = None
    note: str = ""
    """Why the version exists, in a few words: `learn`, `add`, `rollback to 3`, `import`."""


@dataclass(frozen=True, slots=True)
class AppliedEdit:
    """An edit as it entered the history: the change, the version it made, and the ids it gave."""

    version: int
    position: int
    """Order of the edit inside its version."""
    edit: Edit
    lesson_id: int
    """The lesson that carries the text afterwards (the deleted one for DELETE)."""
    created: float = 0.0
