"""HICRA: what a rollout planned comes before what it calculated, and what failed in calculating only teaches no plan.

Source: arXiv 2509.03646. Telling slips apart is ours: the method helps where failures are failures of planning.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tfgrpo.config import LearnConfig
from tfgrpo.edit_scores.strategic_grams import StrategicGrams, mine, semantic_entropy, sentences, words
from tfgrpo.methods.judging import CORRECT, accuracy
from tfgrpo.methods.memory import Memory
from tfgrpo.types import Group, GroupStatus

FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
MOST_TEXTS = 1000
"""Correct rollouts that strategic grams are mined from, the newest."""


def correct_answers(groups: Sequence[Group]) -> tuple[str, ...]:
    """Answers of the correct rollouts of some groups."""
    return tuple(r.answer for g in groups for r, a in zip(g.rollouts_G, accuracy(g), strict=True) if a > CORRECT)


def planned(groups: Sequence[Group], memory: Memory, config: LearnConfig) -> tuple[tuple[Group, ...], dict[str, Any]]:
    """Mine strategic grams from all correct rollouts known, and watch how varied this batch's strategies are."""
    here = correct_answers(groups)
    found = mine((*memory.correct, *here)[-MOST_TEXTS:], clustering=config.lessons.clusters)  # type: ignore[arg-type]
    entropy = semantic_entropy(_frequencies(found, here))
    watched = {
        "strategic_grams": len(found.grams),
        "clustering": found.clustering,
        "semantic_entropy": entropy.value,
        "semantic_entropy_normalized": entropy.normalized,
    }
    marked = tuple(replace(g, grams=found.grams) for g in groups)
    if config.lessons.slips == "skip":
        marked = tuple(without_slips(g) for g in marked)
        watched["slips"] = sum(a.status is not b.status for a, b in zip(groups, marked, strict=True))
    return marked, watched


def without_slips(group: Group) -> Group:
    """Leave out the wrong rollouts that are execution slips; without any other wrong one the group teaches nothing.

    A slip says what some right rollout says, sentence by sentence, and differs from it in figures only.
    """
    if group.status is not GroupStatus.KEPT:
        return group
    said = [_masked(r.answer) for r in group.rollouts_G]
    values = accuracy(group)
    right = [said[i] for i, a in enumerate(values) if a > CORRECT]
    slips = {i for i, a in enumerate(values) if a <= CORRECT and said[i] in right}
    if not slips:
        return group
    shown = range(len(values)) if group.shown is None else group.shown
    rest = tuple(i for i in shown if i not in slips and not math.isnan(group.rewards_G[i]))
    lost = not any(values[i] <= CORRECT for i in rest)
    return replace(group, shown=rest, status=GroupStatus.FILTERED if lost else group.status)


def _masked(text: str) -> frozenset[str]:
    """The sentences of an answer with every figure hidden; signs and words stay."""
    return frozenset(FIGURE.sub("#", sentence.lower()).strip() for sentence in sentences(text))


def _frequencies(found: StrategicGrams, answers: Sequence[str]) -> list[int]:
    """In how many answers each kept cluster occurs."""
    texts = [f" {' '.join(words(answer))} " for answer in answers]
    return [sum(any(f" {gram} " in text for gram in found.clusters[name]) for text in texts) for name in found.kept]
