"""Gates from the plain options of a configuration."""

from __future__ import annotations

from dataclasses import replace

from tfgrpo.gates.alpha import Alpha, Rule
from tfgrpo.gates.comparison import LITE, Design
from tfgrpo.gates.open import OpenGate
from tfgrpo.gates.paired import Companions, PairedGate


def paired(
    *,
    seed: int = 0,
    lite: bool = False,
    alpha: float = 0.05,
    spending: Rule = "fixed",
    companions: Companions = "harmless",
    **changes: float,
) -> PairedGate:
    """Return the paired gate.

    Args:
        seed: The run's seed.
        lite: Start from the cheaper design (delta .1, looks of 8, at most 32 pairs).
        alpha: Chance of a false accept per edit, or false discovery rate of the run.
        spending: `fixed` for alpha per edit, `e-lond` for the whole run.
        companions: Which members of an accepted bundle stay, `harmless` or `useful` ones.
        changes: Any field of `Design`, such as `delta`, `nmax` or `look`, where it shall differ.

    Raises:
        TypeError: An option that does not exist.
        UsageError: A value that cannot be used.
    """
    design = replace(LITE if lite else Design(), **changes)  # type: ignore[arg-type]
    return PairedGate(seed, design, Alpha(alpha, spending), companions)


def open_gate(*, seed: int = 0) -> OpenGate:
    """Return the gate that lets everything in; the seed is there because every gate is given one."""
    return OpenGate()
