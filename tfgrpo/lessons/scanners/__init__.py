"""Does a lesson hold what no lesson needs? A finding has a kind and a reason; what follows is decided in `review`.

In: the words of a lesson. Out: findings, worst kind first. Read `scan.py` first; `signs.toml` holds the patterns,
`characters.py`, `instructions.py` and `secrets.py` what patterns cannot say.
"""

from tfgrpo.lessons.scanners.base import KINDS, Finding, Kind, described
from tfgrpo.lessons.scanners.characters import visible
from tfgrpo.lessons.scanners.scan import scan, scan_together

__all__ = ["KINDS", "Finding", "Kind", "described", "scan", "scan_together", "visible"]
