"""What learning from sessions may spend: error, users' sessions, and time."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from tfgrpo.errors import UsageError


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How sessions are shared out, and what must be shown."""

    control: float = 0.3
    """Share that goes without lessons, always: what tells a bad lesson from a bad day."""
    canary: float = 0.6
    """Share under the shadow version while something is on trial; half of it meets each edit."""
    together: int = 12
    """Edits on trial at once."""
    per_group: int = 3
    """Edits on trial at once for each group of tasks."""
    alpha: float = 0.05
    """Chance at most that a lesson which does not help is promoted, for each trial."""
    harm: float = 0.2
    """Chance at most that a lesson which does no harm is refused as harmful, for each trial, all its sessions together;
    one whose latest sessions alone speak against it is refused at the same evidence."""
    horizon: int = 250
    """Sessions of the canary that bear on an edit after which it ends without an answer."""
    delta: float = 0.1
    """The smallest effect worth a lesson; a trial ends early where it is ruled out."""
    alarms: float = 20.0
    """Sessions that bear on what is served, as a whole, in which it is withdrawn once by mistake, on average."""
    group_alarms: float = 10.0
    """The same for the lessons of one group of tasks: they are proposed anew at less cost."""
    liars: float = 0.0
    """Share of users who may lie together without moving a decision; at least one user always may."""
    per_user: int = 40
    """Sessions of one user that count in one question."""
    patience: float = 86_400.0
    """Seconds after which a session without a report counts as one, and later reports no more."""
    recent: int = 60
    """Sessions of the control that are compared with those before them, to tell a drift."""

    promote: str = "review"
    """What becomes of an edit that passed its trial: `review`, it waits for a person, or `serve`, it is served."""

    def __post_init__(self) -> None:
        if self.promote not in ("review", "serve"):
            raise UsageError(f"sessions.promote is 'review' or 'serve', not {self.promote!r}")
        if not (self.control > 0 and self.canary > 0 and self.control + self.canary < 1):
            raise UsageError(
                f"a control of {self.control:g} and a canary of {self.canary:g} leave no three shares; both are "
                "above 0 and together below 1"
            )
        if not (0 < self.alpha < 1 and 0 < self.harm < 1 and 0 <= self.liars < 1):
            raise UsageError("alpha, harm and liars of learning from sessions lie between 0 and 1")
        if min(self.horizon, self.per_user, self.recent) < 1 or self.alarms <= 1 or self.patience < 0:
            raise UsageError("horizon, per_user and recent are at least 1, alarms above 1, patience not below 0")

    def tolerated(self, users: int) -> int:
        """Return how many of so many users may lie."""
        return max(1, ceil(self.liars * users))
