"""One number per edit from the log-probs of stored rollouts under both libraries, and the floor it must exceed.

Each kind gives a gain per problem, 0 for the edit that changes nothing; the score is their mean. Trust regions are at
least as wide as published and at least three noise floors, because an edit moves far more than an optimizer step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tfgrpo.advantages.moments import mean, std
from tfgrpo.edit_scores import (
    CLIPS,
    Clip,
    disco_gain,
    gspo,
    gvpo,
    gvpo_len_norm,
    gvpo_pooled,
    hicra_gain,
    kl,
    kl_hinge,
    mean_log_ratios,
    mine,
    noise_floor,
    planning_mask,
    sum_log_ratios,
    surrogate,
)
from tfgrpo.edit_scores.strategic_grams import words
from tfgrpo.edit_scores.surrogate import Aggregation
from tfgrpo.edit_scores.tokens import LogProbs, log_ratios
from tfgrpo.errors import UsageError
from tfgrpo.method_config import EditScoreConfig
from tfgrpo.types import Group

RIGHT = 0.5
"""A rollout counts as right above this reward, for the scores that know right and wrong only."""
WIDTH = 3.0
"""A trust region spans so many noise floors."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The stored rollouts of one problem, scored under both libraries by the same route."""

    group: Group
    old_G: LogProbs
    new_G: LogProbs

    @property
    def shifts_G(self) -> tuple[float, ...]:
        """Mean log-ratio of each rollout, in nats per token; nan where it could not be scored."""
        return mean_log_ratios(self.new_G, self.old_G)

    @property
    def right_G(self) -> tuple[float, ...]:
        """1 for right, 0 for wrong, nan for unscored rollouts, before any shaping."""
        return tuple(math.nan if s.value is None else float(s.value > RIGHT) for s in self.group.scores_G)

    @property
    def advantages_G(self) -> tuple[float, ...]:
        """Advantages, nan where the rollout has no reward."""
        pairs = zip(self.group.advantages_G, self.group.rewards_G, strict=True)
        return tuple(math.nan if math.isnan(r) else a for a, r in pairs)


@dataclass(frozen=True, slots=True)
class Floor:
    """How far edits that change nothing move known rollouts."""

    shift: float = 0.0
    """Quantile of |mean log-ratio| of rollouts, nats per token."""
    token: float = 0.0
    """Quantile of |log-ratio| of single tokens, nats."""
    kl: float = 0.0
    """Largest k3 estimate of KL(old || new), nats per token."""
    worst: float = 0.0
    """Largest fall of the right rollouts of one problem, nats per token."""


def floor_of(nulls: Sequence[Sequence[Sides]], q: float = 0.95) -> Floor:
    """Return the floor that null edits span; all 0 without any."""
    sides = [s for null in nulls for s in null]
    shifts = [d for s in sides for d in s.shifts_G if not math.isnan(d)]
    tokens = [abs(d) for s in sides for row in log_ratios(s.new_G, s.old_G) for d in row]
    distances = [kl(s.old_G, s.new_G) for s in sides]
    falls = [-fall for s in sides if not math.isnan(fall := right_shift(s))]
    return Floor(
        _known(noise_floor(shifts, q=q)),
        _known(noise_floor(tokens, q=q)),
        max((d for d in distances if not math.isnan(d)), default=0.0),
        max((*falls, 0.0)),
    )


def right_shift(sides: Sides) -> float:
    """Mean log-ratio per token over the right rollouts of a problem; nan where it has none."""
    return mean(d for d, right in zip(sides.shifts_G, sides.right_G, strict=True) if right == 1.0)


def gains(sides_P: Sequence[Sides], wanted: EditScoreConfig, floor: Floor) -> tuple[float, ...]:
    """Return the gain of an edit on each problem; nan where the kind says nothing about it.

    Raises:
        UsageError: an option that the kind does not take.
    """
    own = _KINDS[wanted.kind]
    try:
        return tuple(own(sides, floor, **wanted.options) for sides in sides_P)
    except TypeError as error:
        raise UsageError(f"edit score {wanted.kind!r} does not take these options: {error}") from error


def penalty(sides_P: Sequence[Sides], wanted: EditScoreConfig, floor: Floor) -> float:
    """DisCO's KL hinge over all problems, with the free distance calibrated; 0 for the other kinds."""
    if wanted.kind != "disco":
        return 0.0
    old = [row for s in sides_P for row in s.old_G]
    new = [row for s in sides_P for row in s.new_G]
    # Inside the distance that the wording of a prompt makes anyhow, nothing is punished.
    return kl_hinge(kl(old, new), beta=float(wanted.options.get("beta", 1.0)), delta=max(WIDTH * floor.kl, 0.05))


def details(sides_P: Sequence[Sides]) -> dict[str, Any]:
    """Return what helps to doubt a score: coverage, size, distance, and GVPO's scale-free correlation."""
    old = [row for s in sides_P for row in s.old_G]
    new = [row for s in sides_P for row in s.new_G]
    ratios = [sum_log_ratios(s.new_G, s.old_G) for s in sides_P]
    pooled = gvpo_pooled(ratios, [s.group.rewards_G for s in sides_P])
    found = {
        "coverage": coverage_of(sides_P),
        "size": mean(abs(d) for s in sides_P for d in s.shifts_G),
        "kl": kl(old, new),
        "corr": pooled.corr,
        "beta_star": pooled.beta_star,
    }
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def coverage_of(sides_P: Sequence[Sides]) -> float:
    """Share of the graded rollouts that were scored on both sides, in [0, 1]; nan without any."""
    known = [not math.isnan(d) for s in sides_P for d, a in zip(s.shifts_G, s.advantages_G, strict=True) if a == a]  # noqa: PLR0124 - nan
    return sum(known) / len(known) if known else math.nan


def _surrogate(
    sides: Sides, floor: Floor, *, aggregation: str = "seq-mean-token-mean", clip: str = "ppo", scale: float = 0.0
) -> float:
    if not any(sides.group.advantages_G):
        return math.nan
    width, kind = _wide(clip, floor.token), cast("Aggregation", aggregation)
    found = surrogate(sides.new_G, sides.old_G, sides.advantages_G, width, aggregation=kind, scale=scale or None)
    return found.gain


def _gspo(sides: Sides, floor: Floor, *, clip: str = "gspo") -> float:
    if not any(sides.group.advantages_G):
        return math.nan
    return gspo(sides.new_G, sides.old_G, sides.advantages_G, _wide(clip, floor.shift)).gain


def _gvpo(sides: Sides, floor: Floor, *, beta: float = 0.1, per_token: bool = False) -> float:
    ratios = sum_log_ratios(sides.new_G, sides.old_G)
    if not per_token:
        return gvpo(ratios, sides.group.rewards_G, beta=beta).gain
    lengths = [len(row) for row in log_ratios(sides.new_G, sides.old_G)]
    return gvpo_len_norm(ratios, lengths, sides.group.rewards_G, beta=beta).gain


def _disco(
    sides: Sides, floor: Floor, *, score: str = "log_likelihood", tau: float | str | None = None, beta: float = 1.0
) -> float:
    width = wrong_spread(sides) if tau == "spread" else tau
    if isinstance(width, str):
        raise UsageError(f"tau is a number or 'spread', not {width!r}")
    found = disco_gain(sides.new_G, sides.old_G, sides.right_G, score=score, tau=width)  # type: ignore[arg-type]
    return found.gain if found.valid else math.nan


def wrong_spread(sides: Sides) -> float | None:
    """Deviation of the wrong rollouts' mean log-probs under the current library; None where there is none.

    The published tau of 10 is sized for other scores: where these differ by a tenth of a nat it is the plain mean.
    """
    scored = zip(sides.old_G, sides.right_G, strict=True)
    spread = std(mean(row) for row, right in scored if row and right == 0.0)
    return spread if spread > 0 else None


def _hicra(sides: Sides, floor: Floor, *, alpha: float = 0.2, recentre: bool = True) -> float:
    if not any(sides.group.advantages_G):
        return math.nan
    rows = log_ratios(sides.new_G, sides.old_G)
    grams = sides.group.grams or own_grams(sides.group)
    masks = [token_mask(r.answer, len(row), grams) for r, row in zip(sides.group.rollouts_G, rows, strict=True)]
    found = hicra_gain(sides.new_G, sides.old_G, sides.group.advantages_G, masks, alpha=alpha, recentre=recentre)
    return found.gain


def own_grams(group: Group) -> tuple[str, ...]:
    """Strategic grams of the right rollouts of one group, where the run mined none."""
    right = [r.answer for r, s in zip(group.rollouts_G, group.scores_G, strict=True) if (s.value or 0.0) > RIGHT]
    return mine(right).grams


def token_mask(text: str, tokens: int, grams: Sequence[str]) -> tuple[int, ...]:
    """Mark the tokens of planning words; ids come without positions, so words are spread evenly over them."""
    marks = planning_mask(words(text), grams)
    return tuple(marks[t * len(marks) // tokens] if marks else 0 for t in range(tokens))


def _wide(name: str, floor: float) -> Clip:
    if name not in CLIPS:
        raise UsageError(f"no clip {name!r}; there are: {', '.join(CLIPS)}")
    published = CLIPS[name]
    return Clip(max(published.low, WIDTH * floor), max(published.high, WIDTH * floor), published.dual)


def _known(value: float) -> float:
    return 0.0 if math.isnan(value) else value


_KINDS: Mapping[str, Callable[..., float]] = {
    "surrogate": _surrogate,
    "gspo": _gspo,
    "gvpo": _gvpo,
    "disco": _disco,
    "hicra": _hicra,
}
