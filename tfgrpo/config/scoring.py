"""What a configuration needs log-probs of stored rollouts for."""

from __future__ import annotations

from tfgrpo.config.tables import LearnConfig


def gate_scores_edits(config: LearnConfig) -> bool:
    """Say whether the gate itself scores edits on stored rollouts."""
    return config.gate.kind == "likelihood" or bool(config.gate.options.get("prefilter"))


def wants_scores(config: LearnConfig) -> bool:
    """Say whether scores order what comes before the gate, where they can be had."""
    return config.edit_score.order != "off" and config.gate.kind != "open" and not config.search.kind


def bounds_by_scores(config: LearnConfig) -> bool:
    """Say whether scores bound how far a version may move, where they can be had."""
    return config.gate.max_kl is not None and not config.search.kind


def needs_scores(config: LearnConfig) -> bool:
    """Say whether a run makes no sense without log-probs of stored rollouts."""
    ordered = wants_scores(config) and config.edit_score.order == "on"
    return gate_scores_edits(config) or config.gate.options.get("touch") == "likelihood" or ordered
