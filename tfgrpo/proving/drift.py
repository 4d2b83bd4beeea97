"""Did the model change while it was measured? The baseline's early rewards against its late ones.

The order of problems is random, so without drift every split is as likely as the one by time. Arms are interleaved, so
a drift moves both sides of a pair; it is told because it says that the model is not the one that was asked for.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import fmean
from typing import Any

FEWEST = 16
SHUFFLES = 2000


def drift(rewards: Sequence[float], seed: int = 0) -> dict[str, Any] | None:
    """Return `first`, `last` (means of both halves) and the two-sided permutation `p`; None for fewer than 16 rewards.

    `rewards` are in the order in which they were measured; nan is left out.
    """
    values = [r for r in rewards if not math.isnan(r)]
    if len(values) < FEWEST:
        return None
    half = len(values) // 2
    first, last = fmean(values[:half]), fmean(values[half:])
    seen, total = abs(last - first) - 1e-12, math.fsum(values)
    rng, extreme = random.Random(seed), 0
    for _ in range(SHUFFLES):
        early = math.fsum(rng.sample(values, half))
        extreme += abs((total - early) / (len(values) - half) - early / half) >= seen
    return {"first": first, "last": last, "p": (extreme + 1) / (SHUFFLES + 1), "n": len(values)}
