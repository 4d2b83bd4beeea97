"""verifiers: `traces.jsonl` of version 0.4 and `results.jsonl` of the versions before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def matches(document: Document) -> bool:
    """Say whether these are traces or results of verifiers."""
    first = next(iter(document.objects), None)
    return first is not None and (_is_trace(first) or _is_bundle(first) or _is_result(first))


def rows(document: Document) -> tuple[Row, ...]:
    """Return a row per trace of a trainable agent, or per result."""
    found: list[Row] = []
    for value in document.objects:
        if _is_bundle(value):
            found += [_trace(t) for t in value["traces"] if isinstance(t, Mapping) and _is_trace(t)]
        elif _is_trace(value):
            found.append(_trace(value))
        elif _is_result(value):
            found.append(_result(value))
    return numbered(found)


def _is_bundle(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("traces"), list) and isinstance(value.get("task"), Mapping)


def _is_trace(value: Mapping[str, Any]) -> bool:
    return "nodes" in value and "rewards" in value and "task" in value


def _is_result(value: Mapping[str, Any]) -> bool:
    return "completion" in value and "reward" in value and ("example_id" in value or "prompt" in value)


def _trace(trace: Mapping[str, Any]) -> Row:
    task = trace.get("task") if isinstance(trace.get("task"), Mapping) else {}
    assert isinstance(task, Mapping)
    data = task.get("data") if isinstance(task.get("data"), Mapping) else {}
    assert isinstance(data, Mapping)
    rewards = {str(k): r for k, r in (trace.get("rewards") or {}).items() if isinstance(r, Mapping)}
    scores = {name: float(r.get("score", 0.0)) for name, r in rewards.items()}
    main = sum(float(r.get("score", 0.0)) * float(r.get("weight", 1.0)) for r in rewards.values()) if rewards else None
    messages = chat([n["message"] for n in trace.get("nodes") or () if isinstance(n, Mapping) and "message" in n])
    errors = [text_of(e.get("message") or e.get("type")) for e in trace.get("errors") or () if isinstance(e, Mapping)]
    failed = errors[-1] if errors and not trace.get("ok") else ("" if rewards else "no reward")
    usage = [sum_counts(trace.get("num_input_tokens"), trace.get("num_output_tokens"))]
    told = {**scores, **flatten_numbers(trace.get("metrics") or {}), **({} if main is None else {"reward": main})}
    identity = data.get("id") or data.get("name") or task.get("key")
    asked = text_of(data.get("prompt")) or message_text(messages, "user", last=False)
    return Row(
        str(identity) if identity else (content_id(asked) if asked else str(data.get("idx", ""))),
        None if failed else main,
        {} if failed else told,
        text_of(trace.get("root_reply")) or message_text(messages, "assistant", last=True),
        failed,
        asked,
        tokens=usage[0],
        messages=messages,
    )


def _result(value: Mapping[str, Any]) -> Row:
    prompt, completion = chat(value.get("prompt")), chat(value.get("completion"))
    asked = message_text(prompt, "user", last=True) or text_of(value.get("prompt"))
    plain = {str(k): n for k, v in value.items() if isinstance(v, int | float) and (n := number(v)) is not None}
    scores = {k: v for k, v in plain.items() if k not in ("example_id", "id", "reward") and not k.endswith("_ms")}
    failed = text_of(value.get("error"))
    main = number(value.get("reward"))
    milliseconds = float_or_none(value.get("generation_ms"))
    return Row(
        str(value["example_id"]) if value.get("example_id") is not None else content_id(asked),
        None if failed else main,
        {} if failed or main is None else {"reward": main, **scores},
        message_text(completion, "assistant", last=True) or text_of(value.get("completion")),
        failed,
        asked,
        text_of(value.get("answer")) or None,
        seconds=None if milliseconds is None else milliseconds / 1000,
        messages=(*prompt, *completion),
    )
