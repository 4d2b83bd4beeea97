"""Which choice to try next: a tree-structured Parzen estimator over small categories. Optuna is an extra."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

from tfgrpo.errors import UsageError

Subset = tuple[int, ...]
"""For each variable which of its values: 0 or 1 for a lesson that may be in, else the number of an alternative."""


class Proposer(Protocol):
    """Proposes subsets and learns from what they scored."""

    def ask(self, count: int) -> list[Subset]:
        """Return the next subsets to try, at once."""
        ...

    def tell(self, scores: Sequence[float | None]) -> None:
        """Report what the subsets of the last `ask` scored, in order; None where nothing could be scored."""
        ...

    def add(self, subset: Subset, score: float) -> None:
        """Report a subset that was not asked for."""
        ...


def require_optuna() -> None:
    """Raise UsageError where Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise UsageError("--method mipro needs Optuna; install it with: pip install 'tfgrpo[search]'")


def default_trials(candidates: int) -> int:
    """Return MIPROv2's number of trials for N candidates in two choices: max(2 * 2 * log2 N, 1.5 N), at least 8."""
    return max(8, math.ceil(4 * math.log2(max(candidates, 2))), math.ceil(1.5 * candidates))


class Tpe:
    """Optuna's multivariate TPE. A function of its seed and of what it was told, so a repeated run asks the same."""

    def __init__(self, sizes: Sequence[int], seed: int) -> None:
        require_optuna()
        import optuna  # noqa: PLC0415 - an extra, loaded where it is used

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna: Any = optuna
        self._choices: dict[str, Any] = {
            f"x{i}": optuna.distributions.CategoricalDistribution(tuple(range(size))) for i, size in enumerate(sizes)
        }
        with warnings.catch_warnings():
            # The options are marked experimental upstream; nobody who runs a search can do anything about it.
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._asked: list[Any] = []

    def enqueue(self, subset: Subset) -> None:
        """Have a subset tried before the estimator chooses."""
        self._study.enqueue_trial(dict(zip(self._choices, subset, strict=True)))

    def ask(self, count: int) -> list[Subset]:
        """Return the next subsets to try, at once."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._asked = [self._study.ask(self._choices) for _ in range(count)]
        return [tuple(int(trial.params[name]) for name in self._choices) for trial in self._asked]

    def tell(self, scores: Sequence[float | None]) -> None:
        """Report what the subsets of the last `ask` scored, in order; None where nothing could be scored."""
        for trial, score in zip(self._asked, scores, strict=True):
            if score is None:
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            else:
                self._study.tell(trial, score)

    def add(self, subset: Subset, score: float) -> None:
        """Report a subset that was not asked for."""
        params = dict(zip(self._choices, subset, strict=True))
        self._study.add_trial(
            self._optuna.trial.create_trial(params=params, distributions=self._choices, value=score)
        )  # fmt: skip


def next_validated(scored: dict[Subset, list[float]], validated: set[Subset]) -> Subset | None:
    """Return the subset with the best average that was not validated yet; ties go to the one tried first."""
    left = [s for s in scored if s not in validated]
    return max(left, key=lambda s: math.fsum(scored[s]) / len(scored[s])) if left else None
