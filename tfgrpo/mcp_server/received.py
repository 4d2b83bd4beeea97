"""What clients say: reports of outcomes and proposed lessons. Both are kept, and neither is served or counted as proof.

A proposal goes through the same scan as a lesson that a run proposes, counts as tainted, since a stranger wrote it, and
waits for `tfgrpo lessons review`; what holds a secret is not even kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experience_db import Edit, Library, Op, Report, Store
from experience_db.masking import mask
from tfgrpo.lessons.edits import normalise
from tfgrpo.lessons.review import REFUSED, WAITS, Question, ReviewRules, edit_key, screen
from tfgrpo.lessons.scanners import visible
from tfgrpo.types import Proposal

MOST_WAITING = 200
"""Waiting edits of a library beyond which no proposal is taken: a person shall read each."""
MOST_REPORTS = 100_000
"""Reports of a library beyond which none is taken."""
WRITE_SECONDS = 10.0
"""How long a client waits for another process that writes."""
NAME = 80
"""Longest name of a client that is kept, in characters."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of something a client said."""

    kept: bool
    number: int | None
    """Of the waiting edit or the report."""
    said: str


def report(db: Path, library: Library, said: Report, known: Sequence[str] = ()) -> Kept:
    """Keep a report about the version that was served.

    Args:
        db: the database.
        library: the version that the report is about.
        said: as the client sent it.
        known: keys of this environment, which no text may hold.

    Raises:
        StoreError: a lesson that this version does not have, or a database that cannot be written.
    """
    for i in said.lesson_ids:
        library.lesson(i)
    clean = Report(
        said.outcome, said.reward, said.lesson_ids, mask(_whole(said.task), known),
        mask(_whole(said.feedback), known), client_name(said.reporter, known),
    )  # fmt: skip
    with Store.open(db) as store:
        store.wait_for(WRITE_SECONDS)
        if store.count_reports(library.name) >= MOST_REPORTS:
            return Kept(False, None, f"not kept: the library has {MOST_REPORTS} reports already")
        number = store.add_report(library.name, clean, version=library.version)
    told = f"kept as report {number} about {library.name}@{library.version}; a report is no proof and changes no lesson"
    return Kept(True, number, told)


def propose(db: Path, library: Library, text: str, reason: str, client: str, known: Sequence[str] = ()) -> Kept:
    """Put a lesson into the queue that a person reviews; no version changes.

    Args:
        db: the database.
        library: the version that the client saw.
        text: the lesson.
        reason: why it would help.
        client: who proposes it, by its own account.
        known: keys of this environment, which no lesson may hold.

    Raises:
        StoreError: the database cannot be written.
    """
    edit = Edit(Op.ADD, _whole(text).strip(), reason=_whole(reason), tainted=True)
    if not edit.text:
        return Kept(False, None, "not kept: the lesson has no words")
    with Store.open(db) as store:
        store.wait_for(WRITE_SECONDS)
        with store.atomic():
            head = store.library(library.name)
            twin = next((x for x in head if normalise(x.text) == normalise(edit.text or "")), None)
            if twin is not None:
                return Kept(False, None, f"not kept: lesson {twin.id} says the same")
            return _queued(store, head, edit, client_name(client, known), known)


def client_name(name: str, known: Sequence[str] = ()) -> str:
    """Return the name that a client gives itself, without secrets and fit for a list on a terminal."""
    return visible(" ".join(mask(_whole(name), known).split()))[:NAME]


def _queued(store: Store, head: Library, edit: Edit, client: str, known: Sequence[str]) -> Kept:
    screened = screen(
        [Proposal(edit)], ReviewRules(review=True, known=tuple(known)), _decided(store, head.name), head.lessons
    )
    refused = next((v for v in screened.verdicts if v.decision == "rejected"), None)
    if refused is not None:
        return Kept(False, None, f"not kept: {refused.reason}")
    if sum(item.reason.startswith(WAITS) for item in store.pending(head.name)) >= MOST_WAITING:
        return Kept(False, None, f"not kept: {MOST_WAITING} edits wait for review already; propose it again later")
    by = f"proposed over MCP by {client or 'a client without a name'}"
    found = screened.verdicts[0].reason.removeprefix(f"{WAITS}: ") if screened.verdicts else ""
    # A finding in the reason was taken out of it where the lesson itself is clean.
    clean = (screened.held + screened.clean)[0].edit if not screened.verdicts else edit
    reason = f"{WAITS}: {by}" + (f"; {found}" if found else "")
    number = store.set_aside(head.name, [clean], status="undecided", reason=reason, version=head.version)[0]
    return Kept(True, number, f"edit {number} waits for a person's review; until then it is served to nobody")


def _decided(store: Store, library: str) -> dict[Question, str]:
    """The edits that wait, or that a person refused, with what to say about them."""
    known = {}
    for item in store.unapplied(library):
        if item.reason.startswith(WAITS):
            known[edit_key(item.edit)] = f"it waits for review already, as edit {item.id}"
        elif item.reason.startswith(REFUSED):
            known[edit_key(item.edit)] = item.reason
    return known


def _whole(text: str) -> str:
    """Text that can be stored: half characters, which JSON can carry, become a question mark."""
    return text.encode("utf-8", "replace").decode()
