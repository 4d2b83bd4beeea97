"""What the store holds, as frozen values: lessons, edits, versions and the evidence for them.

A library is a named line of versions. A version is an immutable set of lessons, and the edits are the truth:
every version can be rebuilt from them. Lesson ids are integers that belong to a library, start at 1 and are never
given out twice, so the history of a lesson survives every later edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from experience_db.frames import html_table


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


IMPORTED = "import: "
"""How the `problem_id` of a source begins that is an entry in another program's file."""


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

    def __repr__(self) -> str:
        """Return one line: id, words, origin."""
        return f"Lesson({self.id}, {self.text!r}, {self.origin})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the words, and where they come from."""
        rows = [(source.problem_id, source.run, source.step) for source in self.sources]
        return html_table(f"[{self.id}] {self.text}", ("problem", "run", "step"), rows, self.origin)

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        named = {source.problem_id for source in self.sources}
        brought = sorted({i.removeprefix(IMPORTED).split(" ")[0] for i in named if i.startswith(IMPORTED)})
        problems = sum(not i.startswith(IMPORTED) for i in named)
        told = f"from {problems} problem{'' if problems == 1 else 's'}" if problems else "written by hand"
        if brought:
            told = f"imported from {', '.join(brought)}" + (f", {told}" if problems else "")
        return f"{told}; tainted by tool output" if self.tainted else told


BROUGHT = "imported"
"""Detail of evidence that came with an import: which version of which library it was measured for, as its file says."""


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
    version: int | None = None
    """The version it was measured for; the store fills it in, like `run`, `step` and `created`."""
    run: str = ""
    step: int | None = None
    created: float = field(default=0.0, compare=False)
    """When it was stored, in seconds since the epoch."""


OUTCOMES = ("succeeded", "failed", "unclear")
"""How a task can have ended that somebody reports about."""


@dataclass(frozen=True, slots=True)
class Report:
    """What somebody who used a library says came of a task. It is a claim, no measurement, and proves no lesson."""

    outcome: str
    """One of OUTCOMES."""
    reward: float | None = None
    """In [0, 1], where whoever reports has one."""
    lesson_ids: tuple[int, ...] = ()
    """The lessons it speaks about; empty means the whole version."""
    task: str = ""
    feedback: str = ""
    reporter: str = ""
    """Who says so, by the name it gives itself."""
    version: int | None = None
    """The version it is about; the store fills it in, like `id` and `created`."""
    id: int = 0
    created: float = field(default=0.0, compare=False)
    """When it was stored, in seconds since the epoch."""


def effect_of(evidence: Iterable[Evidence]) -> Evidence | None:
    """Return the measurement that speaks for a lesson: the newest about it alone, else about it among others.

    What refused an edit says nothing about the lesson that stayed, so rejected and undecided evidence is passed over.
    Dropout is about random subsets of the library and weak: it speaks only where nothing else does.
    """
    measured = [e for e in evidence if e.estimate is not None and e.verdict in ("", "accepted")]
    return max(reversed(measured), key=lambda e: rank_of(e.kind, e.lesson_ids), default=None)


def rank_of(kind: str, lesson_ids: Sequence[int]) -> int:
    """Return how directly a measurement speaks for a lesson, the more the better."""
    return 0 if len(lesson_ids) != 1 else 1 if kind == "dropout" else 2


def own_words(evidence: Iterable[Evidence], changed: int) -> tuple[Evidence, ...]:
    """Return what was measured about a lesson's present words, which it has since version `changed`."""
    return tuple(e for e in evidence if e.version is None or e.version >= changed)


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
    digest: str = ""
    """SHA-256 of its lessons and template: equal digests mean byte-equal versions."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a candidate version comes from."""

    version: int
    origins: tuple[int, ...]
    """The versions it was made from: one for a mutation, two for a merge."""
    kind: str
    """`mutation`, `pooled`, `merge`, `subset`, `best`, ..."""
    run: str = ""
    step: int | None = None


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
    restored: bool = False
    """True when a rollback or an import put the lesson there as it once was; `edit` then reads as an UPDATE."""


@dataclass(frozen=True, slots=True)
class UnappliedEdit:
    """An edit that made no version: rejected, or undecided and waiting."""

    id: int
    edit: Edit
    status: str
    """`rejected` or `undecided`."""
    reason: str
    """Why it was not applied; the edit's own reason is on the edit."""
    version: int
    """The version it would have changed."""
    run: str = ""
    step: int | None = None
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Diff:
    """What it takes to get from one version to another."""

    added: tuple[Lesson, ...]
    removed: tuple[Lesson, ...]
    changed: tuple[tuple[Lesson, Lesson], ...]
    """Before and after, for lessons whose words differ."""
    total: int = 0
    """Lessons that differ, also those that are not told."""


@dataclass(frozen=True, slots=True)
class Blame:
    """The whole story of one lesson."""

    lesson_id: int
    lesson: Lesson | None
    """As it stands in the newest version; None when it has left."""
    edits: tuple[AppliedEdit, ...]
    evidence: tuple[Evidence, ...]
    """Measurements that name this lesson, oldest first."""
    shown: int = 0
    """How many rollouts had it in their prompt."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of `learn` or `eval`."""

    id: str
    name: str
    kind: str
    """`learn`, `eval`, `compare`, ..."""
    fingerprint: str
    """Hash of what makes two runs the same: configuration, dataset, prompts, model."""
    config: Mapping[str, Any]
    library: str | None
    base_version: int | None
    dataset: str
    status: str
    """`running`, `finished`, `budget`, `interrupted` or `failed`."""
    summary: Mapping[str, Any]
    started: float
    finished: float | None = None


@dataclass(frozen=True, slots=True)
class RunStep:
    """One batch of a run, as recorded."""

    run: str
    step: int
    epoch: int
    version_before: int
    version_after: int
    summary: Mapping[str, Any]
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One measured mean reward of a library version on a dataset."""

    run: str
    dataset: str
    model: str
    library: str | None
    version: int | None
    mean: float | None
    low: float | None = None
    high: float | None = None
    """Ends of the 95% interval."""
    problems: int = 0
    k: int = 1
    """Rollouts per problem."""
    control: str = ""
    """Empty for the library itself, else which control: `empty`, `filler`, `shuffled`, ..."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class RoleUsage:
    """What the calls of one role consumed."""

    role: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    usd: float | None
    """None when any call has no known price: unknown is never zero."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """One journaled model or tool call."""

    key: str
    role: str
    model: str
    request: Mapping[str, Any]
    reply: Mapping[str, Any]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    usd: float | None = None
    """None when the price is not known."""
    seconds: float = 0.0
    run: str | None = None
    """The run that paid for it; a later run that replays it is not named."""


def where_measured(evidence: Evidence) -> str:
    """Return where an effect was measured and what it makes over all problems; '' for one measured on all of them.

    The effect of a lesson that got in was measured by the test that let it in, so it is on average too large, and said
    to be.
    """
    told = []
    touched, pool = evidence.detail.get("touched"), evidence.detail.get("pool")
    if touched and isinstance(touched, Sequence) and isinstance(pool, int) and evidence.estimate is not None:
        over_all = evidence.estimate * len(touched) / pool
        told.append(f"on the problems it touches ({len(touched)} of {pool}), {over_all:+.2f} over all")
    if evidence.kind in ("gate", "leave-one-out") and evidence.verdict == "accepted":
        told.append("selected, so rather too large")
    if BROUGHT in evidence.detail:
        told.append("imported, not measured here")
    return "; ".join(told)
