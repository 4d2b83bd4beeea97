"""Teacher-forced log-probs of the same stored tokens under two libraries, compared on both sides or not at all.

A rollout with a missing log-prob (nan or infinite) on either side, or without a single token, is left out on both:
imputing 0 or skipping tokens on one side would be read as an effect of the edit. It stays in its place as an empty row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tfgrpo.errors import UsageError

LOG_RATIO_CAP = 600.0
"""Bound on a log-ratio before `exp`, so that a broken log-prob of -9999 leaves sums finite."""

LogProbs = Sequence[Sequence[float]]
"""One row per rollout, one natural log-prob per scored token; nan where the server gave none."""


def log_ratios(logp_new_G: LogProbs, logp_old_G: LogProbs) -> tuple[tuple[float, ...], ...]:
    """d_{i,t} = log-prob under the new library minus that under the old, in nats; () for an unusable rollout.

    Raises:
        UsageError: the sides differ in rollouts, or a rollout in tokens, so they are not the same text.
    """
    if len(logp_new_G) != len(logp_old_G):
        raise UsageError(f"{len(logp_new_G)} rollouts scored under the new library, {len(logp_old_G)} under the old")
    rows = []
    for index, (new, old) in enumerate(zip(logp_new_G, logp_old_G, strict=True)):
        if new and old and len(new) != len(old):
            raise UsageError(
                f"rollout {index} has {len(new)} log-probs under the new library and {len(old)} under the old; "
                "score the same token ids on both sides"
            )
        usable = bool(new) and bool(old) and all(math.isfinite(x) for x in (*new, *old))
        rows.append(tuple(a - b for a, b in zip(new, old, strict=True)) if usable else ())
    return tuple(rows)


def sum_log_ratios(logp_new_G: LogProbs, logp_old_G: LogProbs) -> tuple[float, ...]:
    """D_i = sum_t d_{i,t}, in nats per rollout; nan for an unusable rollout."""
    return tuple(math.fsum(row) if row else math.nan for row in log_ratios(logp_new_G, logp_old_G))


def mean_log_ratios(logp_new_G: LogProbs, logp_old_G: LogProbs) -> tuple[float, ...]:
    """D_i / |y_i|, in nats per token; nan for an unusable rollout. Its absolute mean is the size of an edit."""
    return tuple(math.fsum(row) / len(row) if row else math.nan for row in log_ratios(logp_new_G, logp_old_G))


def coverage(rows_G: Sequence[Sequence[float]]) -> float:
    """Share of rollouts that could be scored on both sides, in [0, 1]; nan without rollouts."""
    return sum(bool(row) for row in rows_G) / len(rows_G) if rows_G else math.nan


def ratio(log_ratio: float) -> float:
    """exp(d), with d bounded to +-600 so that it stays finite; nan stays nan."""
    return math.exp(min(max(log_ratio, -LOG_RATIO_CAP), LOG_RATIO_CAP)) if not math.isnan(log_ratio) else math.nan
