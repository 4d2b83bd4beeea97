"""HELM: `display_predictions.json` or `per_instance_stats.json` of a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfgrpo.readers.documents import Document
from tfgrpo.readers.row import Row, number, numbered, text_of

MAIN = ("exact_match", "quasi_exact_match", "prefix_exact_match", "quasi_prefix_exact_match",
        "final_number_exact_match", "math_equiv_chain_of_thought", "f1_score", "rouge_l", "bleu_4")  # fmt: skip
"""Which of HELM's many statistics is the main score, the first that is there."""


def matches(document: Document) -> bool:
    """Say whether these are per-instance results of HELM."""
    first = next(iter(document.objects), None)
    return first is not None and "instance_id" in first and "stats" in first


def rows(document: Document) -> tuple[Row, ...]:
    """Return a row per instance, perturbation and training trial."""
    return numbered(map(_row, document.objects))


def _row(item: Mapping[str, Any]) -> Row:
    stats = item["stats"]
    scores: dict[str, float] = {}
    if isinstance(stats, Mapping):
        scores = {str(k): v for k, given in stats.items() if (v := number(given)) is not None}
    else:
        for stat in stats:
            name = stat.get("name")
            told = number(stat.get("mean", stat.get("sum")))
            if isinstance(name, Mapping) and not name.get("perturbation") and told is not None:
                scores[str(name.get("name"))] = told
    perturbation = item.get("perturbation")
    ending = f"/{perturbation.get('name')}" if isinstance(perturbation, Mapping) else ""
    main = next((scores[name] for name in MAIN if name in scores), next(iter(scores.values()), None))
    said = text_of(item.get("predicted_text"))
    return Row(f"{item['instance_id']}{ending}", main, scores, said, "" if scores else "no statistic")
