"""Gates: what decides accept, reject or undecided for an edit or a bundle of edits."""

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
