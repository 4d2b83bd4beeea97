"""Numbers that belong to a person, as findings."""

from __future__ import annotations

from experience_db.personal_numbers import personal_numbers
from tfgrpo.lessons.scanners.base import Finding, Kind


def personal_findings(text: str) -> tuple[Finding, ...]:
    """Return a finding for each kind of number that belongs to a person; no reason repeats the number."""
    return tuple(Finding(Kind.PERSONAL, f"it holds {name}") for name in personal_numbers(text))
