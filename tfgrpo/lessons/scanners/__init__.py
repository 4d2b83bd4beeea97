"""Does a lesson hold what no lesson needs? A finding has a kind and a reason; what follows is decided in `review`."""

from tfgrpo.scanners.base import KINDS, Finding, Kind, described
from tfgrpo.scanners.characters import visible
from tfgrpo.scanners.scan import scan

__all__ = ["KINDS", "Finding", "Kind", "described", "scan", "visible"]
