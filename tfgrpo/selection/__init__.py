"""Which groups and rollouts teach: pure numbers, no model. Nothing is dropped without being counted.

In: rewards by group, lengths, success rates. Out: which to keep, and why the others left.
Read `dynamic.py` first; `filtered.py` keeps rollouts within a group, `early_stop.py` ends a group that has a contrast.
"""

from tfgrpo.selection.dynamic import Action, Informative, keep_informative, sampling_action
from tfgrpo.selection.early_stop import Wave, WaveReason, has_contrast, next_wave
from tfgrpo.selection.filtered import (
    AdaptiveK,
    Filtered,
    adaptive_k,
    adaptive_sizes,
    difficulty_quartiles,
    excess_length_reduction,
    gfpo,
)
from tfgrpo.selection.weights import Weighting, group_weights

__all__ = [
    "Action",
    "AdaptiveK",
    "Filtered",
    "Informative",
    "Wave",
    "WaveReason",
    "Weighting",
    "adaptive_k",
    "adaptive_sizes",
    "difficulty_quartiles",
    "excess_length_reduction",
    "gfpo",
    "group_weights",
    "has_contrast",
    "keep_informative",
    "next_wave",
    "sampling_action",
]
