"""Search over library versions: Pareto selection, reflective mutation, merging, and subsets by TPE.

In: the same `Run` as the loop. Out: the same `Step`s, whose candidates form a pool; the best one is the library's
head. Read `gepa.py` first; `mutate.py` makes a child, `validate.py` scores it, `store_step.py` keeps it, `merge.py`
joins two; `mipro.py` is the search over subsets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from tfgrpo.config import LearnConfig
from tfgrpo.errors import UsageError
from tfgrpo.learning import loop
from tfgrpo.learning.run import Run
from tfgrpo.types import Problem, Step


def learn(run: Run) -> AsyncIterator[Step]:
    """Learn as `search.kind` says: along one line of versions, or by searching a pool of them."""
    kind = run.config.search.kind
    if not kind:
        return loop.learn(run)
    from tfgrpo.search import gepa, mipro  # noqa: PLC0415 - a run along one line needs none of it

    return mipro.search(run) if kind == "mipro" else gepa.search(run)


def check_search(config: LearnConfig, heldout: Sequence[Problem]) -> None:
    """Refuse a search that cannot work, before anything is stored.

    Raises:
        UsageError: no held-out problems, or an extra that is not installed.
        UnknownPlugin: a selector, sampler or acceptance rule that does not exist.
    """
    if not config.search.kind:
        return
    if not heldout:
        raise UsageError(f"search {config.search.kind!r} scores candidates on held-out problems; give --heldout")
    from tfgrpo.search import rules, subsets  # noqa: PLC0415 - as above

    rules.search_rules(config.search)
    if config.search.kind == "mipro":
        subsets.require_optuna()


def planned_work(run: Run) -> tuple[int, int, int]:
    """Return how many groups, steps and held-out measurements of the library a search has ahead of it, about.

    A step is taken to validate one candidate; the last figure is half of all held-out rollouts, as a line's is.
    """
    from tfgrpo.search import gepa, mipro, subsets  # noqa: PLC0415 - as above

    config = run.config.search
    if config.kind == "mipro":
        most = config.candidates + config.demonstrations
        trials = config.trials or subsets.default_trials(most)
        rollouts = len(run.heldout) * (2 + trials // config.every) + trials * min(config.batch, len(run.heldout))
        return min(config.bootstrap, len(run.learning)), 1 + -(-trials // mipro.AT_ONCE), rollouts // 2
    steps = gepa.most_steps(run)
    groups = steps * config.parents * config.proposals * config.minibatch
    return groups, steps, len(run.heldout) * (1 + steps) // 2
