"""Group statistics that tell a flat group from an informative one before anything is divided.

nan means missing: left out of every statistic. Sums are exact (`math.fsum`), so the order of a group never matters,
and values are scaled by a power of two first, so rewards near the limits of a float neither overflow nor vanish.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tfgrpo.errors import UsageError

FLAT = 1e-12
"""Spread, relative to the largest magnitude, up to which values count as equal (0.1 + 0.2 against 0.3)."""


def present(values: Iterable[float]) -> list[float]:
    """The values that are not nan.

    Raises:
        UsageError: a value is infinite; neither a measurement nor a missing one.
    """
    kept = [float(value) for value in values if not math.isnan(value)]
    if any(math.isinf(value) for value in kept):
        raise UsageError("a value is infinite; pass finite numbers, and nan where a value is missing")
    return kept


def is_flat(values: Iterable[float]) -> bool:
    """True when fewer than two values are present, or all of them are equal up to rounding."""
    kept = present(values)
    if len(kept) < 2:
        return True
    return max(kept) - min(kept) <= FLAT * max(abs(value) for value in kept)


def mean(values: Iterable[float]) -> float:
    """Mean of the values present; nan when there is none."""
    kept = present(values)
    if not kept:
        return math.nan
    exponent = _exponent(kept)
    return _scaled(math.fsum(_scaled(value, -exponent) for value in kept) / len(kept), exponent)


def centred(values: Sequence[float]) -> tuple[float, ...]:
    """Each value minus the mean of those present; 0 where nan, and all exactly 0 when flat."""
    if is_flat(values):
        return (0.0,) * len(values)
    middle = mean(values)
    return tuple(0.0 if math.isnan(value) else value - middle for value in values)


def std(values: Iterable[float], *, ddof: int = 1) -> float:
    """Standard deviation of the values present; exactly 0 when flat, nan when none is present.

    Raises:
        UsageError: `ddof` is neither 0 (population) nor 1 (sample).
    """
    check_ddof(ddof)
    kept = present(values)
    if not kept:
        return math.nan
    exponent = _exponent(kept)
    deviations = centred([_scaled(value, -exponent) for value in kept])
    variance = math.fsum(d * d for d in deviations) / max(len(kept) - ddof, 1)
    return _scaled(math.sqrt(variance), exponent)


def standardized(values: Sequence[float], *, ddof: int = 1, eps: float = 0.0) -> tuple[float, ...]:
    """(value - mean) / (std + eps); 0 where nan, and all exactly 0 when flat, whatever `eps` is."""
    check_ddof(ddof)
    kept = present(values)
    if is_flat(kept):
        return (0.0,) * len(values)
    exponent = _exponent(kept)
    deviations = centred([_scaled(value, -exponent) for value in values])
    divisor = std([_scaled(value, -exponent) for value in kept], ddof=ddof) + _scaled(eps, -exponent)
    return tuple(d / divisor for d in deviations)


def quantile(values: Iterable[float], q: float, *, method: str = "linear") -> float:
    """Quantile q in [0, 1] of the values present; nan when there is none.

    `linear` interpolates between the neighbours in the sorted list; `lower` and `higher` take one of them.

    Raises:
        UsageError: q lies outside [0, 1] or the method is unknown.
    """
    if not 0.0 <= q <= 1.0:
        raise UsageError(f"quantile {q} is outside [0, 1]")
    if method not in ("linear", "lower", "higher"):
        raise UsageError(f"quantile method {method!r} is unknown; choose linear, lower or higher")
    kept = sorted(present(values))
    if not kept:
        return math.nan
    position = q * (len(kept) - 1)
    below, above = kept[math.floor(position)], kept[math.ceil(position)]
    if method == "linear":
        return below + (above - below) * (position - math.floor(position))
    return below if method == "lower" else above


def check_ddof(ddof: int) -> None:
    """Raise UsageError unless `ddof` is 0 (population) or 1 (sample)."""
    if ddof not in (0, 1):
        raise UsageError(f"ddof is {ddof!r}; it is 0 for the population or 1 for the sample deviation")


def _exponent(values: Iterable[float]) -> int:
    """Binary exponent of the largest magnitude, bounded so that scaling itself cannot overflow."""
    largest = max((abs(value) for value in values), default=0.0)
    return max(math.frexp(largest)[1], -900) if largest else 0


def _scaled(value: float, exponent: int) -> float:
    """The value times two to the exponent, in two steps because 2.0**1024 does not exist; inf beyond the range."""
    half = exponent // 2
    return value * 2.0**half * 2.0 ** (exponent - half)
