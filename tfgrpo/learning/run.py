"""What one execution of `learn` works with, and how its rollouts are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from experience_db import Library, Store
from tfgrpo.backends.limited import Ledger
from tfgrpo.backends.metered import Tally
from tfgrpo.config import LearnConfig
from tfgrpo.datasets import Pools
from tfgrpo.edit_scores.teacher_forced import Likelihood
from tfgrpo.gates import Gate
from tfgrpo.learning.progress import Progress
from tfgrpo.lessons.review import ReviewRules
from tfgrpo.lessons.rivals import NOTHING, Topics
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.methods.method import EMPTY_MEMORY, Memory
from tfgrpo.methods.reward import UNIT, Range
from tfgrpo.rollout import Actor, Graded
from tfgrpo.types import Group, Problem, Proposal, Rollout, Sampling


@dataclass(slots=True)
class Run:
    """Everything one execution of `learn` works with. Built by `tfgrpo.build`."""

    id: str
    name: str
    config: LearnConfig
    store: Store
    library: Library
    """The version the run starts from."""
    actor: Actor
    teacher: Teacher
    gate: Gate
    learning: tuple[Problem, ...]
    heldout: tuple[Problem, ...]
    """Measured before and after the run."""
    tally: dict[str, Tally] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    """What admits calls; closed while a stored step is repeated."""
    before: tuple[float, ...] = ()
    """Held-out reward per problem under the version the run started from; nan where it failed."""
    after: tuple[float, ...] = ()
    memory: Memory = EMPTY_MEMORY
    """What the steps so far left for the method."""
    likelihood: Likelihood | None = None
    """Scores stored rollouts, for gates that ask for edit scores."""
    groups: list[Group] = field(default_factory=list)
    """The newest graded groups, oldest first; kept where there is a likelihood."""
    pilots: dict[tuple[bytes, str], Group] = field(default_factory=dict)
    """Groups of the gate's problems that score edits, by the version they were drawn under and the problem."""
    unranked: str = ""
    """Why scores order nothing although they were to; empty where they do, or were not asked to."""
    heldout_rollouts: dict[str, Rollout] = field(default_factory=dict)
    """A rollout of each held-out problem under the version the run started from."""
    paraphrases: bool = False
    """Whether the summarizer is a model of its own, able to say a lesson in other words."""
    left_out: str = ""
    """How many held-out problems have no score, and why; empty when all have."""
    stopped: str = ""
    """Why the run ended early: which budget; empty when it did not."""
    continuation: str = ""
    """What the run goes on from, or why it starts anew; empty when there is nothing to say."""
    block: str = ""
    """Which block the lessons stand in, and how the endpoint follows it, in words."""
    unseeded: Callable[[], bool] = bool  # whether an endpoint has refused seeds: then pairs meet different noise
    progress: Progress | None = None
    """Live numbers for displays, and the way to stop."""
    rules: ReviewRules = ReviewRules()
    """What enters the library unseen, and what waits for a person."""
    topics: Topics = NOTHING
    """What the problems are about: tells which lessons speak of the same thing."""
    untested: tuple[Proposal, ...] = ()
    """Proposals of earlier steps that consolidation left out; they count as support when proposed again."""
    challengers: tuple[Proposal, ...] = ()
    """What comes again by itself: it lost a race to a lesson that entered, or its own test leaned to yes."""
    pools: Pools = Pools(())
    """Which problems prove lessons, and which no verdict looks at."""
    proposers: dict[str, set[str]] = field(default_factory=dict)
    """The problems that suggested a lesson in these very words, by its words."""
    range: Range = UNIT
    """Where rewards lie; maps them to [0, 1] for the gate."""
    part_ranges: dict[str, Range] = field(default_factory=dict)
    """Where the named values of the grader lie."""
    measured: dict[str, tuple[Graded, ...]] = field(default_factory=dict)
    """Held-out rollouts `before` and `after`, for the figures of single objectives."""


def learning_sampling(config: LearnConfig) -> Sampling:
    """Return how learning rollouts are drawn."""
    drawn = config.rollout
    return Sampling(drawn.temperature, drawn.top_p, drawn.max_tokens)


def evaluation_sampling(config: LearnConfig) -> Sampling:
    """Return how gate and held-out rollouts are drawn."""
    drawn = config.evaluation
    return Sampling(drawn.temperature, drawn.top_p, drawn.max_tokens)
