"""Exports of tools that watch apps: W&B Weave calls, Langfuse traces, OpenTelemetry spans of the GenAI conventions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
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
from tfgrpo.system.untrusted_json import loads

Object = Mapping[str, Any]
SPAN_IDS = ("test.case.id", "test.case.name", "gen_ai.evaluation.item.id", "dataset.item.id", "example.id",
            "langfuse.dataset.item.id", "tfgrpo.problem.id")  # fmt: skip
"""Attributes that name the item of a span; without one the input itself does."""
SIGNALS = {"resourceSpans": ("scopeSpans", "spans"), "resourceLogs": ("scopeLogs", "logRecords")}
"""How OTLP nests: evaluations come as events of a span, or as records of a log with the same trace."""
SPAN_ARMS = ("tfgrpo.arm", "experiment.name", "gen_ai.prompt.name")


def matches_weave(document: Document) -> bool:
    """Say whether these are exported calls of Weave."""
    return any("op_name" in value for value in document.objects[:3])


def weave_rows(document: Document) -> tuple[Row, ...]:
    """Return a row per call of `predict_and_score`."""
    calls = [v for v in document.objects if "predict_and_score" in str(v.get("op_name"))]
    models = {_model(_object(call.get("inputs")).get("model")) for call in calls}
    short = {name: name.partition(":")[0] for name in models}
    # The name alone says more than the digest behind it, where no two versions of a model are compared.
    plain = len(set(short.values())) == len(short)
    asked = {str(v.get("parent_id")): words for v in document.objects if (words := _predicted(v))}
    found = [_weave(call, asked.get(str(call.get("id")), "")) for call in calls]
    return numbered(replace(row, arm=short[row.arm] if plain else row.arm) for row in found)


def _predicted(call: Object) -> str:
    """Return what a model was asked in a call of its own, below the one that scores; '' for another call."""
    name = str(call.get("op_name")).rpartition("/op/")[2].partition(":")[0]
    if not name.endswith((".predict", ".invoke", ".infer", ".forward", ".evaluate_sample")):
        return ""
    inputs = _object(call.get("inputs")).items()
    # A row of a published dataset is told by reference, which says nothing to a reader.
    given = {k: v for k, v in inputs if k != "self" and not str(v).startswith("weave:///")}
    return text_of(next(iter(given.values()))) if len(given) == 1 else text_of(given) if given else ""


def _weave(call: Object, told: str) -> Row:
    inputs, output = _object(call.get("inputs")), _object(call.get("output"))
    example = inputs.get("example")
    scores = flatten_numbers(output.get("scores") or {})
    fields = _object(example)
    identity = fields.get("id") or (
        str(example).rpartition("/")[2] if isinstance(example, str) else content_id(example)
    )
    asked = next((text_of(fields[k]) for k in ("question", "prompt", "input", "query") if fields.get(k)), "")
    failed = text_of(call.get("exception"))
    return Row(
        str(identity),
        None if failed else next(iter(scores.values()), None),
        {} if failed else scores,
        text_of(output.get("output", output.get("model_output"))),
        failed or ("" if scores else "no score"),
        asked or told,
        arm=_model(inputs.get("model")),
        seconds=float_or_none(output.get("model_latency")),
    )


def _model(given: Any) -> str:
    if isinstance(given, Mapping):
        return str(given.get("name") or given.get("_class_name") or content_id(given))
    return str(given or "").rpartition("/object/")[2] or str(given or "")


def matches_langfuse(document: Document) -> bool:
    """Say whether these are exported traces or dataset run items of Langfuse."""
    first = next(iter(_langfuse(document)), None)
    if first is None or "input" not in first or "output" not in first:
        return False
    return any(
        k in first
        for k in (
            "scores",
            "totalCost",
            "datasetItemId",
            "dataset_item_id",
            "observations",
            "sessionId",
            "experimentItemId",
            "experiment_item_id",
        )
    )


def langfuse_rows(document: Document) -> tuple[Row, ...]:
    """Return a row per trace or run item; the arm is the dataset run, else the release or version."""
    return numbered(map(_langfuse_row, _langfuse(document)))


def _langfuse(document: Document) -> Sequence[Object]:
    value = document.value
    if document.kind == "json" and isinstance(value, Mapping) and isinstance(value.get("data"), list):
        return [v for v in value["data"] if isinstance(v, Mapping)]
    return document.objects


def _langfuse_row(trace: Object) -> Row:
    meta, given = _object(trace.get("metadata")), _parsed(trace.get("input"))
    scores: dict[str, float] = {}
    listed = _parsed(trace.get("scores"))
    if isinstance(listed, Mapping):
        scores = flatten_numbers(listed)
    for score in listed if isinstance(listed, list) else ():
        told = number(score.get("value", score.get("stringValue"))) if isinstance(score, Mapping) else None
        if told is not None:
            scores[str(score.get("name", "score"))] = told
    keys = ("datasetItemId", "dataset_item_id", "sourceDatasetItemId", "experimentItemId", "experiment_item_id")
    identity = next((str(place[k]) for place in (trace, meta) for k in keys if place.get(k)), content_id(given))
    arms = ("datasetRunName", "dataset_run_name", "experimentName", "experiment_name", "runName", "release", "version")
    arm = next((str(place[k]) for place in (trace, meta) for k in arms if place.get(k)), "")
    failed = text_of(trace.get("statusMessage")) if trace.get("level") == "ERROR" else ""
    messages = chat(given if isinstance(given, list) else _object(given).get("messages"))
    return Row(
        identity,
        None if failed else next(iter(scores.values()), None),
        {} if failed else scores,
        text_of(_parsed(trace.get("output"))),
        failed or ("" if scores else "no score"),
        message_text(messages, "user", last=True) or text_of(given),
        text_of(_parsed(trace.get("expectedOutput", trace.get("expected_output")))) or None,
        arm,
        usd=float_or_none(trace.get("totalCost")),
        seconds=float_or_none(trace.get("latency")),
    )


def matches_otel(document: Document) -> bool:
    """Say whether these are spans: OTLP JSON, or the JSON of an exporter."""
    first = next(iter(document.objects), document.value)
    if not isinstance(first, Mapping):
        return False
    return any(k in first for k in SIGNALS) or ("attributes" in first and ("context" in first or "traceId" in first))


def otel_rows(document: Document) -> tuple[Row, ...]:
    """Return a row per trace with a GenAI span; scores come from its `gen_ai.evaluation.result` events."""
    traces: dict[str, list[Object]] = {}
    for value in document.objects or (document.value,):
        for span in _spans(value):
            traces.setdefault(_trace_id(span), []).append(span)
    found = (_trace_row(spans) for spans in traces.values())
    return numbered(row for row in found if row is not None)


def _spans(value: Object) -> Iterator[Object]:
    if not any(k in value for k in SIGNALS):
        yield value
        return
    for signal, (scopes, records) in SIGNALS.items():
        for resource in value.get(signal) or ():
            for scope in resource.get(scopes) or resource.get("instrumentationLibrarySpans") or ():
                for record in scope.get(records) or ():
                    yield record if records == "spans" else _as_span(record)


def _as_span(record: Object) -> Object:
    """Return a record of a log as a span that has it as its only event."""
    name = record.get("eventName") or _attributes(record.get("attributes")).get("event.name")
    return {"traceId": record.get("traceId"), "events": [{"name": name, "attributes": record.get("attributes")}]}


def _trace_id(span: Object) -> str:
    return str(span.get("traceId") or _object(span.get("context")).get("trace_id") or "")


def _trace_row(spans: Sequence[Object]) -> Row | None:
    told = [_attributes(span.get("attributes")) for span in spans]
    together: dict[str, Any] = {}
    for attributes in told:
        together = {**attributes, **together}
    if not any(key.startswith("gen_ai.") for key in together):
        return None
    scores = _evaluations(spans)
    asked, said_last = together.get("gen_ai.input.messages"), told[-1].get("gen_ai.output.messages")
    output = said_last if said_last is not None else together.get("gen_ai.output.messages")
    messages = chat(_parsed(asked))
    identity = next(
        (str(together[k]) for k in SPAN_IDS if k in together), content_id(asked if asked is not None else together)
    )
    error = text_of(together.get("error.type"))
    return Row(
        identity,
        None if error else next(iter(scores.values()), None),
        {} if error else scores,
        message_text(chat(_parsed(output)), "assistant", last=True) or text_of(_parsed(output)),
        error or ("" if scores else "no gen_ai.evaluation.result"),
        message_text(messages, "user", last=True) or text_of(_parsed(asked)),
        arm=next((str(together[k]) for k in SPAN_ARMS if k in together), ""),
        tokens=sum_counts(*(a.get(f"gen_ai.usage.{side}_tokens") for a in told for side in ("input", "output"))),
        messages=messages,
    )


def _evaluations(spans: Iterable[Object]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for span in spans:
        for event in span.get("events") or ():
            if event.get("name") == "gen_ai.evaluation.result":
                given = _attributes(event.get("attributes"))
                value = number(given.get("gen_ai.evaluation.score.value", given.get("gen_ai.evaluation.score.label")))
                if value is not None:
                    scores[str(given.get("gen_ai.evaluation.name", "score"))] = value
    return scores


def _attributes(given: Any) -> dict[str, Any]:
    """Return attributes as a plain object, from OTLP's list of typed values or from one."""
    if isinstance(given, Mapping):
        return dict(given)
    found = {}
    for pair in given or ():
        found[str(pair.get("key"))] = _any_value(pair.get("value"))
    return found


def _any_value(given: Any) -> Any:
    """Return what a typed value of OTLP holds."""
    for kind, value in given.items() if isinstance(given, Mapping) else ():
        match kind:
            case "intValue":
                return int(value)
            case "arrayValue":
                return [_any_value(v) for v in _object(value).get("values") or ()]
            case "kvlistValue":
                return _attributes(_object(value).get("values"))
            case _:
                return value
    return None


def _object(value: Any) -> Object:
    value = _parsed(value)
    return value if isinstance(value, Mapping) else {}


def _parsed(value: Any) -> Any:
    """Return what a text that holds JSON says; anything else as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return loads(value, forgiving=True)
        except ValueError:
            return value
    return value
