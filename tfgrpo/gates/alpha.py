"""How much of the error rate each test of a run may spend: a fixed level, or e-LOND.

With the fixed rule every test has level alpha, so alpha bounds the chance that one useless edit is accepted; over a
run of T tests of useless edits up to alpha T of them may be. e-LOND bounds the false discovery rate of the whole run,
the expected share of useless edits among the accepted ones, by alpha:

    alpha_t = alpha gamma_t (1 + edits accepted before t),   gamma_t = 1 / (t (t + 1)),   accept when E_t >= 1/alpha_t

With e-values whose bets do not look at alpha_t it needs nothing else, however much the tests depend on each other. The
sign test at level a, taken as the e-value that is 1/a when it rejects, is one only if it holds its level given the
outcomes that a follows from. Tests of one run share problems and baselines, so that is not proved here but measured,
below: a pool that an accepted edit was lucky on makes later tests stricter, because its rollouts are their baseline.
Any gammas that sum to 1 will do, these are simple.

Measured by tests/benchmarks/gate.py (`--parts runs,fdr`; tables in docs/evidence.md): the fixed rule lets one or more
useless edits into half of the runs of 25 on a pool of 64 with fresh noise, e-LOND into hardly any; of edits that help
e-LOND accepts some points less, at half as many pairs again. A pool that served many gates is not worse than a new one.

Source: Xu and Ramdas, "Online multiple testing with e-values", AISTATS 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isnan
from typing import Literal

from tfgrpo.errors import UsageError

Rule = Literal["fixed", "e-lond"]


@dataclass(frozen=True, slots=True)
class Alpha:
    """The error rate of a run and what has been spent of it."""

    alpha: float = 0.05
    """Level per test for `fixed`, false discovery rate of the run for `e-lond`; in (0, 1)."""
    rule: Rule = "fixed"
    tests: int = 0
    """Tests finished so far."""
    accepted: int = 0
    """Those of them that accepted."""

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 1.0:
            raise UsageError(f"the gate's alpha must lie between 0 and 1, got {self.alpha}")
        if self.rule not in ("fixed", "e-lond"):
            raise UsageError(f"unknown spending {self.rule!r} of the gate's alpha; use 'fixed' or 'e-lond'")

    @property
    def level(self) -> float:
        """The level of the next test; it depends on finished tests only."""
        if self.rule == "fixed":
            return self.alpha
        t = self.tests + 1
        return self.alpha * (1 + self.accepted) / (t * (t + 1))

    def after(self, accepted: bool) -> Alpha:
        """Return the state after one more test."""
        return replace(self, tests=self.tests + 1, accepted=self.accepted + accepted)


def holm(p_values: Sequence[float], alpha: float = 0.05) -> tuple[bool, ...]:
    """Say which of several hypotheses may be given up, with the chance of any error held at alpha over all of them.

    The smallest p is compared with alpha / m, the next with alpha / (m - 1), and so on until the first that fails (Holm
    1979, Scandinavian Journal of Statistics 6, 65-70). It asks nothing of how the tests depend on each other. A p of
    nan gives nothing up.
    """
    order = sorted(range(len(p_values)), key=lambda i: inf if isnan(p_values[i]) else p_values[i])
    given_up = [False] * len(p_values)
    for rank, i in enumerate(order):
        if not p_values[i] <= alpha / (len(p_values) - rank):
            break
        given_up[i] = True
    return tuple(given_up)
