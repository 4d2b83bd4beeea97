"""Does a lesson hold what no lesson needs? A finding has a kind and a reason; what follows is decided in `review`.

In: the words of a lesson. Out: findings, worst kind first. Read `scan_texts.py` first; `signs.toml` holds the patterns,
`characters.py`, `instructions.py` and `secrets.py` what patterns cannot say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from experience_db.lazy_names import names_on_use

if TYPE_CHECKING:
    from tfgrpo.lessons.scanners.base import KINDS, Finding, Kind, described
    from tfgrpo.lessons.scanners.characters import visible
    from tfgrpo.lessons.scanners.scan_texts import scan, scan_beside, scan_together

__all__ = ["KINDS", "Finding", "Kind", "described", "scan", "scan_beside", "scan_together", "visible"]

__getattr__, __dir__ = names_on_use(
    __name__,
    {
        "tfgrpo.lessons.scanners.base": (
            "KINDS",
            "Finding",
            "Kind",
            "described",
        ),
        "tfgrpo.lessons.scanners.characters": ("visible",),
        "tfgrpo.lessons.scanners.scan_texts": (
            "scan",
            "scan_beside",
            "scan_together",
        ),
    },
)
