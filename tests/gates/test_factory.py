"""Gates from configuration."""

import pytest

from tfgrpo.errors import UsageError
from tfgrpo.gates import LITE, Alpha, Design, OpenGate, PairedGate
from tfgrpo.gates.factory import open_gate, paired_gate


def test_no_options_give_the_measured_defaults():
    """The defaults are delta .05, looks of 16, 64 or 128 pairs, four passes, level .05 for helping and for harming."""
    gate = paired_gate(seed=7)
    assert isinstance(gate, PairedGate)
    assert (gate.seed, gate.alpha) == (7, Alpha(0.05, "fixed"))
    assert gate.design == Design(0.05, 16, 64, 128, 4, 0.05, 0.5, 16, 48)


def test_options_change_single_fields():
    """Options name fields of the design; lite is another starting point."""
    assert paired_gate(nmax=24, look=8).design == Design(nmax=24, look=8)
    assert paired_gate(lite=True).design == LITE
    assert paired_gate(lite=True, delta=0.2).design.nmax == 32
    assert paired_gate(alpha=0.1, spending="e-lond").alpha == Alpha(0.1, "e-lond")


def test_wrong_options_are_refused():
    """An unknown option is a TypeError for the builder to explain, a bad value a usage error."""
    with pytest.raises(TypeError, match="nmaxx"):
        paired_gate(nmaxx=3)
    with pytest.raises(UsageError, match="spending"):
        paired_gate(spending="none")
    with pytest.raises(UsageError, match="likelihood"):
        paired_gate(touch="feel")


def test_open_gate_takes_a_seed_and_needs_none():
    """Every gate is built with the run's seed."""
    assert isinstance(open_gate(seed=1), OpenGate)
