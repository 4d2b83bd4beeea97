"""Plain JSONL or CSV: an id, a score under one of the usual names, and what was answered.

Also the replay format `{"id", "before": [...], "after": [...]}`, whose rows are whole experiments: each position of the
two lists is an item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfgrpo.errors import BadRow
from tfgrpo.readers.documents import Document
from tfgrpo.readers.row import (
    Row,
    chat,
    content_id,
    flatten_numbers,
    float_or_none,
    message_text,
    number,
    numbered,
    sum_counts,
    text_of,
)

IDS = ("id", "item_id", "task_id", "problem_id", "example_id", "sample_id", "problem", "task", "name")
SCORES = ("score", "reward", "correct", "passed", "success", "is_correct", "pass", "accuracy", "result", "value")
TEXTS = ("text", "answer_text", "response", "output", "completion", "pred", "prediction", "generation")
QUESTIONS = ("question", "prompt", "input", "query", "instruction")
REFERENCES = ("answer", "gold", "reference", "target", "ideal", "expected")
ARMS = ("arm", "condition", "variant", "system", "version", "run")
FAILURES = ("failure", "error", "exception")


def matches(document: Document) -> bool:
    """Say whether the first object has something like an id or a question, and is not the replay format."""
    first = next(iter(document.objects), None)
    return first is not None and any(k in first for k in (*IDS, *QUESTIONS, "messages"))


def rows(document: Document) -> tuple[Row, ...]:
    """Return a row per object."""
    return numbered(_row(value) for value in document.objects)


def _row(value: Mapping[str, Any]) -> Row:
    messages = chat(value.get("messages"))
    question = _first(value, QUESTIONS)
    asked = text_of(question) if question is not None else message_text(messages, "user", last=False)
    scores = flatten_numbers(value.get("scores") or {})
    main = next((n for k in SCORES if (n := number(value.get(k))) is not None), next(iter(scores.values()), None))
    failure = text_of(_first(value, FAILURES))
    text = _first(value, TEXTS)
    reference = _first(value, REFERENCES)
    identity = _first(value, IDS)
    return Row(
        str(identity) if isinstance(identity, str | int) and str(identity) else content_id(asked or dict(value)),
        None if failure else main,
        {} if failure else {**scores, **({} if main is None else {"score": main})},
        text_of(text) if text is not None else message_text(messages, "assistant", last=True),
        failure,
        asked,
        None if reference is None else text_of(reference),
        text_of(_first(value, ARMS)),
        tokens=sum_counts(value.get("tokens"), value.get("prompt_tokens"), value.get("completion_tokens")),
        usd=float_or_none(value.get("usd", value.get("cost"))),
        seconds=float_or_none(value.get("seconds", value.get("latency"))),
        messages=messages,
    )


def _first(value: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((value[k] for k in keys if value.get(k) not in (None, "")), None)


def matches_replay(document: Document) -> bool:
    """Say whether the rows are in the replay format."""
    first = next(iter(document.objects), None)
    return first is not None and isinstance(first.get("before"), list) and isinstance(first.get("after"), list)


def replay_rows(document: Document) -> tuple[Row, ...]:
    """Return the rows of all experiments: arms `ID/before` and `ID/after`, items numbered from 0.

    A position may hold a list of trials. Raises BadRow where the two lists have not the same length.
    """
    found: list[Row] = []
    for place, value in enumerate(document.objects, 1):
        name = str(value.get("id", place))
        before, after = value.get("before"), value.get("after")
        if not isinstance(before, list) or not isinstance(after, list) or len(before) != len(after):
            raise BadRow(
                f"{document.path}:{place}: `before` and `after` must be lists of the same length, item by item"
            )
        ids = value.get("items") if isinstance(value.get("items"), list) else None
        for side, scores in (("before", before), ("after", after)):
            for item, score in enumerate(scores):
                trials = score if isinstance(score, list) else [score]
                identity = str(ids[item]) if ids and item < len(ids) else str(item)
                found += [_trial(identity, trial, f"{name}/{side}") for trial in trials]
    return numbered(found)


def matches_trials(document: Document) -> bool:
    """Say whether this is one object of arms, each with its trials by item: `{"arms": {ARM: {ITEM: [SCORE, ...]}}}`."""
    arms = document.value.get("arms") if isinstance(document.value, Mapping) else None
    return isinstance(arms, Mapping) and bool(arms) and all(isinstance(items, Mapping) for items in arms.values())


def trial_rows(document: Document) -> tuple[Row, ...]:
    """Return a row per trial."""
    arms: Mapping[str, Mapping[str, Any]] = document.value["arms"]
    return numbered(
        _trial(str(item), score, str(arm))
        for arm, items in arms.items()
        for item, scores in items.items()
        for score in (scores if isinstance(scores, list) else [scores])
    )


def _trial(identity: str, score: Any, arm: str) -> Row:
    told = number(score)
    scores = {} if told is None else {"score": told}
    return Row(identity, told, scores, failure="" if told is not None else "no score", arm=arm)
