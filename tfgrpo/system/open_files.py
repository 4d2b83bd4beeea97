"""How many connections this process may hold at once, beside the files that it opens itself."""

from __future__ import annotations

import contextlib
import logging
import os

log = logging.getLogger("tfgrpo")
KEPT = 128
"""Files for databases, programs, workers and what is imported late; where few may be opened, half of them."""


def room_for(wanted: int) -> int:
    """Return how many of `wanted` connections there is room for; raises this process's own limit where it may."""
    try:
        import resource  # noqa: PLC0415  (not on Windows)
    except ImportError:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _open() + KEPT + wanted
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = min(wanted, max(1, soft - _open() - min(KEPT, soft // 2)))
    if room < wanted:
        log.warning(
            "this process may open %d files, so %d calls at once in place of %d; more with a larger limit (ulimit -n)",
            soft,
            room,
            wanted,
        )
    return room


def _open() -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir("/dev/fd"))
    return 16
