"""The choices that make one method of the GRPO family differ from another, as configuration tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AdvantageConfig:
    """How rewards become advantages. `advantage = "gdpo"` is short for `advantage.kind`."""

    kind: str = "grpo"
    """`grpo`, `dr_grpo`, `rloo`, `gdpo` (each grader on its own), `critic` (PPO's baseline; one rollout suffices),
    or, from rewards of single steps, `process` (GRPO's process supervision) and `gae` (PPO's estimator)."""
    ddof: int = 1
    """1 divides by the sample deviation, 0 by the population's."""
    eps: float = 1e-6
    """Added to the deviation."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """gdpo: weight of each grader by name; 1 where absent."""
    condition_on: str = ""
    """gdpo: the other graders pay only where this one reaches `threshold` (GDPO, Eq. 8)."""
    threshold: float = 1.0
    batch_scale: bool = False
    """gdpo: rescale over the batch, so that groups can be compared (GDPO, Eq. 6). gae: whiten, as PPO code does."""
    prior_mean: float = 0.5
    """critic, gae: believed reward of a problem never tried."""
    prior_strength: float = 2.0
    """critic, gae: how many rollouts that belief is worth."""
    prior: str = "fixed"
    """critic: `fixed` believes `prior_mean` of a problem never tried; `running` what all other problems earned so far,
    those of the same batch included, so that what is usual surprises nobody from the first visit on."""
    surprise: float = 0.25
    """critic, gae: a group teaches when some |advantage| reaches this."""
    earlier: int = 3
    """critic, gae: so many earlier rollouts of the problem, which V rests on, are shown beside the new one."""
    gamma: float = 1.0
    """gae: discount of later steps, 1 as in RLHF (MuJoCo took 0.99)."""
    lam: float = 0.95
    """gae: 0 credits a step by what the next state is worth, 1 by all that followed."""
    outcome: float = 1.0
    """gae: weight of the rollout's own reward, which joins its last step; 0 leaves the step rewards alone."""


@dataclass(frozen=True, slots=True)
class SelectionConfig:
    """Which groups and rollouts teach. `selection = "dynamic"` is short for `selection.kind`."""

    kind: str = "informative"
    """`informative`, `dynamic` (DAPO), `gfpo`, `gfpo-efficiency` or `gfpo-adaptive`."""
    k: int | None = None
    """gfpo: rollouts that teach; None is half of the group."""
    k_adaptive: str = ""
    """gfpo-adaptive: k of very hard, hard, medium and easy problems; empty scales the published 8,8,6,4 of 16."""
    min_history: int = 8
    """gfpo-adaptive: groups seen before difficulty is believed."""
    stratified: bool = False
    """gfpo: keep one rollout of each outcome where the choice would lose the contrast. Ours, not the paper's."""
    contrast: str = "all"
    """What the summarizer is asked of a group. `all`: once, with every rollout that teaches. `pair`: once, the best
    against the worst by advantage. `random-pair`: two that differ in reward, drawn (a control). `objectives`: once for
    each named score that differs, the best against the worst in it (GDPO). `brevity`: also the shortest right rollout
    against the longest right one (GFPO). `hardest`: once, a right rollout beside the wrong one that the model finds
    likeliest, where it can score given tokens, else the first wrong one (DisCO)."""
    shorter: float = 0.7
    """brevity: the shortest right rollout is at most this share of the longest, else there is no contrast."""
    rounds: int = 3
    """dynamic: rounds of rollouts per step, at most; further ones go to `fresh` problems, and to those that nobody
    solved under an earlier version of the library."""
    fresh: bool = False
    """dynamic: further rounds take the next problems of the epoch before their turn (DAPO, Eq. 11)."""
    wanted: int | None = None
    """dynamic: groups with contrast per step; None is the batch size."""
    retries: int = 4
    """dynamic: further groups one unsolved problem may cost in a run."""
    wave: int | None = None
    """Draw rollouts so many at a time, and stop once the group has a contrast; None draws all at once. Ours."""
    weighting: str = "equal"
    """Which groups count more: all are `equal`, or by their mean |advantage| as `grpo` or `dr_grpo` compute it."""
    groups: int | None = None
    """Groups that teach per step, at most, the heaviest, among equals the first drawn; None sets no limit."""


@dataclass(frozen=True, slots=True)
class ShapingConfig:
    """What happens to rewards before they become advantages."""

    overlong: float | None = None
    """DAPO's soft punishment over this last share of the length limit; None, or no known limit, punishes nothing."""
    max_length: int | None = None
    """That limit in tokens; None takes `rollout.max_tokens`."""
    factor: float = 1.0
    mask_truncated: bool = False
    """Leave rollouts that were cut at the limit out, instead of calling them wrong."""


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """What the graders' values are worth, beyond their shaping."""

    low: float | None = None
    """The least that the grader can give, with `high`; None reads it off a measurement, where that shows it."""
    high: float | None = None
    """The most that it can give."""
    parts: Mapping[str, Any] = field(default_factory=dict)
    """Least and most of a named score, by name, where a measurement does not show it: `{correctness = [-3, 3]}`."""
    token_cost: float = 0.0
    """What a reply of the length limit costs, in reward; a shorter one costs its share. Needs `rollout.max_tokens`."""


@dataclass(frozen=True, slots=True)
class EditScoreConfig:
    """Which likelihood score ranks, prunes and vetoes edits, where the gate asks for one."""

    kind: str = "gvpo"
    """`surrogate`, `gspo`, `gvpo`, `disco` or `hicra`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Passed to it: beta, tau, aggregation, clip, ..."""
    order: str = "off"
    """Whether scores order the gate's queue: `off` leaves it to support; `auto` orders where the model can score given
    tokens, and says once where it cannot; `on` ends the run at its start there."""
    rollouts: int = 2
    """order: pilot rollouts of a problem, at temperature 1, drawn once per library version for all edits."""
    problems: int = 16
    """order: problems of the gate's pool that an edit is scored on, at most, among those it touches."""
    keep: int | None = None
    """order: so many edits of a step meet the gate, those of the highest score; the others may come again. None is
    all."""
    behind: float = 0.5
    """order: a rival meets no gate that scores so many standard errors below the best one on their shared problems."""
    max_size: float | None = None
    """order: an edit that moves stored rollouts by more nats per token is pruned whole; None sets no bound."""


LEAST: Mapping[str, float] = {
    "advantage.earlier": 0,
    "gate.max_edits": 1,
    "gate.max_kl": 0,
    "selection.k": 1,
    "selection.rounds": 1,
    "selection.wave": 1,
    "selection.wanted": 1,
    "selection.retries": 0,
    "selection.groups": 1,
    "selection.shorter": 0,
    "edit_score.rollouts": 2,
    "edit_score.problems": 2,
    "edit_score.keep": 1,
    "edit_score.behind": 0,
    "edit_score.max_size": 0,
    "reward.token_cost": 0,
    "shaping.overlong": 0,
    "shaping.max_length": 1,
}
"""Smallest values, by key."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "advantage.kind": ("grpo", "dr_grpo", "rloo", "gdpo", "critic", "process", "gae"),
    "selection.kind": ("informative", "dynamic", "gfpo", "gfpo-efficiency", "gfpo-adaptive"),
    "selection.weighting": ("equal", "grpo", "dr_grpo"),
    "selection.contrast": ("all", "pair", "random-pair", "objectives", "brevity", "hardest"),
    "advantage.prior": ("fixed", "running"),
    "edit_score.order": ("off", "auto", "on"),
    "edit_score.kind": ("surrogate", "gspo", "gvpo", "disco", "hicra"),
}
"""All values of the keys that take a word."""
