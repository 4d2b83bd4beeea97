"""One number per edit from the log-probs of stored rollouts under both libraries, with what helps to doubt it.

The score is the mean gain over problems minus a penalty for distance. DisCO's is a hinge, those of the ratio scores
are linear, with a weight that may adapt to the edits that were accepted (PPO, arXiv 1707.06347, section 4).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tfgrpo.advantages.moments import mean
from tfgrpo.config.method import EditScoreConfig
from tfgrpo.edit_scores import (
    adaptive_beta,
    effective_sample_size,
    gspo,
    gvpo_pooled,
    kl,
    kl_hinge,
    proportional_beta,
    sum_log_ratios,
    surrogate,
)
from tfgrpo.errors import UsageError
from tfgrpo.gates.score_kinds import KINDS, exact_texts, trust_region
from tfgrpo.gates.scored_rollouts import WIDTH, Floor, Sides, coverage_of, zero_if_nan

RATIOS = ("surrogate", "gspo", "hicra")
"""Kinds that a linear KL penalty may join."""
FREE = 0.05
"""Distance in nats per token that DisCO's hinge leaves free at least: what the wording of a prompt makes anyhow."""
RULES = ("fixed", "adaptive", "proportional")


@dataclass(frozen=True, slots=True)
class Distance:
    """What is charged for moving away from the current library."""

    beta: float = 0.0
    """Weight of the distance."""
    delta: float | None = None
    """disco: distance that costs nothing, nats per token; None is three floors, and 0.05 at least."""
    hinge_factor: float = 1.0
    """disco: 1 as in the paper, 0.5 for the force of its code."""
    rule: str = "fixed"
    """How the weight follows the accepted edits: `fixed`, `adaptive` (PPO) or `proportional` (arXiv 1909.08593)."""
    target: float | None = None
    """Distance that an accepted edit should have, nats per token; None is three floors of KL, and 0.05 at least."""
    horizon: float = 10_000
    """proportional: rollouts over which the weight may turn."""


SHARED = {
    "disco": {"beta": "beta", "delta": "delta", "hinge_factor": "hinge_factor"},
    **{k: {"kl_beta": "beta", "kl_rule": "rule", "kl_target": "target", "kl_horizon": "horizon"} for k in RATIOS},
}
"""Options of a kind that say what distance costs, by their name in the configuration."""


def distance_of(wanted: EditScoreConfig) -> Distance:
    """Return what a configuration charges for distance.

    Raises:
        UsageError: a rule that does not exist.
    """
    named = SHARED.get(wanted.kind, {})
    given = {ours: wanted.options[theirs] for theirs, ours in named.items() if theirs in wanted.options}
    found = Distance(**({"beta": 1.0} if wanted.kind == "disco" else {}) | given)
    if found.rule not in RULES:
        raise UsageError(f"edit_score.options.kl_rule is {found.rule!r}; there are: {', '.join(RULES)}")
    return found


def cap_of(wanted: EditScoreConfig) -> float:
    """Largest share of tokens (rollouts for GSPO) outside the trust region with which an edit is kept, in [0, 1]."""
    return float(wanted.options.get("max_clipped", 1.0))


def check(wanted: EditScoreConfig) -> EditScoreConfig:
    """Refuse a kind, or options, that do not exist, before anything is asked.

    Raises:
        UsageError: it names what the kind takes.
    """
    if wanted.kind not in KINDS:
        raise UsageError(f"no edit score {wanted.kind!r}; there are: {', '.join(KINDS)}")
    distance_of(wanted)
    gains((), wanted, Floor())
    return wanted


def _own(kind: str) -> list[str]:
    return [name for name, p in inspect.signature(KINDS[kind]).parameters.items() if p.kind is p.KEYWORD_ONLY]


def _capped(kind: str) -> tuple[str, ...]:
    return ("max_clipped",) if kind in ("surrogate", "gspo") else ()


def gains(sides_P: Sequence[Sides], wanted: EditScoreConfig, floor: Floor) -> tuple[float, ...]:
    """Return the gain of an edit on each problem; nan where the kind says nothing about it.

    Raises:
        UsageError: an option of a wrong kind.
    """
    names = _own(wanted.kind)
    takes = sorted({*names, *SHARED.get(wanted.kind, {}), *_capped(wanted.kind)})
    if unknown := sorted(set(wanted.options) - set(takes)):
        said = f"does not take these options: {', '.join(unknown)}; it takes: {', '.join(takes)}"
        raise UsageError(f"edit score {wanted.kind!r} {said}")
    own = {name: value for name, value in wanted.options.items() if name in names}
    try:
        return tuple(KINDS[wanted.kind](sides_P, floor, **own))
    except TypeError as error:
        raise UsageError(f"edit score {wanted.kind!r} cannot use these options: {error}") from error


def unclipped(wanted: EditScoreConfig) -> EditScoreConfig:
    """Return a score as edits share it that are compared with each other: ratio scores without a clip unless asked for.

    At its published width, and at any noise floor, a clip hides how much better one edit is than another.
    """
    if wanted.kind not in ("surrogate", "gspo"):
        return wanted
    return replace(wanted, options={"clip": "unclipped", **wanted.options})


def penalty(sides_P: Sequence[Sides], wanted: EditScoreConfig, floor: Floor, beta: float | None = None) -> float:
    """What distance costs: DisCO's hinge, or beta times KL(old || new) for the ratio scores; 0 for the others.

    Args:
        sides_P: the problems.
        wanted: the kind and its options.
        floor: from null edits.
        beta: the weight as it stands, where it adapts; None is the configuration's.
    """
    if wanted.kind not in SHARED:
        return 0.0
    moved, charged = moved_by(sides_P), distance_of(wanted)
    weight = charged.beta if beta is None else beta
    if wanted.kind == "disco":
        free = max(WIDTH * floor.kl, FREE) if charged.delta is None else charged.delta
        return kl_hinge(moved, beta=weight, delta=free, factor=charged.hinge_factor)
    return weight * zero_if_nan(moved)


def next_beta(beta: float, moved: float, target: float, wanted: EditScoreConfig, rollouts: int) -> float:
    """Return the weight after an accepted edit that moved the policy by so many nats per token."""
    charged = distance_of(wanted)
    if charged.rule == "adaptive":
        return adaptive_beta(beta, moved, target)
    if charged.rule == "proportional":
        return proportional_beta(beta, moved, target=target, n_steps=rollouts, horizon=charged.horizon)
    return beta


def target_of(wanted: EditScoreConfig, floor: Floor) -> float:
    """Return the distance that an accepted edit should have, calibrated on null edits unless it is configured."""
    given = distance_of(wanted).target
    return max(WIDTH * floor.kl, FREE) if given is None else given


def moved_by(sides_P: Sequence[Sides]) -> float:
    """The k3 estimate of KL(old || new) over all tokens, in nats per token; nan without any."""
    return kl([row for s in sides_P for row in s.old_G], [row for s in sides_P for row in s.new_G])


def clipped_share(sides_P: Sequence[Sides], wanted: EditScoreConfig, floor: Floor) -> float:
    """Mean share of tokens on which the clip bit, or of rollouts outside GSPO's region; nan for kinds without one."""
    taught = [s for s in sides_P if any(s.group.advantages_G)]
    if wanted.kind == "gspo":
        width = trust_region(wanted.options.get("clip", "gspo"), floor.shift)
        return mean(gspo(s.new_G, s.old_G, s.advantages_G, width).fraction_outside for s in taught)
    if wanted.kind != "surrogate":
        return math.nan
    width = trust_region(wanted.options.get("clip", "ppo"), floor.token)
    return mean(surrogate(s.new_G, s.old_G, s.advantages_G, width).clip_fraction for s in taught)


def assessment_detail(sides_P: Sequence[Sides]) -> dict[str, Any]:
    """Return what helps to doubt a score.

    Coverage, size and distance; whether importance weights could carry an estimate of value (Kish); GVPO's scale-free
    correlation and best beta; and how the tokens of planning words were found, by number of rollouts.
    """
    ratios = [sum_log_ratios(s.new_G, s.old_G) for s in sides_P]
    pooled = gvpo_pooled(ratios, [s.group.rewards_G for s in sides_P])
    weights = [effective_sample_size(row) for row in ratios]
    found = {
        "coverage": coverage_of(sides_P),
        "size": mean(abs(d) for s in sides_P for d in s.shifts_G),
        "kl": moved_by(sides_P),
        "ess_fraction": mean(w.ess_fraction for w in weights if w.valid),
        "corr": pooled.corr,
        "beta_star": pooled.beta_star,
    }
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def components(sides_P: Sequence[Sides], floor: Floor) -> dict[str, float | None]:
    """Return the scores of the other kinds at their defaults, so that no edit rests on a single opaque number."""
    told: Mapping[str, float] = {
        kind: mean(gains(sides_P, EditScoreConfig(kind), floor)) for kind in ("gvpo", "disco", "gspo", "surrogate")
    }
    return {name: None if math.isnan(value) else value for name, value in told.items()}


def planning_found(sides_P: Sequence[Sides]) -> dict[str, int]:
    """Count the rollouts whose planning tokens are exact, and those whose words were spread evenly over the tokens."""
    exact = [exact_texts(s, i) is not None for s in sides_P for i in range(len(s.group.rollouts_G))]
    return {"exact": sum(exact), "spread": len(exact) - sum(exact)}
