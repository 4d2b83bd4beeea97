"""Does this version help those who met it by chance? An any-time test for sessions that were drawn into two arms.

Session t met the version with the logged chance p_t and has reward y_t in [0, 1]. With m_t, what sessions of its kind
got so far, the weighted surprise

    z_t = c_t (y_t - m_t) (1/p_t   if it met the version, else   -1/(1 - p_t)),     c_t = min(p_t, 1 - p_t)

lies in [-1, 1], and its mean given the past is c_t times the effect, whatever m_t was: the draw alone makes it so
(inverse propensity weighting; Horvitz and Thompson, JASA 47 (1952) 663-685; with a baseline, Robins, Rotnitzky and
Zhao, JASA 89 (1994) 846-866). So the three bets of `eprocess` are fair under their claims, and their capital may be
read after any session. Where sessions were matched by task, z is simply the difference of a pair.

**Users.** Each user's share of the log capital is known, so the `tolerated` users that speak most for an answer are
taken out before it is given. What is left is no more than the capital that all honest users built, as long as those who
lie are no more than `tolerated`: then the level holds whatever they say, and whatever they saw. A session without a
user counts as one of its own.

**Change.** `alarm` takes the capital since its best beginning (the e-CUSUM of Shin, Ramdas and Rinaldo, "E-detectors",
NEJSDS 2 (2024) 229-260): while a version does no harm, a false alarm comes once in `alarms` sessions on average, or
later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, isnan, log1p, nan, sqrt
from statistics import fmean

from tfgrpo.gates.eprocess import BETS, log_mean_exp
from tfgrpo.stats import t_quantile

PRIOR = 2.0
"""Sessions of reward one half that a baseline begins with."""
_LARGEST_LOG = 700.0
_MIDDLE = BETS[2]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A session of one of the two arms that are compared."""

    user: str
    """Empty where it is not known."""
    treated: bool
    """Whether it met the version in question."""
    share: float
    """The chance that it did, given that it met one of the two; in (0, 1)."""
    reward: float
    """In [0, 1]; nan where nothing was told."""
    kind: str = ""
    """Sessions of one kind share a baseline."""
    task: str = ""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What one session, or one pair, says."""

    z: float
    """In [-1, 1]; its mean is `scale` times the effect."""
    scale: float
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What sessions say about the effect of a version."""

    estimate: str
    """`randomized`; `off-policy` where the shares changed on the way and each session counts by its own; `paired`."""
    effect: float
    low: float
    high: float
    """95% interval for the effect as it stands, from the spread between users."""
    n: int
    """Sessions or pairs behind it."""
    users: int
    e_helps: float
    e_harms: float
    e_futile: float
    """E values against "no help", "no harm" and "an effect of delta", without the users that speak most for each."""


def weigh(sessions: Iterable[Drawn]) -> tuple[Weighed, ...]:
    """Return what each session with a reward says, in their order."""
    sums: dict[str, float] = defaultdict(lambda: PRIOR / 2)
    counts: dict[str, float] = defaultdict(lambda: PRIOR)
    found = []
    for place, s in enumerate(sessions):
        if isnan(s.reward):
            continue
        surprise = s.reward - sums[s.kind] / counts[s.kind]
        scale = min(s.share, 1.0 - s.share)
        z = scale * surprise / (s.share if s.treated else s.share - 1.0)
        found.append(Weighed(z, scale, (s.user or f"session {place}",)))
        sums[s.kind] += s.reward
        counts[s.kind] += 1.0
    return tuple(found)


def pair(sessions: Iterable[Drawn]) -> tuple[Weighed, ...]:
    """Match sessions of the same task, one of each arm, in the order in which they began; the rest is left out."""
    waiting: dict[tuple[str, bool], list[Drawn]] = defaultdict(list)
    found = []
    for place, s in enumerate(sessions):
        if isnan(s.reward):
            continue
        others = waiting[s.task, not s.treated]
        if not others:
            waiting[s.task, s.treated].append(s)
            continue
        other = others.pop(0)
        new, old = (s, other) if s.treated else (other, s)
        users = [u or f"session {place}" for u in (new.user, old.user)]
        found.append(Weighed(new.reward - old.reward, 1.0, tuple(dict.fromkeys(users))))
    return tuple(found)


def bounded(weighed: Iterable[Weighed], per_user: int) -> tuple[Weighed, ...]:
    """Leave out what a user says beyond the first `per_user` times."""
    said: dict[str, int] = defaultdict(int)
    found = []
    for w in weighed:
        if all(said[u] < per_user for u in w.users):
            found.append(w)
        for u in w.users:
            said[u] += 1
    return tuple(found)


def find(weighed: Sequence[Weighed], estimate: str, *, tolerated: int = 1, delta: float = 0.05) -> Finding:
    """Return what sessions or pairs say.

    Args:
        weighed: from `weigh` or `pair`, perhaps `bounded`.
        estimate: how they were compared, in a word.
        tolerated: how many users may lie.
        delta: the smallest effect worth a lesson.
    """
    effect, half = _effect(weighed)
    helps = [(w.z, w.users) for w in weighed]
    return Finding(
        estimate, effect, max(effect - half, -1.0), min(effect + half, 1.0), len(weighed),
        len({u for w in weighed for u in w.users}),
        capital(helps, tolerated),
        capital([(-z, users) for z, users in helps], tolerated),
        capital([((delta * w.scale - w.z) / (1.0 + delta), w.users) for w in weighed], tolerated),
    )  # fmt: skip


def capital(gains: Sequence[tuple[float, tuple[str, ...]]], tolerated: int) -> float:
    """Return the mean capital over the bets without the `tolerated` users who won most, for each bet anew.

    `gains` are factors less 1, at a bet of 1, each in [-1, 1], with the users behind them.
    """
    ends = []
    for bet in BETS:
        total, own = 0.0, defaultdict[str, float](float)
        for gain, users in gains:
            step = log1p(bet * gain)
            total += step
            for u in users:
                own[u] += step
        best = sorted(own.values(), reverse=True)[:tolerated]
        ends.append(total - sum(x for x in best if x > 0))
    return exp(min(log_mean_exp(ends), _LARGEST_LOG))


def alarm(weighed: Sequence[Weighed], alarms: float, *, tolerated: int = 1) -> int | None:
    """Return where harm began, as a place in `weighed`: the capital since its best beginning reached `alarms`.

    It has to do so without those users, too, who speak most for harm. None where it did not.
    """
    if not _reaches(weighed, alarms):
        return None
    own: dict[str, float] = defaultdict(float)
    for w in weighed:
        for u in w.users:
            own[u] += log1p(-_MIDDLE * w.z)
    liars = set(sorted(own, key=lambda u: -own[u])[:tolerated])
    if not _reaches([w for w in weighed if not liars.intersection(w.users)], alarms):
        return None
    gain, start = 0.0, 0
    for place, w in enumerate(weighed):
        if gain <= 0.0:
            gain, start = 0.0, place
        gain += log1p(-_MIDDLE * w.z)
    return start


def _reaches(weighed: Sequence[Weighed], alarms: float) -> bool:
    best = [1.0] * len(BETS)
    for w in weighed:
        best = [max(s, 1.0) * (1.0 - bet * w.z) for s, bet in zip(best, BETS, strict=True)]
        if fmean(best) >= alarms:
            return True
    return False


def is_constant(sessions: Iterable[Drawn]) -> bool:
    """Whether all sessions were drawn with the same chance."""
    return len({round(s.share, 9) for s in sessions}) <= 1


def _effect(weighed: Sequence[Weighed]) -> tuple[float, float]:
    """Return the mean effect and half of its 95% interval; users, not sessions, are the independent units."""
    n = len(weighed)
    if not n:
        return 0.0, 1.0
    effect = fmean(w.z / w.scale for w in weighed)
    sums: dict[str, float] = defaultdict(float)
    for w in weighed:
        sums[w.users[0]] += w.z / w.scale - effect
    k = len(sums)
    if k < 2:
        return effect, nan
    spread = sqrt(sum(x * x for x in sums.values()) * k / (k - 1)) / n
    return effect, t_quantile(0.975, k - 1) * spread
