"""The kinds of edit score: the gain of an edit on one problem, 0 for the edit that changes nothing.

Each takes the options that a configuration may name. Trust regions are at least as wide as published and at least
three noise floors, because an edit moves far more than an optimizer step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from tfgrpo.advantages.moments import mean, std
from tfgrpo.edit_scores import (
    CLIPS,
    Clip,
    aggregate,
    clip_from_floor,
    disco_gain,
    disco_scores,
    gspo,
    gvpo,
    gvpo_len_norm,
    gvpo_pooled,
    hicra_gain,
    mine,
    planning_advantages,
    planning_tokens,
    planning_tokens_spread,
    spells,
    sum_log_ratios,
    surrogate,
)
from tfgrpo.edit_scores.surrogate import Aggregation
from tfgrpo.edit_scores.tokens import log_ratios
from tfgrpo.errors import UsageError
from tfgrpo.gates.scored_rollouts import RIGHT, WIDTH, Floor, Sides
from tfgrpo.types import Group

Width = str | Mapping[str, float]
"""The name of a published trust region, or one of one's own: `low`, `high` and perhaps `dual`."""


def surrogate_gains(
    sides_P: Sequence[Sides],
    floor: Floor,
    *,
    aggregation: str = "seq-mean-token-mean",
    clip: Width = "ppo",
    scale: float = 0.0,
) -> list[float]:
    """Clipped surrogate: PPO and GRPO by sequence mean, DAPO and GFPO by token mean, Dr.GRPO by a constant length."""
    width, kind = trust_region(clip, floor.token), cast("Aggregation", aggregation)
    aggregate([[0.0]], kind, scale=scale or None)
    return [
        surrogate(s.new_G, s.old_G, s.advantages_G, width, aggregation=kind, scale=scale or None).gain
        if any(s.group.advantages_G)
        else math.nan
        for s in sides_P
    ]


def gspo_gains(
    sides_P: Sequence[Sides], floor: Floor, *, clip: Width = "gspo", token: bool = False, alpha: float = 0.2
) -> list[float]:
    """GSPO; with `token` GSPO-token, whose advantages differ along a rollout: those of HICRA, with emphasis alpha."""
    width, found = trust_region(clip, floor.shift), []
    for s in sides_P:
        given: Sequence[Any] = s.advantages_G
        if token:
            given = planning_advantages([a if a == a else 0.0 for a in given], planning_masks(s), alpha=alpha)  # noqa: PLR0124 - nan
        found.append(gspo(s.new_G, s.old_G, given, width).gain if any(s.group.advantages_G) else math.nan)
    return found


def gvpo_gains(
    sides_P: Sequence[Sides], floor: Floor, *, beta: float | str = 0.1, per_token: bool = False
) -> list[float]:
    """GVPO; `per_token` is its length-normalized variant, and beta "fit" takes beta* of the other problems.

    A number is one beta for all edits. Fitted to each, it takes its movement's own size for a reason to forgive it.
    """
    if isinstance(beta, str) and beta != "fit":
        raise UsageError(f"beta is a number or 'fit', not {beta!r}")
    rewards_P = [s.group.rewards_G for s in sides_P]
    sums_P = [sum_log_ratios(s.new_G, s.old_G) for s in sides_P]
    lengths_P = [[len(row) if per_token else 1 for row in log_ratios(s.new_G, s.old_G)] for s in sides_P]
    moved_P = [_over(sums, lengths) for sums, lengths in zip(sums_P, lengths_P, strict=True)]
    found = []
    for p, (sums, lengths, rewards) in enumerate(zip(sums_P, lengths_P, rewards_P, strict=True)):
        others = [i for i in range(len(sides_P)) if i != p]
        own = fit_beta([moved_P[i] for i in others], [rewards_P[i] for i in others]) if beta == "fit" else float(beta)
        scored = gvpo_len_norm(sums, lengths, rewards, beta=own) if per_token else gvpo(sums, rewards, beta=own)
        found.append(scored.gain)
    return found


def fit_beta(moved_P: Sequence[Sequence[float]], rewards_P: Sequence[Sequence[float]]) -> float:
    """|beta*| over some problems: never fitted on the problem it is used for; nan where nothing moved.

    A negative beta* says that movement runs against the reward; its size then lets the gain fall below 0.
    """
    best = abs(gvpo_pooled(moved_P, rewards_P).beta_star)
    return best if best > 0 else math.nan


def _over(sums_G: Sequence[float], lengths_G: Sequence[int]) -> list[float]:
    return [d / n if n else math.nan for d, n in zip(sums_G, lengths_G, strict=True)]


def disco_gains(
    sides_P: Sequence[Sides],
    floor: Floor,
    *,
    score: str = "log_likelihood",
    tau: float | str | None = None,
    threshold: float = RIGHT,
    cap: float | None = None,
) -> list[float]:
    """DisCO's separation of right from wrong; DisCO-b without tau. Rewards above `threshold` are right.

    `cap` bounds the log-ratio of a token where the score is the `likelihood_ratio`, whose tail is heavy.
    """
    if isinstance(tau, str) and tau != "spread":
        raise UsageError(f"tau is a number or 'spread', not {tau!r}")
    disco_scores((), (), score)  # type: ignore[arg-type]
    found = []
    for s in sides_P:
        right_G = s.right_above(threshold)
        width = wrong_spread(s, right_G) if tau == "spread" else tau
        gained = disco_gain(s.new_G, s.old_G, right_G, score=score, tau=width, cap=cap)  # type: ignore[arg-type]
        found.append(gained.gain if gained.valid else math.nan)
    return found


def wrong_spread(sides: Sides, right_G: Sequence[float] | None = None) -> float | None:
    """Deviation of the wrong rollouts' mean log-probs under the current library; None where there is none.

    The published tau of 10 is sized for other scores: where these differ by a tenth of a nat it is the plain mean.
    """
    scored = zip(sides.old_G, sides.right_G if right_G is None else right_G, strict=True)
    spread = std(mean(row) for row, right in scored if row and right == 0.0)
    return spread if spread > 0 else None


def hicra_gains(sides_P: Sequence[Sides], floor: Floor, *, alpha: float = 0.2, recentre: bool = True) -> list[float]:
    """HICRA's hierarchy-aware surrogate minus its identity value."""
    return [
        hicra_gain(s.new_G, s.old_G, s.group.advantages_G, planning_masks(s), alpha=alpha, recentre=recentre).gain
        if any(s.group.advantages_G)
        else math.nan
        for s in sides_P
    ]


def planning_masks(sides: Sides) -> list[tuple[int, ...]]:
    """Planning tokens of each rollout: exact where it is known what the tokens spell, else words spread evenly."""
    grams = sides.group.grams or own_grams(sides.group)
    rows = log_ratios(sides.new_G, sides.old_G)
    found = []
    for i, (rollout, row) in enumerate(zip(sides.group.rollouts_G, rows, strict=True)):
        texts = exact_texts(sides, i)
        fits = texts is not None and len(texts) == len(row)
        found.append(
            planning_tokens(texts or (), grams) if fits else planning_tokens_spread(rollout.answer, len(row), grams)
        )
    return found


def exact_texts(sides: Sides, i: int) -> tuple[str, ...] | None:
    """What the tokens of a rollout spell, where that agrees with its answer."""
    texts = sides.texts_G[i] if sides.texts_G else None
    return texts if texts and spells(texts, sides.group.rollouts_G[i].answer) else None


def own_grams(group: Group) -> tuple[str, ...]:
    """Strategic grams of the right rollouts of one group, where the run mined none."""
    right = [r.answer for r, s in zip(group.rollouts_G, group.scores_G, strict=True) if (s.value or 0.0) > RIGHT]
    return mine(right).grams


def trust_region(clip: Width, floor: float) -> Clip:
    """A trust region as wide as published, or asked for, and at least `WIDTH` floors."""
    if isinstance(clip, str):
        if clip not in CLIPS:
            raise UsageError(f"no clip {clip!r}; there are: {', '.join(CLIPS)}, or a table with low and high")
        named = CLIPS[clip]
    else:
        if not {"low", "high"} <= set(clip) <= {"low", "high", "dual"}:
            raise UsageError(f"a clip is a name or a table with low, high and perhaps dual, not {dict(clip)!r}")
        named = Clip(**clip)
    least = clip_from_floor(floor, multiple=WIDTH)
    return Clip(max(named.low, least.low), max(named.high, least.high), named.dual)


KINDS: Mapping[str, Callable[..., list[float]]] = {
    "surrogate": surrogate_gains,
    "gspo": gspo_gains,
    "gvpo": gvpo_gains,
    "disco": disco_gains,
    "hicra": hicra_gains,
}
