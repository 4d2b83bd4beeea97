"""What a report says, as frozen values: everything a page shows is here, and `--format json` prints exactly this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experience_db import AppliedEdit, Evidence, Lesson, Run, UnappliedEdit, Version


@dataclass(frozen=True, slots=True)
class Headline:
    """Whether the library helped on held-out problems, in words and numbers."""

    claim: str
    """One sentence that says no more than the numbers allow."""
    notes: tuple[str, ...] = ()
    """What a careful reader has to know beside it."""
    before: float | None = None
    """Mean held-out reward under the version the run started from; None where it was not measured."""
    before_ci: tuple[float | None, float | None] = (None, None)
    after: float | None = None
    after_ci: tuple[float | None, float | None] = (None, None)
    diff: float | None = None
    ci: tuple[float | None, float | None] = (None, None)
    """95% interval of the paired difference."""
    n: int = 0
    """Problems measured on both sides."""
    p: float | None = None
    verdict: str = "unmeasured"
    """`better`, `worse`, `noise` or `unmeasured`."""
    objectives: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    """Means before and after of each value that the grader names, and of the tokens."""


@dataclass(frozen=True, slots=True)
class Point:
    """One step of the learning curve."""

    step: int
    epoch: int
    reward: float | None
    """Mean over problems of the mean reward of their graded rollouts."""
    low: float | None
    high: float | None
    """Ends of the 95% interval, resampled over problems."""
    problems: int
    """Problems with at least one graded rollout."""
    version_before: int
    version_after: int
    groups: Mapping[str, int]
    edits: Mapping[str, int]
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many groups came in, and what became of the edits they proposed."""

    groups: Mapping[str, int]
    """`kept`, `flat`, `failed`, `filtered` in this order, then any other status."""
    proposed: int
    accepted: int
    rejected: int
    undecided: int
    malformed: int
    """Replies that could not be read as edits."""


@dataclass(frozen=True, slots=True)
class LessonStory:
    """One lesson of the final version, with everything that speaks for or against it."""

    lesson: Lesson
    evidence: tuple[Evidence, ...]
    """Measured effects of its present or earlier words: of it alone first, then together with others, oldest first."""
    tried: tuple[Evidence, ...]
    """Measurements of edits of this lesson that were not accepted."""
    edits: tuple[AppliedEdit, ...]
    """How it came to its words, oldest first."""
    shown: int
    """Rollouts of this run that had it in their prompt."""
    shown_ever: int
    tokens: int
    """Estimated length: a quarter of its characters."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An edit of this run that made no version."""

    item: UnappliedEdit
    evidence: tuple[Evidence, ...]
    """What the gate measured about it; empty when a check in code refused it before any trial."""


@dataclass(frozen=True, slots=True)
class Change:
    """What takes one version to another."""

    version: Version | None
    """The later version; None for the whole run at once."""
    edits: tuple[AppliedEdit, ...]
    added: tuple[Lesson, ...]
    removed: tuple[Lesson, ...]
    changed: tuple[tuple[Lesson, Lesson], ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What the new calls of one role, or of several, consumed."""

    role: str
    part: str
    """`learning`, `proving` or `other`."""
    calls: int
    replayed: int
    """Calls that the journal answered when the run last ended; they are not paid again."""
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    usd: float | None
    """None when any price is unknown."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """How often one kind of failure happened in one place."""

    where: str
    """`rollout`, `grading` or `writing lessons`."""
    kind: str
    count: int
    example: str
    """The message of the first one, where it was kept."""
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """One evaluation of the library, or of a control beside it."""

    dataset: str
    model: str
    version: int | None
    control: str
    """Empty for the library itself."""
    k: int
    problems: int
    mean: float | None
    low: float | None
    high: float | None
    diff: float | None = None
    """Library minus control, paired; for controls only."""
    diff_low: float | None = None
    diff_high: float | None = None
    p: float | None = None
    seen_by_gate: bool = False
    """True when the gate chose edits on this very dataset."""


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One candidate of a search, and what it comes from."""

    version: int
    origins: tuple[int, ...]
    kind: str
    """`start`, `mutation`, `pooled`, `pruned`, `merge` or `subset`."""
    mean: float | None = None
    """Mean held-out reward."""
    lost: str = ""
    """Why it is not in the pool."""
    best: bool = False
    """Whether it is the final choice."""


@dataclass(frozen=True, slots=True)
class Report:
    """One run, ready to be shown."""

    tool: str
    """Version of tfgrpo that made the report."""
    run: Run
    version: int | None
    """The version the run ended with."""
    headline: Headline
    points: tuple[Point, ...]
    funnel: Funnel
    lessons: tuple[LessonStory, ...]
    refused: tuple[Refused, ...]
    whole: Change | None
    """From the version the run started with to the one it ended with."""
    changes: tuple[Change, ...]
    """The same, version by version."""
    costs: tuple[Cost, ...]
    failures: tuple[Failed, ...]
    evaluations: tuple[Measured, ...]
    groups: tuple[Mapping[str, Any], ...]
    """As `Store.groups` returns them."""
    kin: tuple[CandidateRow, ...] = ()
    """The candidates of a search, oldest first; empty for a run along one line."""
