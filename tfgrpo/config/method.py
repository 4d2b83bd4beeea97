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
    rounds: int = 3
    """dynamic: rounds of rollouts per step, at most; further rounds go to problems that nobody solved."""
    wanted: int | None = None
    """dynamic: groups with contrast per step; None is the batch size."""
    retries: int = 4
    """dynamic: further groups one unsolved problem may cost in a run."""
    wave: int | None = None
    """Draw rollouts so many at a time, and stop once the group has a contrast; None draws all at once. Ours."""
    weighting: str = "equal"
    """Which proposals count more: those of `equal` groups, or by the group's weight in `grpo` or `dr_grpo`."""
    groups: int | None = None
    """Groups that teach per step, at most, the heaviest; None sets no limit."""


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
    token_cost: float = 0.0
    """What a reply of the length limit costs, in reward; a shorter one costs its share. Needs `rollout.max_tokens`."""


@dataclass(frozen=True, slots=True)
class EditScoreConfig:
    """Which likelihood score ranks, prunes and vetoes edits, where the gate asks for one."""

    kind: str = "gvpo"
    """`surrogate`, `gspo`, `gvpo`, `disco` or `hicra`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Passed to it: beta, tau, aggregation, clip, ..."""
