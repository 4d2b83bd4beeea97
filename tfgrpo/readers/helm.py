"""HELM: the folder of a run, or one of its files.

`per_instance_stats.json` holds the scores, `scenario_state.json` questions and answers, `display_predictions.json` (of
`helm-summarize`) answers and some of the scores; all others say nothing of a single instance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfgrpo.readers.documents import Document
from tfgrpo.readers.row import Row, float_or_none, number, numbered, sum_counts, text_of

MAIN = ("exact_match", "quasi_exact_match", "prefix_exact_match", "quasi_prefix_exact_match",
        "final_number_exact_match", "math_equiv_chain_of_thought", "f1_score", "rouge_l", "bleu_4")  # fmt: skip
"""Which of HELM's many statistics is the main score, the first that is there."""
BOOKS = re.compile(
    r"num_|finish_reason_|training_|inference_|batch_size|prompt_truncated|max_prob|logprob|perplexity|bits_per_|runtime"
)
"""How statistics begin that keep books of a call and score nothing."""
SCORED, SHOWN, STATE = "per_instance_stats.json", "display_predictions.json", "scenario_state.json"
OTHERS = frozenset({"stats.json", "run_spec.json", "scenario.json", "instances.json", "display_requests.json"})
NO_SCORE = "no statistic"


def matches(document: Document) -> bool:
    """Say whether these are per-instance results of HELM."""
    if document.kind == "json" and isinstance(document.value, Mapping):
        return isinstance(document.value.get("request_states"), list)
    first = next(iter(document.objects), None)
    return first is not None and "instance_id" in first and "stats" in first


def rows(document: Document) -> tuple[Row, ...]:
    """Return a row per instance, perturbation and training trial."""
    if isinstance(document.value, Mapping) and "request_states" in document.value:
        return numbered(_asked(state) for state in document.value["request_states"] if isinstance(state, Mapping))
    return numbered(map(_row, document.objects))


def says_nothing(file: Path) -> bool:
    """Say whether a file of a run's folder holds no results by itself."""
    return file.name in OTHERS and file.with_name(SCORED).is_file()


def join(parts: Iterable[Sequence[Row]]) -> tuple[Row, ...]:
    """Return the rows of several files of one run as one row per attempt: the scores of one, the words of another."""
    found: dict[tuple[str, int], Row] = {}
    for row in (row for rows_of_file in parts for row in rows_of_file):
        key = (row.id, row.index)
        found[key] = _both(found[key], row) if key in found else row
    return tuple(found.values())


def _both(one: Row, other: Row) -> Row:
    scored = one if one.scores else other
    return replace(
        scored,
        text=one.text or other.text,
        question=one.question or other.question,
        answer=one.answer or other.answer,
        scores={**other.scores, **one.scores},
    )


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
    judging = [name for name in scores if not BOOKS.match(name)]
    main = next((scores[name] for name in MAIN if name in scores), scores[judging[0]] if len(judging) == 1 else None)
    many = f"which is the score? Give --metric, one of {', '.join(judging)}" if judging else NO_SCORE
    return Row(
        _identity(item["instance_id"], item.get("perturbation")),
        main,
        scores,
        text_of(item.get("predicted_text")),
        "" if main is not None else many,
        tokens=sum_counts(scores.get("num_prompt_tokens"), scores.get("num_output_tokens")),
        seconds=float_or_none(scores.get("inference_runtime")),
    )


def _asked(state: Mapping[str, Any]) -> Row:
    instance, result = (_object(state.get(name)) for name in ("instance", "result"))
    said = _object(next(iter(result.get("completions") or ()), None)).get("text")
    right = [r for r in instance.get("references") or () if "correct" in (_object(r).get("tags") or ())]
    return Row(
        _identity(instance.get("id"), instance.get("perturbation")),
        text=text_of(said),
        failure=text_of(result.get("error")) or NO_SCORE,
        question=text_of(_object(instance.get("input")).get("text")),
        answer=text_of(_object(right[0].get("output")).get("text")) if right else None,
    )


def _identity(name: Any, perturbation: Any) -> str:
    changed = perturbation.get("name") if isinstance(perturbation, Mapping) else None
    return f"{name}/{changed}" if changed else str(name)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
