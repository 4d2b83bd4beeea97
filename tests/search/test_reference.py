"""Our selection against two others on 200 random tables: one written from the description, and gepa's own."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from tfgrpo.search.pareto import ScoreTable, best_per_key, draw_probabilities

SEEDS = range(200)


def random_table(seed: int, *, ties: bool) -> ScoreTable:
    """Up to 12 candidates on up to 10 problems; few different scores, so that fronts overlap."""
    rng = Random(seed)
    n, problems = rng.randint(1, 12), rng.randint(1, 10)
    rows = [{f"v{v}": rng.choice((0.0, 0.5, 1.0)) for v in range(problems)} for _ in range(n)]
    if not ties:  # A tiny amount on a problem of its own orders the means without changing any other front.
        rows = [{**row, "order": (k + 1) * 1e-6} for k, row in enumerate(rows)]
    return ScoreTable(tuple(rows))


def described(table: ScoreTable) -> dict[int, Fraction]:
    """The description word for word: sets of the best, scan from the lowest mean, remove the first, begin anew."""
    problems = {v for row in table.scores for v in row}
    sets = [{k for k, row in enumerate(table.scores) if row[v] == max(r[v] for r in table.scores)} for v in problems]
    order = sorted({k for s in sets for k in s}, key=lambda k: (table.means[k], k))
    removed: set[int] = set()
    while True:
        for y in order:
            others = [s - removed - {y} for s in sets if y in s]
            if y not in removed and all(others):
                removed.add(y)
                break
        else:
            break
    left = [k for s in sets for k in s if k not in removed]
    return {k: Fraction(left.count(k), len(left)) for k in set(left)}


@pytest.mark.parametrize("ties", [True, False])
def test_the_distribution_is_the_described_one(ties):
    """On 200 tables each candidate has exactly the chance that the description gives it."""
    for seed in SEEDS:
        table = random_table(seed, ties=ties)
        found = draw_probabilities(best_per_key(table), table.means)
        assert {k: Fraction(p).limit_denominator(1000) for k, p in found.items()} == described(table)


def test_the_distribution_is_that_of_gepa():
    """On 200 tables the chances equal those of the sets that the published package draws from."""
    utils = pytest.importorskip("gepa.gepa_utils", reason="needs the gepa package: pip install tfgrpo[test]")
    for seed in SEEDS:
        table = random_table(seed, ties=False)
        sets = {key: set(members) for key, members in best_per_key(table).items()}
        kept = utils.remove_dominated_programs(sets, scores=list(table.means))
        drawn = [k for members in kept.values() for k in members]
        theirs = {k: Fraction(drawn.count(k), len(drawn)) for k in set(drawn)}
        ours = draw_probabilities(best_per_key(table), table.means)
        assert {k: Fraction(p).limit_denominator(1000) for k, p in ours.items()} == theirs
