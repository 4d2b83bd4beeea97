"""Who may be mutated: fronts, the greedy reduction, its weights, and the four selectors, on tables made by hand."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.errors import UsageError
from tfgrpo.search.pareto import (
    BUILTIN,
    ScoreTable,
    best_per_key,
    current_best,
    draw_probabilities,
    drop_dominated,
    epsilon_greedy,
    frontier_weights,
    pareto,
    top_k,
)


def table(*rows: list[float]) -> ScoreTable:
    """Scores of candidates on problems v0, v1, ...; nan is left as it is."""
    return ScoreTable(tuple({f"v{i}": value for i, value in enumerate(row)} for row in rows))


def test_a_problem_belongs_to_everybody_who_is_best_there():
    """Equal scores share a problem, a higher one takes it."""
    found = best_per_key(table([0, 1, 0], [1, 1, 0], [0, 0, 0.5]))
    assert list(found.values()) == [{1}, {0, 1}, {2}]


def test_weak_candidates_leave_first_and_a_lonely_set_keeps_its_member():
    """0 shares all its problems with 1, so it leaves; 2 alone holds the third problem."""
    scores = table([0, 1, 0], [1, 1, 0], [0, 0, 0.5])
    assert drop_dominated(best_per_key(scores), scores.means) == (2, 1)
    assert frontier_weights(best_per_key(scores), scores.means) == {1: 2, 2: 1}


def test_the_order_of_the_reduction_decides_a_circle():
    """Three candidates that cover each other: the two lowest means cannot both go, and the lowest goes first."""
    found = {"x": frozenset({0, 1}), "y": frozenset({1, 2}), "z": frozenset({2, 0})}
    assert drop_dominated(found, [0.1, 0.2, 0.3]) == (1, 2)
    assert drop_dominated(found, [0.3, 0.2, 0.1]) == (1, 0)
    assert drop_dominated(found, [0.5, 0.5, 0.5]) == (1, 2)


def test_it_is_a_cover_not_domination_of_vectors():
    """A candidate nowhere below another stays out when others cover all its problems one by one."""
    found = {"x": frozenset({0, 1}), "y": frozenset({0, 2})}
    assert drop_dominated(found, [0.4, 0.5, 0.6]) == (1, 2)


def test_missing_and_failed_scores_take_no_problem():
    """Failed and unmeasured problems neither win nor lose."""
    scores = ScoreTable(({"a": math.nan, "b": 0.2}, {"a": 0.0}))
    assert best_per_key(scores) == {("problem", "b"): {0}, ("problem", "a"): {1}}
    assert scores.means == (0.2, 0.0)


def test_the_four_frontiers():
    """Problems, objectives, both, and every pair of them; cheaper is better because costs are negative."""
    rewards = ({"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 0.0})
    tokens = ({"a": -90.0, "b": -10.0}, {"a": -20.0, "b": -20.0})
    scores = ScoreTable(rewards, tuple({"reward": r, "tokens": t} for r, t in zip(rewards, tokens, strict=True)))
    assert best_per_key(scores, "instance") == {("problem", "a"): {0}, ("problem", "b"): {0, 1}}
    assert best_per_key(scores, "objective") == {("objective", "reward"): {0}, ("objective", "tokens"): {1}}
    assert best_per_key(scores, "hybrid") == {**best_per_key(scores, "instance"), **best_per_key(scores, "objective")}
    assert best_per_key(scores, "cartesian")[("a", "tokens")] == {1}
    assert best_per_key(scores, "cartesian")[("b", "tokens")] == {0}
    with pytest.raises(UsageError, match="instance, objective, hybrid, cartesian"):
        best_per_key(scores, "vector")


def test_selectors_choose_whom_they_say():
    """Best takes the first best, epsilon 1 takes anybody, top-k cuts the frontier, pareto follows the weights."""
    scores = table([1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1])
    rng = Random(0)
    assert current_best(scores, "instance", rng) == 1
    assert {epsilon_greedy(1.0)(scores, "instance", rng) for _ in range(60)} == {0, 1, 2}
    assert {epsilon_greedy(0.0)(scores, "instance", rng) for _ in range(20)} == {1}
    assert {top_k(1)(scores, "instance", rng) for _ in range(20)} == {1}
    drawn = Counter(pareto(scores, "instance", rng) for _ in range(4000))
    assert drawn[1] / 4000 == pytest.approx(0.5, abs=0.04)
    assert set(BUILTIN) == {"pareto", "current-best", "epsilon-greedy", "top-k"}


def test_without_any_score_the_first_candidate_is_chosen():
    """A pool of which nothing was measured still has a parent to go on from."""
    assert pareto(ScoreTable(({},)), "instance", Random(0)) == 0


TABLES = st.integers(1, 7).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=n, max_size=n), min_size=1, max_size=8
    ).map(lambda rows: table(*rows))
)


@given(TABLES)
def test_survivors_cover_every_problem_and_none_is_spare(scores):
    """Each problem keeps one of its best, and no survivor could leave."""
    found = best_per_key(scores)
    alive = set(drop_dominated(found, scores.means))
    assert all(members & alive for members in found.values())
    for k in alive:
        assert any(members & alive == {k} for members in found.values())
    chances = draw_probabilities(found, scores.means)
    assert set(chances) == alive
    assert math.isclose(sum(chances.values()), 1.0)


@given(TABLES)
def test_the_best_mean_always_survives_unless_it_is_tied_everywhere(scores):
    """Who comes last in the order leaves only if others hold every problem of it."""
    found = best_per_key(scores)
    last = max(range(len(scores.scores)), key=lambda k: (scores.means[k], k))
    if any(members == {last} for members in found.values()):
        assert last in drop_dominated(found, scores.means)
