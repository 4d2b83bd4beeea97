"""OpenAI Evals: logs of `oaieval`, exported runs and datasets of the hosted service that has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfgrpo.readers.documents import Document
from tfgrpo.readers.row import (
    Row,
    chat,
    content_id,
    flatten_numbers,
    message_text,
    number,
    numbered,
    sum_counts,
    text_of,
)

QUESTION_KEYS = ("question", "input", "prompt", "query", "text", "message")
ANSWER_KEYS = ("ideal", "answer", "correct_label", "ground_truth", "expected", "label", "reference_answer", "target")


def matches(document: Document) -> bool:
    """Say whether this is a log of `oaieval` or a list of output items."""
    objects = _objects(document)
    return any(_is_event(v) or _is_item(v) for v in objects[:3])


def rows(document: Document) -> tuple[Row, ...]:
    """Return a row per sample of a log, or per output item of an exported run."""
    objects = _objects(document)
    events = [v for v in objects if _is_event(v)]
    return _from_log(events) if events else numbered(_item(v) for v in objects if _is_item(v))


def matches_dataset(document: Document) -> bool:
    """Say whether this is a dataset: `{"item": {...}}`, or `{"input": [...], "ideal": ...}`."""
    first = next(iter(document.objects), None)
    return first is not None and (isinstance(first.get("item"), Mapping) or ("input" in first and "ideal" in first))


def dataset_rows(document: Document) -> tuple[Row, ...]:
    """Return a row per example, with question and answer and without a score."""
    found = []
    for value in document.objects:
        item = value["item"] if isinstance(value.get("item"), Mapping) else value
        found.append(_example(item))
    return tuple(found)


def _objects(document: Document) -> Sequence[Mapping[str, Any]]:
    value = document.value
    if document.kind == "json" and isinstance(value, Mapping) and isinstance(value.get("data"), list):
        return [v for v in value["data"] if isinstance(v, Mapping)]
    return document.objects


def _is_event(value: Mapping[str, Any]) -> bool:
    return "spec" in value or "final_report" in value or ("sample_id" in value and "event_id" in value)


def _is_item(value: Mapping[str, Any]) -> bool:
    return "datasource_item" in value or value.get("object") == "eval.run.output_item"


def _from_log(events: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    by_sample: dict[str, dict[str, Any]] = {}
    for event in events:
        if "sample_id" not in event:
            continue
        sample = by_sample.setdefault(str(event["sample_id"]), {"scores": {}, "text": "", "question": "", "error": ""})
        data = event.get("data") if isinstance(event.get("data"), Mapping) else {}
        assert isinstance(data, Mapping)
        match event.get("type"):
            case "sampling":
                prompt = data.get("prompt")
                sample["question"] = message_text(chat(prompt), "user", last=True) or text_of(prompt)
                sample["text"] = text_of(data.get("sampled"))
            case "match":
                sample["scores"]["correct"] = number(data.get("correct"))
                sample["answer"] = text_of(data.get("expected"))
            case "metrics":
                sample["scores"] |= flatten_numbers(data)
            case "error":
                sample["error"] = text_of(data.get("message") or data.get("error")) or "error"
    return numbered(_logged(name, sample) for name, sample in by_sample.items())


def _logged(name: str, sample: Mapping[str, Any]) -> Row:
    scores = {k: v for k, v in sample["scores"].items() if v is not None}
    main = None if sample["error"] else next(iter(scores.values()), None)
    failed = sample["error"] or ("" if scores else "no score")
    return Row(name, main, scores, sample["text"], failed, sample["question"], sample.get("answer") or None)


def _item(value: Mapping[str, Any]) -> Row:
    example = _example(value.get("datasource_item") or {})
    sample = value.get("sample") if isinstance(value.get("sample"), Mapping) else {}
    assert isinstance(sample, Mapping)
    results = [r for r in value.get("results") or () if isinstance(r, Mapping)]
    told = {str(r.get("name", "score")): number(r.get("score", r.get("passed"))) for r in results}
    scores = {name: score for name, score in told.items() if score is not None}
    passed = number(value.get("status")) if value.get("status") in ("pass", "fail") else None
    error = sample.get("error")
    failed = text_of(error) if error else ("error" if value.get("status") in ("error", "errored") else "")
    if passed is not None:
        scores["passed"] = passed
    main = passed if passed is not None else next(iter(scores.values()), None)
    usage = sample.get("usage") if isinstance(sample.get("usage"), Mapping) else {}
    assert isinstance(usage, Mapping)
    identity = value.get("datasource_item_id")
    return Row(
        str(identity) if identity is not None else example.id,
        None if failed else main,
        {} if failed else scores,
        message_text(chat(sample.get("output")), "assistant", last=True),
        failed or ("" if main is not None else "no result"),
        example.question or message_text(chat(sample.get("input")), "user", last=True),
        example.answer,
        tokens=sum_counts(usage.get("total_tokens")),
    )


def _example(item: Mapping[str, Any]) -> Row:
    given = next((item[k] for k in QUESTION_KEYS if item.get(k)), None)
    asked = message_text(chat(given), "user", last=True) or text_of(given if given is not None else item)
    answer = next((item[k] for k in ANSWER_KEYS if item.get(k) is not None), None)
    first = answer[0] if isinstance(answer, list) and answer else answer
    identity = item.get("id")
    return Row(
        str(identity) if identity is not None else content_id(asked), question=asked, answer=text_of(first) or None
    )
