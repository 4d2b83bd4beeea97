"""Gates: what decides accept, reject or undecided for an edit or a bundle of edits.

In: a library version, proposals, and a `Trial` that can roll out held-out problems. Out: one `Verdict` per proposal,
with its evidence. Read `paired.py` first; it names what it stands on. `factory.py` makes the gate that a
configuration names.
"""

from tfgrpo.gates.alpha import Alpha
from tfgrpo.gates.base import Gate, Missing, Observation, Rewards, Trial, final
from tfgrpo.gates.comparison import LITE, Design
from tfgrpo.gates.harm import harm_check
from tfgrpo.gates.mean import MeanGate
from tfgrpo.gates.open import OpenGate
from tfgrpo.gates.paired import PairedGate, ScoreChanges

__all__ = [
    "LITE",
    "Alpha",
    "Design",
    "Gate",
    "MeanGate",
    "Missing",
    "Observation",
    "OpenGate",
    "PairedGate",
    "Rewards",
    "ScoreChanges",
    "Trial",
    "final",
    "harm_check",
]
