"""The candidates of a search and what was measured of them; pure, apart from the libraries they carry."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from experience_db import Library
from tfgrpo.config.search import SearchConfig
from tfgrpo.rollout import Graded
from tfgrpo.search.merge_ancestors import Ancestry
from tfgrpo.search.merge_three_way import texts_by_id
from tfgrpo.search.pareto import ScoreTable

OBJECTIVES = ("reward", "tokens", "usd")
"""What is kept per held-out problem; costs are negative, so that higher is better everywhere."""


@dataclass(frozen=True, slots=True)
class HeldoutScores:
    """What one library version earned and cost on held-out problems."""

    reward: Mapping[str, float] = field(default_factory=dict)
    """Problem id to reward; problems whose rollout failed are absent."""
    tokens: Mapping[str, float] = field(default_factory=dict)
    """Minus completion tokens."""
    usd: Mapping[str, float] = field(default_factory=dict)
    """Minus US dollars, where the price is known."""

    @property
    def mean(self) -> float:
        """Mean reward; -inf where nothing was scored."""
        return _mean(self.reward)

    def __or__(self, other: HeldoutScores) -> HeldoutScores:
        """Put the marks of further problems beside these."""
        return HeldoutScores(
            {**self.reward, **other.reward}, {**self.tokens, **other.tokens}, {**self.usd, **other.usd}
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """One member of the pool."""

    library: Library
    """The version, as it is stored."""
    parents: tuple[int, ...]
    """Indices in the pool."""
    kind: str
    """`start`, `mutation`, `pooled`, `merge` or `subset`."""
    marks: HeldoutScores

    @property
    def mean(self) -> float:
        """Mean held-out reward."""
        return self.marks.mean


def heldout_scores(graded: Iterable[Graded]) -> HeldoutScores:
    """Collect measurements of one library; failed and unscored rollouts leave no mark."""
    reward: dict[str, float] = {}
    tokens: dict[str, float] = {}
    usd: dict[str, float] = {}
    for each in graded:
        if math.isnan(each.reward):
            continue
        reward[each.rollout.problem_id] = each.reward
        usage = each.rollout.usage
        tokens[each.rollout.problem_id] = -float(usage.completion_tokens)
        if usage.usd is not None:
            usd[each.rollout.problem_id] = -usage.usd
    return HeldoutScores(reward, tokens, usd)


def score_table(pool: Sequence[Candidate]) -> ScoreTable:
    """Return the scores that selection looks at; an objective that never varies is left out of it."""
    named = [{name: getattr(c.marks, name) for name in OBJECTIVES} for c in pool]
    varied = [name for name in OBJECTIVES if len({v for row in named for v in row[name].values()}) > 1]
    kept = varied or ["reward"]
    return ScoreTable(tuple(c.marks.reward for c in pool), tuple({name: row[name] for name in kept} for row in named))


def ancestry_of(pool: Sequence[Candidate]) -> Ancestry:
    """Return what merging looks at."""
    return Ancestry(
        tuple(c.parents for c in pool),
        tuple(texts_by_id(c.library.lessons) for c in pool),
        tuple(c.mean for c in pool),
        tuple(frozenset(c.marks.reward) for c in pool),
    )


def best_candidate(pool: Sequence[Candidate], config: SearchConfig) -> int:
    """Return the final choice: the highest mean reward among candidates that keep the limits.

    Ties go to the one scored on more problems, then to the one that costs fewer tokens, then to the earlier one. Where
    no candidate keeps the limits, the one that costs least is taken: a limit is kept before a reward is won.
    """
    allowed = [k for k, c in enumerate(pool) if within_limits(c.marks, config)]
    if not allowed:
        return max(range(len(pool)), key=lambda k: (_mean(pool[k].marks.tokens), -k))
    return max(
        allowed, key=lambda k: (pool[k].mean, len(pool[k].marks.reward), _mean(pool[k].marks.tokens), -k)
    )  # fmt: skip


def within_limits(found: HeldoutScores, config: SearchConfig) -> bool:
    """Say whether a candidate keeps the limits on tokens and money; unknown money keeps no limit on it."""
    if config.max_tokens is not None and -_mean(found.tokens) > config.max_tokens:
        return False
    return config.max_usd is None or -_mean(found.usd) <= config.max_usd


def same_candidate(pool: Sequence[Candidate], library: Library) -> int | None:
    """Return a candidate that holds exactly these lessons; None when there is none."""
    wanted = sorted(lesson.text for lesson in library)
    return next((k for k, c in enumerate(pool) if sorted(x.text for x in c.library) == wanted), None)


def _mean(values: Mapping[str, float]) -> float:
    return math.fsum(values.values()) / len(values) if values else -math.inf
