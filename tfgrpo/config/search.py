"""How a pool of library versions is searched, as one configuration table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """How candidates are made, judged and chosen. `search = "gepa"` is short for `search.kind`."""

    kind: str = ""
    """Empty learns along one line. `gepa`: reflective mutation of a pool. `gepa-merge`: with merges of two branches.
    `mipro`: which subset of candidate lessons and demonstrations, by TPE."""
    mutation: str = ""
    """`reflect`: one rollout per problem, one reflection per minibatch (GEPA). `groups`: a contrast per problem, from
    `rollout.group_size` rollouts (ours). Empty leaves it to the prompt set."""
    components: str = "library"
    """What a candidate consists of, between commas: `library`, `instructions`, and `tools`, the description of each
    tool. Other parts than the library are lessons that stand for them, see `experience_db.prompt_parts`."""
    component: str = "round-robin"
    """Which of them a proposal rewrites: `round-robin`, each in its turn (GEPA); `all`, all at once; or
    `package.module:attr`."""
    part_words: int = 150
    """Longest text of a part that is no lesson, in words."""
    reflection: str = "once"
    """How a minibatch is reflected on: `once`, one question about all its attempts; `map-reduce`, one about each share
    of them, as many shares as their root, then one call that brings the edits together (ComBEE)."""
    minibatch: int = 3
    """Problems per proposal (GEPA: 3)."""
    parents: int = 1
    """Candidates mutated per step (P)."""
    proposals: int = 1
    """Proposals per parent (N), each from a minibatch of its own; all P x N run at once."""
    selector: str = "pareto"
    """`pareto`, `current-best`, `epsilon-greedy`, `top-k`, or `package.module:attr`."""
    epsilon: float = 0.1
    """epsilon-greedy: chance of taking any candidate."""
    top_k: int = 5
    """top-k: so many best means stay on the frontier."""
    frontier: str = "instance"
    """What it takes to survive: best on a held-out problem (`instance`), in an `objective`, `hybrid`, `cartesian`."""
    sampler: str = "epoch"
    """`epoch` draws every problem once an epoch (GEPA); `lost-too` draws every second minibatch from the problems whose
    newest rollouts lost reward (ours); or `package.module:attr`."""
    acceptance: str = "strict"
    """`strict` (GEPA), `or-equal`, `paired` (a betting test), or `package.module:attr`."""
    skip_perfect: bool = True
    """Ask for no reflection where every rollout of the minibatch reached `perfect`."""
    perfect: float = 1.0
    pool: str = "pooled"
    """What becomes of children accepted in one step: `pooled` joins their lessons into one candidate, `separate` keeps
    each (GEPA), `both` does both."""
    prune: bool = True
    """Leave lessons of a new candidate out in turn, on the held-out problems that share a rare word with them, and
    make a second candidate of those that are missed."""
    validation: str = "racing"
    """`full` scores a child on every held-out problem (GEPA); `racing` stops once it lost to its parent; `halving`
    sends the better half of a step's children to each next rung."""
    look: int = 16
    """racing, halving: held-out problems of the first rung; each rung doubles them."""
    merges: int = 5
    """gepa-merge: accepted merges, at most."""
    overlap: int = 5
    """gepa-merge: held-out problems of the first test, and fewest that both sides share."""
    merge_rule: str = "published"
    """gepa-merge: `published` takes a merge whose sum on the overlap is at least that of either side; `paired` goes on
    over all shared problems until a betting test says better, worse or not worth it against the better side."""
    steps: int | None = None
    """Steps at most; None makes `epochs` passes over the problems."""
    patience: int | None = None
    """Stop after so many steps without a better candidate."""
    target: float | None = None
    """Stop once the best candidate's mean held-out reward reaches this."""
    max_tokens: float | None = None
    """Final choice: only candidates whose held-out rollouts take at most so many completion tokens on average."""
    max_usd: float | None = None
    """Final choice: the same for money per rollout."""
    candidates: int = 12
    """mipro: candidate lessons, at most; 0 asks for none, as MIPROv2 has none."""
    instructions: int = 0
    """mipro: candidate instructions, written by a proposer that is told of the dataset, the prompt as it is, rollouts
    that earned full reward, and a tip; one of them stands at a time, or those of the run."""
    demonstrations: int = 4
    """mipro: demonstrations of one set, at most; each is a rollout that earned full reward."""
    demonstration_sets: int = 6
    """mipro: sets of demonstrations that are tried, besides none: all that were found, and random ones."""
    bootstrap: int = 12
    """mipro: learning problems that candidates come from."""
    trials: int | None = None
    """mipro: subsets that are tried; None is twice the variables times log2 of them (MIPROv2), at least 8."""
    batch: int = 12
    """mipro: learning problems of one trial."""
    every: int = 5
    """mipro: full validation of the best untested subset after so many trials."""


LEAST: Mapping[str, float] = {
    "search.part_words": 1,
    "search.minibatch": 1,
    "search.parents": 1,
    "search.proposals": 1,
    "search.top_k": 1,
    "search.epsilon": 0,
    "search.look": 1,
    "search.merges": 0,
    "search.overlap": 1,
    "search.steps": 1,
    "search.patience": 1,
    "search.candidates": 0,
    "search.demonstrations": 0,
    "search.demonstration_sets": 1,
    "search.instructions": 0,
    "search.bootstrap": 1,
    "search.trials": 1,
    "search.batch": 1,
    "search.every": 1,
}
"""Smallest values, by key."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "search.kind": ("", "gepa", "gepa-merge", "mipro"),
    "search.mutation": ("", "reflect", "groups"),
    "search.reflection": ("once", "map-reduce"),
    "search.frontier": ("instance", "objective", "hybrid", "cartesian"),
    "search.pool": ("pooled", "separate", "both"),
    "search.validation": ("full", "racing", "halving"),
    "search.merge_rule": ("published", "paired"),
}
"""All values of the keys that take a word."""
