"""Sessions of an app as frozen values: by which draw a version was served, what was said, and what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from experience_db.records import Edit

if TYPE_CHECKING:
    from experience_db.library import Library

SERVED, CONTROL, CANARY = "served", "control", "canary"
ARMS = (SERVED, CONTROL, CANARY)
"""What a session can meet: the newest version, no lessons at all, or the shadow version on trial."""
HALF = 0.5
"""The chance of each edit on trial in a session of the canary, drawn for each by itself: so all are tried at once, and
the effect of one is told from those of the others."""
DESIGNS = ("randomized", "paired")
"""How a trial compares: sessions by their random assignment, or in pairs of the same task, one under each version."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Which share of a library's sessions meets what, from one moment until the next record."""

    library: str
    base_version: int
    """The version that was the newest; once there is a newer one, no session meets the shadow any more."""
    control: float
    """Share without lessons, in [0, 1)."""
    canary: float = 0.0
    """Share that meets the shadow version, in [0, 1): each such session meets every edit of it with chance HALF."""
    edits: tuple[int, ...] = ()
    """Numbers of the waiting edits that make the shadow version out of `base_version`; empty where none is on trial."""
    design: str = DESIGNS[0]
    reason: str = ""
    """Why it was so set, for people."""
    id: int = 0
    created: float = 0.0
    """Seconds since the epoch."""

    def arm(self, draw: float) -> str:
        """Return the arm of a session for a uniform draw from [0, 1)."""
        if draw < self.control:
            return CONTROL
        return CANARY if draw < self.control + self.canary else SERVED

    def share(self, arm: str) -> float:
        """Return the chance with which a session meets `arm`."""
        return {CONTROL: self.control, CANARY: self.canary}.get(arm, 1.0 - self.control - self.canary)


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session as it was kept."""

    id: str
    library: str
    version: int
    """The newest version when it began: shown by `served`, changed by `canary`, withheld by `control`."""
    arm: str
    """One of ARMS."""
    share: float
    """The chance with which it met this arm, in (0, 1]."""
    task: str
    user: str
    """A hash of whatever the app calls its user; empty where it does not say."""
    source: str
    """`app` or `proxy`."""
    tainted: bool
    serving: int | None = None
    """The record of shares it was drawn by; None where there was none, and all sessions met the newest version."""
    edits: tuple[int, ...] = ()
    """The edits on trial that it met; those on trial are in the record of shares."""
    created: float = 0.0
    """When it began, in seconds since the epoch."""
    outcome: str = ""
    """What was reported last: `succeeded`, `failed`, `unclear`; empty while nothing was."""
    reward: float | None = None
    """In [0, 1]; None where nothing was reported that has one."""
    feedback: str = ""
    reported: float | None = None
    """When that report came."""


@dataclass(frozen=True, slots=True)
class Met:
    """What a session meets, and by which chance."""

    library: Library
    arm: str
    share: float
    edits: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """What sessions of a library can meet now."""

    head: Library
    """The newest version."""
    serving: Serving | None = None
    """The shares in force; its canary is 0 where the shadow's base is no longer the newest version."""
    trial: tuple[tuple[int, Edit], ...] = ()
    """The edits on trial by their numbers."""
    _made: dict[tuple[int, ...], Library] = field(default_factory=dict, compare=False, repr=False)

    def draw(self, draw: Callable[[], float]) -> Met:
        """Return what a session meets; `draw` gives uniform numbers from [0, 1).

        Raises:
            InvalidEdit, ConflictingEdits, UnknownLesson: edits on trial that do not fit together.
        """
        if self.serving is None:
            return Met(self.head, SERVED, 1.0)
        arm = self.serving.arm(draw())
        share = self.serving.share(arm)
        if arm == CONTROL:
            return Met(replace(self.head, lessons=()), arm, share)
        if arm == SERVED:
            return Met(self.head, arm, share)
        chosen = tuple(i for i, _ in self.trial if draw() < HALF)
        if chosen not in self._made:
            self._made[chosen] = self.head.with_edits([edit for i, edit in self.trial if i in chosen])
        return Met(self._made[chosen], arm, share, chosen)

    def again(self, record: SessionRecord) -> Met:
        """Return what a session that began earlier goes on with: its own arm, as far as there still is such a one."""
        if record.arm == CONTROL:
            return Met(replace(self.head, lessons=()), CONTROL, record.share)
        kept = tuple(i for i, _ in self.trial if i in record.edits)
        shown = self.head.with_edits([edit for i, edit in self.trial if i in kept]) if kept else self.head
        return Met(shown, record.arm, record.share, kept)


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that was said in a session."""

    messages: tuple[Mapping[str, Any], ...]
    failure: str = ""
    """Why it is not whole: the upstream broke off, the app raised."""
    created: float = 0.0


def user_mark(user: object) -> str:
    """Return what is kept of a user's name: enough to tell users apart, too little to tell who they are."""
    name = "" if user is None else str(user)
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() if name else ""
