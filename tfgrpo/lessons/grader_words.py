"""What graders said of attempts, and how much of it a lesson says: an order among lessons that nothing else ranks."""

from __future__ import annotations

from collections.abc import Sequence

from tfgrpo.config.lessons import LessonsConfig
from tfgrpo.lessons.rivals import tokens
from tfgrpo.types import Group


def said_by_graders(config: LessonsConfig, groups: Sequence[Group]) -> frozenset[str]:
    """Return the words that graders said of these groups; none where learning goes without labels or contrast."""
    if config.labels == "none" or not config.contrast:
        return frozenset()
    return frozenset(word for group in groups for score in group.scores_G for word in tokens(score.why))


def share_said(text: str | None, said: frozenset[str]) -> float:
    """Return the share of the different words of a lesson that are among those said; 0 for one without words."""
    own = frozenset(tokens(text or ""))
    return len(own & said) / max(len(own), 1)
