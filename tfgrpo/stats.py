"""Numbers with their uncertainty: the unit is the problem, differences are paired, and noise is called noise.

Everything is seeded; numpy comes in where problems are many. nan stands for an unscored problem and is left out, never
read as 0.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist, fmean, stdev

from tfgrpo.errors import UsageError

_NORMAL = NormalDist()
_LARGEST_DENOMINATOR = 5040
"""Scores are read as fractions with denominators up to this: means over up to 5040 rollouts, or that many marks."""
_MOST_WORK = 4_000_000_000
"""Bits moved to make the table of all sums in whole numbers, up to which that is done; a twentieth of a second."""
_LONGEST = 4_000_000
"""Sum of all sizes up to which a transform has all sums at once."""
_SMALLEST = 1e-12
"""What a transform can tell from 0."""
_MANY = 1000
"""Problems above which numpy resamples."""
_AT_ONCE = 4_000_000
"""Drawn values that stand in memory at the same time: 32 MB."""
_FEW = 30
"""Differences up to which all sign patterns are counted one by one, whatever their sizes; a hundredth of a second."""
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
    Where all values are equal, resampling sees no noise at all: for 0 and 1 the Wilson interval is returned, for any
    other value (nan, nan), because nothing is known about its spread.
    """
    values = _scored(values_P)
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    if set(values) in ({0.0}, {1.0}):
        return wilson(round(sum(values)), n, level=level)
    if _alike(values):
        return math.nan, math.nan
    if n > _MANY:
        means = _many_means(values, seed, resamples)
    else:
        rng = random.Random(seed)
        means = sorted(math.fsum(rng.choices(values, k=n)) / n for _ in range(resamples))
    tail = _NORMAL.cdf(-math.sqrt(n / (n - 1)) * t_quantile((1 + level) / 2, n - 1))
    return _quantile(means, tail), _quantile(means, 1 - tail)


def _many_means(values: Sequence[float], seed: int, resamples: int) -> list[float]:
    """Means of resampled values, sorted, some rows at once."""
    import numpy as np  # noqa: PLC0415 - heavy, and needed for many problems only

    rng, drawn, n = np.random.default_rng(seed), np.asarray(values), len(values)
    rows = max(_AT_ONCE // n, 1)
    parts = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    means = [drawn[rng.integers(n, size=(part, n))].mean(axis=1) for part in parts]
    return [float(mean) for mean in np.sort(np.concatenate(means))]


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of a mean; (nan, nan) for fewer than two values, and for equal ones: no spread, no width."""
    values = _scored(values)
    if len(values) < 2 or _alike(values):
        return math.nan, math.nan
    half = t_quantile((1 + level) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def _alike(values: Sequence[float]) -> bool:
    """Whether the values are equal but for rounding."""
    return max(values) - min(values) <= 1e-12 * max(1.0, abs(max(values, key=abs)))


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
    randomisation). It is exact for up to 30 problems that differ, and for more where scores are fractions, such as
    means over any number of rollouts: counted in whole numbers over all sign patterns, or, for thousands of problems
    with several sizes of difference, by a Fourier transform that is right to 1e-12, which is then the least p. More
    scores of another kind, or with too many different denominators for either, take 10,000 random flips.
    Differences that are all the same leave nothing to resample; then the interval ends where the mean would be if a
    share of pairs as large as Wilson's bound allows differed by 1, or by as much where that is more, either way.

    Raises:
        UsageError: the two sides have not the same length, so nothing can be paired.
    """
    if len(before) != len(after):
        raise UsageError(f"{len(before)} values before and {len(after)} after cannot be paired; give one per problem")
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if not math.isnan(b - a)]
    differences = [float(b - a) for a, b in pairs]
    n, dropped = len(differences), len(before) - len(differences)
    if not n:
        return Difference(math.nan, math.nan, math.nan, 0, math.nan, dropped, level)
    if not _alike(differences):
        low, high = bootstrap_mean(differences, seed, level=level, resamples=resamples)
    else:
        low, high = _all_alike(differences[0], n, level)
    p = _sign_flip(pairs, seed)
    return Difference(fmean(differences), low, high, n, p, dropped, level)


def _all_alike(d: float, n: int, level: float) -> tuple[float, float]:
    unseen = 1 - wilson(n, n, level=level)[0]
    middle, beyond = d * (1 - unseen), unseen * max(1.0, abs(d))
    return middle - beyond, middle + beyond


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
    if visible_difference(n, 0.5 if sd is None else sd) > 1:
        return f"at n={n} not even the largest difference there can be would show; use more problems"
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


def _sign_flip(pairs: Sequence[tuple[float, float]], seed: int) -> float:
    """Share of sign patterns whose sum is at least as far from 0 as the one seen."""
    parts = [(_fraction(a), _fraction(b)) for a, b in pairs]
    exact = [b - a for a, b in parts if a is not None and b is not None]
    if len(exact) == len(pairs):
        unit = math.lcm(*(d.denominator for d in exact))
        whole = [int(d * unit) for d in exact]
        sizes = [abs(w) for w in whole if w]
        return _counted_flips(sizes, abs(sum(whole)), seed) if sizes else 1.0
    differences = [b - a for a, b in pairs]
    sizes_seen = [abs(d) for d in differences if d]
    seen = abs(math.fsum(differences)) - 1e-9 * math.fsum(sizes_seen)
    return _few_flips(sizes_seen, seen) if len(sizes_seen) <= _FEW else _random_flips(sizes_seen, seen, seed)


def _counted_flips(sizes: Sequence[int], seen: int, seed: int) -> float:
    """The share for whole numbers, by what their number and their sum allow."""
    shared = math.gcd(*sizes)
    total, least = sum(sizes) // shared, seen // shared
    if total == len(sizes):
        return _equal_flips(total, least)
    if total * (len(sizes) + 1) * len(sizes) <= _MOST_WORK:
        return _all_flips([size // shared for size in sizes], least)
    if len(sizes) <= _FEW:
        return _few_flips(sizes, seen)
    if total <= _LONGEST:
        return _transformed_flips([size // shared for size in sizes], least)
    return _random_flips([float(size) for size in sizes], seen - 1e-9 * sum(sizes), seed)


def _fraction(value: float) -> Fraction | None:
    """Return the fraction that a score was before it was rounded; None where no small one is that near."""
    found = Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)
    return found if abs(float(found) - value) <= 4e-15 * max(1.0, abs(value)) else None


def _equal_flips(n: int, seen: int) -> float:
    """Count the patterns of n differences of one size by their binomial coefficients, from the far end."""
    if seen == 0:
        return 1.0
    ways = upper = 1
    for positive in range(n - 1, (n + seen + 1) // 2 - 1, -1):
        ways = ways * (positive + 1) // (n - positive)
        upper += ways
    return float(Fraction(2 * upper, 1 << n))


def _all_flips(sizes: Sequence[int], seen: int) -> float:
    """Count all sign patterns by their sum: one whole number holds the table, `width` bits for each sum.

    A pattern that keeps the sizes of a set K positive has the sum 2 sum(K) - total, so the table is over sum(K). It is
    symmetric, so both tails are twice the upper one.
    """
    total, width = sum(sizes), len(sizes) + 1
    table = 1
    for size in sizes:
        table += table << (size * width)
    if seen == 0:
        return 1.0
    first = (total + seen + 1) // 2
    upper = table >> (first * width)
    # A number modulo base - 1 is the sum of its digits, as long as that is below base - 1.
    count = upper % ((1 << width) - 1)
    return float(Fraction(2 * count, 1 << len(sizes)))


def _few_flips(sizes: Sequence[float], seen: float) -> float:
    """Count all sign patterns of a few sizes: each sum of one half with as many of the other half as reach far enough.

    Both tails are alike, so they are twice the upper one; 1 where every pattern reaches `seen`.
    """
    if seen <= 0:
        return 1.0
    halves: list[list[float]] = [[0], [0]]
    for place, size in enumerate(sizes):
        own = halves[place % 2]
        halves[place % 2] = [s + sign * size for s in own for sign in (1, -1)]
    one, other = halves[0], sorted(halves[1])
    upper = sum(len(other) - bisect_left(other, seen - s) for s in one)
    return min(1.0, upper / float(1 << (len(sizes) - 1)))


def _transformed_flips(sizes: Sequence[int], seen: int) -> float:
    """Chances of all sums at once: a fair sign before s has the characteristic function cos(s t), a sum the product.

    The table is over the sum of the sizes that are kept positive, as in `_all_flips`.
    """
    import numpy as np  # noqa: PLC0415 - heavy, and needed for many problems only

    if seen == 0:
        return 1.0
    total = sum(sizes)
    length = 1 << total.bit_length()
    angles = np.pi * np.arange(length // 2 + 1) / length
    waves = np.exp(-1j * total * angles)
    for size, count in Counter(sizes).items():
        waves *= np.cos(size * angles) ** count
    chances = np.fft.irfft(waves, length)
    return min(1.0, max(2 * float(chances[(total + seen + 1) // 2 : total + 1].sum()), _SMALLEST))


def _random_flips(sizes: Sequence[float], seen: float, seed: int) -> float:
    """The same share from random patterns; the seen one counts as one of them, so it is never 0."""
    import numpy as np  # noqa: PLC0415 - heavy, and needed for many problems only

    rng, all_sizes, n = np.random.default_rng(seed), np.asarray(sizes, dtype=float), len(sizes)
    rows, extreme = max(_AT_ONCE // n, 1), 0
    for start in range(0, _FLIPS, rows):
        kept = (rng.random((min(rows, _FLIPS - start), n)) < 0.5) @ all_sizes
        extreme += int((abs(2 * kept - all_sizes.sum()) >= seen).sum())
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
