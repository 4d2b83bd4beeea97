"""Numbers with their uncertainty: the unit is the problem, differences are paired, and noise is called noise.

Everything is pure Python and seeded. nan stands for an unscored problem and is left out, never read as 0.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, fmean, stdev

from tfgrpo.errors import UsageError

_NORMAL = NormalDist()
_MOST_SUMS = 5000
"""Different sums up to which a sign-flip test is exact; reached by 12 pairs at the earliest."""
_FLIPS = 10_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean paired difference, after minus before."""

    diff: float
    low: float
    high: float
    """Ends of the interval."""
    n: int
    """Pairs behind it."""
    p: float
    """Two-sided, from the sign-flip test."""
    dropped: int = 0
    """Pairs left out because one side had no value."""
    level: float = 0.95


def mean_at_k(values_P_K: Sequence[Sequence[float]]) -> float:
    """Mean over problems of each problem's mean; nan without any value."""
    means = [fmean(scored) for values_K in values_P_K if (scored := _scored(values_K))]
    return fmean(means) if means else math.nan


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that at least one of k rollouts is right, from c right ones among n; unbiased.

    1 - C(n-c, k) / C(n, k) (Chen et al. 2021, arXiv 2107.03374).
    """
    _check_counts(n, c, k)
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def pass_hat_k(n: int, c: int, k: int) -> float:
    """Chance that all of k rollouts are right ("pass^k"), from c right ones among n; unbiased.

    C(c, k) / C(n, k) (Yao et al. 2024, tau-bench, arXiv 2406.12045).
    """
    _check_counts(n, c, k)
    return math.comb(c, k) / math.comb(n, k)


def bootstrap_mean(
    values_P: Sequence[float], seed: int = 0, *, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """Interval of a mean by resampling problems; (nan, nan) for fewer than two.

    Percentiles are expanded for small samples with the t quantile (Hesterberg 2015, The American Statistician 69(4)).
    When all values are 0 or all are 1, resampling sees no noise at all and the Wilson interval is returned.
    """
    values = _scored(values_P)
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    if set(values) in ({0.0}, {1.0}):
        return wilson(round(sum(values)), n, level=level)
    rng = random.Random(seed)
    means = sorted(math.fsum(rng.choices(values, k=n)) / n for _ in range(resamples))
    tail = _NORMAL.cdf(-math.sqrt(n / (n - 1)) * t_quantile((1 + level) / 2, n - 1))
    return _quantile(means, tail), _quantile(means, 1 - tail)


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of a mean; (nan, nan) for fewer than two values."""
    values = _scored(values)
    if len(values) < 2:
        return math.nan, math.nan
    half = t_quantile((1 + level) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def wilson(k: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion k/n (Wilson 1927), inside [0, 1] and sensible at both ends."""
    if not 0 <= k <= n or n < 1:
        raise UsageError(f"{k} of {n} is no proportion")
    z = _NORMAL.inv_cdf((1 + level) / 2)
    share = k / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (0.0 if k == 0 else middle - half), (1.0 if k == n else middle + half)


def paired_difference(
    before: Sequence[float], after: Sequence[float], *, seed: int = 0, level: float = 0.95, resamples: int = 2000
) -> Difference:
    """Mean of after minus before over the problems that have both, with interval and p.

    The interval comes from `bootstrap_mean` of the differences. p is two-sided from flipping signs (Fisher's
    randomisation): exact when there are few different sums, as with 0/1 scores, else from 10,000 random flips.
    Differences that are all the same d leave nothing to resample; then one end of the interval is d and the other is
    where it would be if the share of pairs with -d were as large as Wilson's bound allows. Where all of them are 0, a
    share as large may differ by 1 in either direction.

    Raises:
        UsageError: the two sides have not the same length, so nothing can be paired.
    """
    if len(before) != len(after):
        raise UsageError(f"{len(before)} values before and {len(after)} after cannot be paired; give one per problem")
    differences = _scored([b - a for a, b in zip(before, after, strict=True)])
    n, dropped = len(differences), len(before) - len(differences)
    if not n:
        return Difference(math.nan, math.nan, math.nan, 0, math.nan, dropped, level)
    if len(set(differences)) > 1:
        low, high = bootstrap_mean(differences, seed, level=level, resamples=resamples)
    else:
        low, high = _all_alike(differences[0], n, level)
    p = _sign_flip(differences, seed)
    return Difference(fmean(differences), low, high, n, p, dropped, level)


def _all_alike(d: float, n: int, level: float) -> tuple[float, float]:
    unseen = 1 - wilson(n, n, level=level)[0]
    if d == 0.0:
        return -unseen, unseen
    low, high = sorted((d * (1 - 2 * unseen), d))
    return low, high


def visible_difference(n: int, sd: float = 0.5, *, power: float = 0.8, level: float = 0.95) -> float:
    """The smallest true difference that n pairs show with this power, for differences of standard deviation `sd`."""
    if n < 2:
        return math.inf
    return (t_quantile((1 + level) / 2, n - 1) + t_quantile(power, n - 1)) * sd / math.sqrt(n)


def power_note(n: int, sd: float | None = None) -> str:
    """What n problems can show with 80% power, in words.

    `sd` is that of the paired differences. Without it 0.5 is assumed: one rollout per problem and every fourth problem
    changed from wrong to right or back.
    """
    if n < 2:
        return f"at n={n} you can see nothing; use more problems"
    points = 100 * visible_difference(n, 0.5 if sd is None else sd)
    seen = f"{points:.0f} points" if points >= 0.95 else f"{points:.1f} points"
    assumed = "" if sd is not None else " (one rollout per problem)"
    return f"at n={n} you can see {seen}{assumed}; smaller differences need more problems or rollouts"


def describe(difference: Difference) -> str:
    """A difference in words: its size, its interval, and whether it is inside its noise."""
    d = difference
    left_out = f", {d.dropped} left out" if d.dropped else ""
    if not d.n:
        return f"no problem was scored on both sides{left_out}: nothing can be said"
    said = f"{100 * d.diff:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}], n={d.n}{left_out}, p={d.p:.2g}"
    if d.p > 1 - d.level or d.low <= 0 <= d.high:
        return f"{said}: inside its noise"
    return f"{said}: {'better' if d.diff > 0 else 'worse'} than before"


@lru_cache(maxsize=1024)
def t_quantile(q: float, df: int) -> float:
    """Quantile of Student's t distribution, for 0 < q < 1, by bisection of `t_cdf`."""
    if q < 0.5:
        return -t_quantile(1 - q, df)
    low, high = 0.0, 2.0
    while t_cdf(high, df) < q:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, df) < q else (low, middle)
    return (low + high) / 2


def t_cdf(t: float, df: int) -> float:
    """Distribution function of Student's t with a whole number of degrees of freedom.

    The finite series in the angle atan(t / sqrt(df)) (Abramowitz and Stegun 26.7.3 and 26.7.4).
    """
    angle = math.atan2(t, math.sqrt(df))
    square = math.cos(angle) ** 2
    term = total = 1.0
    for i in range(2 + df % 2, df - 1, 2):
        term *= square * (i - 1) / i
        total += term
    if df % 2 == 0:
        between = math.sin(angle) * total
    else:
        series = math.sin(angle) * math.cos(angle) * total if df > 1 else 0.0
        between = 2 / math.pi * (angle + series)
    return (1 + between) / 2


def _sign_flip(differences: Sequence[float], seed: int) -> float:
    """Share of sign patterns whose sum is at least as far from 0 as the one seen."""
    sizes = [abs(d) for d in differences if d]
    seen = abs(math.fsum(differences)) - 1e-9
    chances = {0.0: 1.0}
    for size in sizes:
        grown: dict[float, float] = {}
        for total, chance in chances.items():
            for flipped in (round(total + size, 9), round(total - size, 9)):
                grown[flipped] = grown.get(flipped, 0.0) + chance / 2
        chances = grown
        if len(chances) > _MOST_SUMS:
            return _random_flips(sizes, seen, seed)
    return min(1.0, math.fsum(chance for total, chance in chances.items() if abs(total) >= seen))


def _random_flips(sizes: Sequence[float], seen: float, seed: int) -> float:
    """The same share from random patterns; the seen one counts as one of them, so it is never 0."""
    rng = random.Random(seed)
    total = math.fsum(sizes)
    n = len(sizes)
    extreme = 0
    for _ in range(_FLIPS):
        bits = rng.getrandbits(n)
        kept = math.fsum(size for i, size in enumerate(sizes) if bits >> i & 1)
        extreme += abs(2 * kept - total) >= seen
    return (extreme + 1) / (_FLIPS + 1)


def _quantile(ordered: Sequence[float], q: float) -> float:
    """Quantile of sorted values, linear between neighbours."""
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def _scored(values: Sequence[float]) -> list[float]:
    """The values that are there."""
    return [float(value) for value in values if not math.isnan(value)]


def _check_counts(n: int, c: int, k: int) -> None:
    """Counts that make sense: 0 <= c <= n and 1 <= k <= n."""
    if not (0 <= c <= n and 1 <= k <= n):
        raise UsageError(f"n={n}, c={c}, k={k}: needs 0 <= c <= n and 1 <= k <= n")
