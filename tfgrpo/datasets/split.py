"""Parts of a dataset: to learn from and held out, a limited number, batches. All are seeded draws in input order."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfgrpo.datasets.overlap import overlap
from tfgrpo.datasets.pools import share_of
from tfgrpo.datasets.problems import digest, problems_from
from tfgrpo.errors import UsageError
from tfgrpo.types import Problem


def learning_and_heldout(
    given: Any,
    heldout: Any,
    *,
    seed: int,
    limit: int | None = None,
    fields: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Load a dataset and return the problems to learn from and those held out, which share nothing.

    Args:
        given: the whole dataset, as in `problems_from`.
        heldout: a fraction in [0, 1), `auto` for one that follows the size of the set, or a dataset of its own.
        seed: of both draws.
        limit: how many problems to learn from, at most.
        fields: which columns hold what, where they are called otherwise.
        folder: where local copies of named sets are looked for.

    Raises:
        UsageError: an empty side, or problems that occur on both.
    """
    problems = problems_from(given, fields, folder)
    fraction = _fraction(heldout, len(problems))
    if fraction is not None:
        learning, kept = split(problems, fraction, seed, apart=True)
    else:
        learning, kept = problems, problems_from(heldout, folder=folder)
        if shared := overlap(learning, kept):
            listed = ", ".join(f"{item.b!r} (same {item.kind} as {item.a!r})" for item in shared[:3])
            raise UsageError(f"--heldout overlaps with the learning problems: {len(shared)} in both, such as {listed}")
    learning = limited(learning, limit, seed)
    if not learning:
        raise UsageError(f"no problem is left to learn from: {len(problems)} in all, {len(kept)} held out")
    return learning, kept


def limited(problems: tuple[Problem, ...], limit: int | None, seed: int) -> tuple[Problem, ...]:
    """Return as many problems as `limit` allows: a seeded draw, in input order."""
    if limit is None or limit >= len(problems):
        return problems
    if limit < 1:
        raise UsageError(f"--limit is {limit}; give at least 1")
    drawn = sorted(random.Random(seed).sample(range(len(problems)), limit))
    return tuple(problems[i] for i in drawn)


def _fraction(wanted: Any, count: int) -> float | None:
    if not isinstance(wanted, str | int | float):
        return None
    value = share_of(str(wanted), count)
    if value is None:
        return None
    if not 0 <= value < 1:
        raise UsageError(f"--heldout is a file or a fraction from 0 to below 1, not {wanted}")
    return value


def split(
    problems: Sequence[Problem], heldout: float, seed: int, *, apart: bool = False
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Two disjoint parts in input order: to learn from, and held out.

    A share `heldout` in [0, 1) goes to the second part, rounded, at least one problem of either part if there are two.
    Problems are ranked by a hash of seed and id, so added rows move few of the others. With `apart`, a problem of the
    second part that says the same as one of the first (see `overlap`) joins it there, and the second part is smaller.
    """
    if not 0 <= heldout < 1:
        raise UsageError(f"heldout is {heldout}; give a share of at least 0 and below 1, or a file")
    count = round(len(problems) * heldout)
    if heldout > 0 and len(problems) > 1:
        count = min(max(count, 1), len(problems) - 1)
    ranked = sorted(problems, key=lambda problem: digest(str(seed), problem.id))
    kept_back = {problem.id for problem in ranked[:count]}
    while apart:
        learn = [problem for problem in problems if problem.id not in kept_back]
        twins = {o.b for o in overlap(learn, [problem for problem in problems if problem.id in kept_back])}
        kept_back -= twins
        apart = bool(twins)
    learn = [problem for problem in problems if problem.id not in kept_back]
    return tuple(learn), tuple(problem for problem in problems if problem.id in kept_back)


def batches(problems: Sequence[Problem], size: int, seed: int, epoch: int) -> tuple[tuple[Problem, ...], ...]:
    """All problems in batches of `size`, shuffled anew for each seed and epoch; the last batch may be short."""
    if size < 1:
        raise UsageError(f"batch size is {size}; give at least 1")
    shuffled = list(problems)
    random.Random(f"{seed}:{epoch}").shuffle(shuffled)
    return tuple(tuple(shuffled[i : i + size]) for i in range(0, len(shuffled), size))
