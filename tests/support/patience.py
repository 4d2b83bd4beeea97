"""Waiting and time limits in tests that hold on a machine of any load.

A test that waits for something polls for it, up to a bound far above any load (`until`). A test of a time limit that
must let something happen first cannot know how long that takes here, so it tries again with more (`LIMITS`): what it
shows, that the limit is enforced and what came before is kept, is shown under the first limit that was long enough.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LIMITS = (1.0, 5.0, 30.0)
"""Seconds; an idle machine needs the first, and no machine is thought to need more than the last."""
AMPLE = 60.0
"""Seconds for what takes less than one on an idle machine; only what hangs takes them."""


async def until(holds: Callable[[], bool]) -> bool:
    """Wait until something holds, at most `AMPLE` seconds; return whether it does."""
    end = time.monotonic() + AMPLE
    while not (found := holds()) and time.monotonic() < end:
        await asyncio.sleep(0.02)
    return found
