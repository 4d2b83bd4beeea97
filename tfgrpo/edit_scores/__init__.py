"""Log-probs to scores of an edit: pure numbers, no model.

In: log-probs of stored tokens under two libraries. Out: a gain per edit with its coverage. These rank, prune and
veto; a likelihood of old rollouts is not accuracy, so none of them is called improvement. Never score an edit on the
rollouts it was distilled from, and score both sides by the same teacher-forced route. Read `tokens.py` first, then
`surrogate.py`; `teacher_forced.py` and `factory.py` get the log-probs from a model.
"""

from tfgrpo.edit_scores.calibration import (
    ForgettingVeto,
    ImportanceWeights,
    clip_from_floor,
    distinguishable,
    effective_sample_size,
    forgetting_veto,
    log_prob,
    noise_floor,
)
from tfgrpo.edit_scores.disco import (
    Disco,
    DiscoBatch,
    DiscoGain,
    disco,
    disco_batch,
    disco_gain,
    disco_gradient,
    disco_scores,
    kl_hinge,
)
from tfgrpo.edit_scores.gspo import Gspo, Outside, gspo, outside, sequence_ratios
from tfgrpo.edit_scores.gvpo import Gvpo, PooledGvpo, gvpo, gvpo_len_norm, gvpo_pooled
from tfgrpo.edit_scores.hicra import HicraGain, hicra_gain, mean_advantage, planning_advantages
from tfgrpo.edit_scores.kl import adaptive_beta, kl, kl_tokens, proportional_beta
from tfgrpo.edit_scores.strategic_grams import (
    SemanticEntropy,
    StrategicGrams,
    cluster_document_frequency,
    keep_top,
    mine,
    planning_mask,
    planning_ratio,
    planning_sentences,
    planning_tokens,
    planning_tokens_spread,
    semantic_entropy,
    spells,
)
from tfgrpo.edit_scores.surrogate import CLIPS, Clip, Surrogate, aggregate, identity_value, surrogate, worth_testing
from tfgrpo.edit_scores.tokens import coverage, mean_log_ratios, sum_log_ratios

__all__ = [
    "CLIPS",
    "Clip",
    "Disco",
    "DiscoBatch",
    "DiscoGain",
    "ForgettingVeto",
    "Gspo",
    "Gvpo",
    "HicraGain",
    "ImportanceWeights",
    "Outside",
    "PooledGvpo",
    "SemanticEntropy",
    "StrategicGrams",
    "Surrogate",
    "adaptive_beta",
    "aggregate",
    "clip_from_floor",
    "cluster_document_frequency",
    "coverage",
    "disco",
    "disco_batch",
    "disco_gain",
    "disco_gradient",
    "disco_scores",
    "distinguishable",
    "effective_sample_size",
    "forgetting_veto",
    "gspo",
    "gvpo",
    "gvpo_len_norm",
    "gvpo_pooled",
    "hicra_gain",
    "identity_value",
    "keep_top",
    "kl",
    "kl_hinge",
    "kl_tokens",
    "log_prob",
    "mean_advantage",
    "mean_log_ratios",
    "mine",
    "noise_floor",
    "outside",
    "planning_advantages",
    "planning_mask",
    "planning_ratio",
    "planning_sentences",
    "planning_tokens",
    "planning_tokens_spread",
    "proportional_beta",
    "semantic_entropy",
    "sequence_ratios",
    "spells",
    "sum_log_ratios",
    "surrogate",
    "worth_testing",
]
