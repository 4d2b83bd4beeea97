"""How much a group counts when groups are ranked: on purpose, not by accident of a division."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from tfgrpo.errors import UsageError

Weighting = Literal["equal", "grpo", "dr_grpo"]


def group_weights(
    success_rates: Sequence[float], weighting: Weighting = "equal", *, group_size: int | None = None
) -> tuple[float, ...]:
    """Mean |advantage| of a binary group with success rate p, which is the weight a method gives the problem.

    `equal`: 1 for every informative group (DisCO's answer, arXiv 2505.12366). `grpo`: 2 sqrt(p (1 - p)), favouring
    extreme p. `dr_grpo`: 2 p (1 - p) (arXiv 2503.20783, section 3.1).

    Args:
        success_rates: p in [0, 1] per group; nan where nothing was graded.
        weighting: which method's weight.
        group_size: G; gives `grpo` with the sample deviation instead of the population's, smaller by sqrt((G-1)/G).

    Returns:
        In [0, 1]; 0 for a flat group (p = 0 or 1) and for nan.

    Raises:
        UsageError: p lies outside [0, 1], the weighting is unknown, or the group size is below 1.
    """
    if any(not math.isnan(p) and not 0.0 <= p <= 1.0 for p in success_rates):
        raise UsageError("a success rate lies outside [0, 1]; pass correct / graded of each group")
    if weighting not in ("equal", "grpo", "dr_grpo"):
        raise UsageError(f"weighting {weighting!r} is unknown; choose equal, grpo or dr_grpo")
    if group_size is not None and group_size < 1:
        raise UsageError(f"group_size is {group_size}; a group has at least one rollout")
    sample = math.sqrt((group_size - 1) / group_size) if group_size is not None else 1.0
    return tuple(_weight(p, weighting, sample) for p in success_rates)


def _weight(p: float, weighting: str, sample: float) -> float:
    if math.isnan(p) or p in (0.0, 1.0):
        return 0.0
    if weighting == "equal":
        return 1.0
    return 2.0 * math.sqrt(p * (1.0 - p)) * sample if weighting == "grpo" else 2.0 * p * (1.0 - p)
