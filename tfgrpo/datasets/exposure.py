"""What the runs of a library have seen: problems that taught it, and held-out ones that chose its lessons.

A figure on such problems is too good. Learning problems are in the store with their words; of held-out ones a run keeps
the id and a mark of the words, so that a near copy of a held-out problem is not found here, but one of a learning
problem is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from experience_db import Library, Store
from tfgrpo.datasets.overlap import Overlap, overlap, words_of
from tfgrpo.types import Problem

HELDOUT_KEY = "heldout_problems"
"""Key of a run's configuration under which `heldout_marks` of its held-out problems are kept."""
NAMED = 3
"""Problems that a sentence names."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """What of a dataset a library has seen."""

    taught: tuple[Overlap, ...] = ()
    """`a` is the learning problem, `b` the one of the dataset."""
    gated: tuple[Overlap, ...] = ()
    """The same with held-out problems of its runs."""

    @property
    def sentence(self) -> str:
        """What a reader of figures must know; empty when nothing was seen."""
        parts = [
            f"{len(found)} {what} ({_listed(found)})"
            for found, what in ((self.taught, "taught it"), (self.gated, "chose its lessons as held-out problems"))
            if found
        ]
        return f"the library has seen problems of this set: {'; '.join(parts)}" if parts else ""


def exposure_of(store: Store, library: Library, problems: Sequence[Problem]) -> Exposure:
    """Return what of `problems` the runs behind a stored library have learned from or been gated on."""
    if not any(library.name == name for name in store.libraries()):
        return Exposure()
    runs = [r for r in store.runs() if r.kind == "learn" and r.library == library.name]
    runs = [r for r in runs if (r.base_version or 0) < library.version]
    rows = [row for run in runs for row in store.problems(run.id)]
    learned = {str(row["id"]): Problem(str(row["id"]), str(row.get("question", ""))) for row in rows}
    pool = [mark for run in runs for mark in run.config.get(HELDOUT_KEY, ())]
    return Exposure(overlap(tuple(learned.values()), problems), _in_pool(pool, problems))


def heldout_marks(problems: Sequence[Problem]) -> list[str]:
    """Return `DIGEST ID` per problem: enough to know it again by its id, or by its words whatever their case."""
    return [f"{_digest(problem)} {problem.id}" for problem in problems]


def _in_pool(pool: Sequence[str], problems: Sequence[Problem]) -> tuple[Overlap, ...]:
    by_id = {mark.partition(" ")[2] for mark in pool}
    by_text = {digest: id for digest, _, id in (mark.partition(" ") for mark in reversed(pool))}
    found = []
    for problem in problems:
        if problem.id in by_id:
            found.append(Overlap(problem.id, problem.id, "id"))
        elif twin := by_text.get(_digest(problem)):
            found.append(Overlap(twin, problem.id, "text"))
    return tuple(found)


def _digest(problem: Problem) -> str:
    words = " ".join(words_of(problem.question))
    return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _listed(found: Sequence[Overlap]) -> str:
    named = ", ".join(f"{o.b!r}" if o.kind == "id" else f"{o.b!r} (same {o.kind} as {o.a!r})" for o in found[:NAMED])
    return f"{named}, ..." if len(found) > NAMED else named
