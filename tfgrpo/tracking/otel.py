"""A run as OpenTelemetry spans and events, by the semantic conventions of generative AI.

One span for the run, one `chat` span for each rollout below it, and for each score of a rollout an event
`gen_ai.evaluation.result` at its span. The conventions
(opentelemetry.io/docs/specs/semconv/gen-ai) are in development; names are those of semconv 1.38 and later.
Words of prompts, answers and graders are left out unless they are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from opentelemetry._logs import Logger, LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, StatusCode, Tracer, set_span_in_context

from experience_db import Run, Store
from tfgrpo.tracking.tracked import Row, rollouts, tracked
from tfgrpo.version import __version__

NANO = 1_000_000_000


class OtlpRun:
    """The spans and events of a run, sent to a collector over OTLP/HTTP as they come."""

    def __init__(self, store: Store, run: Run, endpoint: str = "", *, content: bool = False):
        """Begin the span of the run.

        Args:
            store: where the run is.
            run: which.
            endpoint: as `http://localhost:4318`; empty leaves it to OTEL_EXPORTER_OTLP_ENDPOINT.
            content: also words of prompts, answers and graders.
        """
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter  # noqa: PLC0415
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        place = endpoint.rstrip("/")
        spans = OTLPSpanExporter(f"{place}/v1/traces") if place else OTLPSpanExporter()
        logs = OTLPLogExporter(f"{place}/v1/logs") if place else OTLPLogExporter()
        resource = Resource.create({"service.name": "tfgrpo", "service.version": __version__})
        self._tracing, self._logging = TracerProvider(resource=resource), LoggerProvider(resource=resource)
        self._tracing.add_span_processor(BatchSpanProcessor(spans))
        self._logging.add_log_record_processor(BatchLogRecordProcessor(logs))
        self._spans = Spans(
            run, self._tracing.get_tracer("tfgrpo"), self._logging.get_logger("tfgrpo"), content=content
        )

    def update(self, store: Store, run: Run) -> int:
        """Send the rollouts of the steps that have ended since; returns how many steps."""
        steps = self._spans.update(store, run)
        self._tracing.force_flush()
        self._logging.force_flush()
        return steps

    def close(self, store: Store, run: Run) -> str:
        """Send the span of the run itself; returns what was sent, in words."""
        try:
            self._spans.close(store, run)
        finally:
            self._tracing.shutdown()
            self._logging.shutdown()
        return (
            f"{self._spans.spans} spans and {self._spans.events} evaluation results of run {run.name} were handed to "
            "the exporter"
        )


class Spans:
    """Makes the spans and events of a run, step by step."""

    def __init__(self, run: Run, tracer: Tracer, logger: Logger, *, content: bool = False):
        """Begin the span of the run; it is sent last, when it ends."""
        self._tracer, self._logger, self._content = tracer, logger, content
        self._root = tracer.start_span(f"tfgrpo {run.kind}", start_time=_time(run.started))
        self._next, self._ended = 0, run.started
        self.spans = self.events = 0

    def update(self, store: Store, run: Run) -> int:
        """Make a span for each rollout of the steps that have ended since; returns how many steps."""
        steps = [step for step in store.steps(run.id) if step.step >= self._next]
        model = str(run.config.get("model") or "")
        for step in steps:
            for group, rollout, scores in rollouts(store, run, step.step):
                self._rollout(group, rollout, scores, model, step.created)
        self._next += len(steps)
        self._ended = max([self._ended, *(step.created for step in steps)])
        return len(steps)

    def close(self, store: Store, run: Run) -> None:
        """End the span of the run, with its numbers and how it ended."""
        numbers = {f"tfgrpo.{key.replace('/', '.')}": v for key, v in tracked(store, run).totals.items()}
        named = {"tfgrpo.run": run.name, "tfgrpo.library": run.library or "", "tfgrpo.status": run.status}
        self._root.set_attributes(named | numbers)
        if run.status in ("failed", "died"):
            self._root.set_status(StatusCode.ERROR)
        self._root.end(end_time=_time(max(run.finished or self._ended, run.started)))
        self.spans += 1

    def _rollout(self, group: Row, rollout: Row, scores: list[Row], model: str, end: float) -> None:
        """One rollout; when it ended is not stored, its step's end is."""
        start = end - max(float(rollout["seconds"] or 0.0), 0.0)
        span = self._tracer.start_span(
            f"chat {model}", set_span_in_context(self._root), start_time=_time(start),
            attributes=_attributes(group, rollout, model, content=self._content),
        )  # fmt: skip
        if rollout["failure"]:
            span.set_attribute("error.type", rollout["failure"]["kind"])
            span.set_status(StatusCode.ERROR, rollout["failure"]["message"] if self._content else "")
        for score in scores:
            _evaluated(self._logger, span, score, _time(end), content=self._content)
        span.end(end_time=_time(end))
        self.spans += 1
        self.events += len(scores)


def _attributes(group: Row, rollout: Row, model: str, *, content: bool) -> Mapping[str, Any]:
    provider, found, name = model.partition("/")
    told: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider if found else "tfgrpo",
        "gen_ai.request.model": name or model,
        "gen_ai.usage.input_tokens": int(rollout["usage"]["prompt_tokens"] or 0),
        "gen_ai.usage.output_tokens": int(rollout["usage"]["completion_tokens"] or 0),
        "tfgrpo.problem": str(group["problem"].get("id", "")),
        "tfgrpo.step": int(group["step"]),
        "tfgrpo.rollout": int(rollout["index"]),
        "tfgrpo.version": int(group["version"]),
    }
    if rollout["finish_reason"]:
        told["gen_ai.response.finish_reasons"] = [rollout["finish_reason"]]
    if content:
        given = [_message(m) for m in rollout["messages"] if m.get("role") != "assistant"]
        told["gen_ai.input.messages"] = json.dumps(given, ensure_ascii=False)
        answer = {**_message({"role": "assistant", "content": rollout["answer"]}),
                  "finish_reason": rollout["finish_reason"] or "stop"}  # fmt: skip
        told["gen_ai.output.messages"] = json.dumps([answer], ensure_ascii=False)
    return told


def _message(message: Row) -> dict[str, Any]:
    """A message in the form of the conventions: a role and parts."""
    return {"role": message.get("role"), "parts": [{"type": "text", "content": str(message.get("content") or "")}]}


def _evaluated(logger: Logger, span: Span, score: Row, when: int, *, content: bool) -> None:
    """Emit one score of a rollout."""
    told: dict[str, Any] = {"gen_ai.evaluation.name": score["name"] or "grader"}
    if score["value"] is not None:
        told["gen_ai.evaluation.score.value"] = float(score["value"])
    if score["failure"]:
        told["error.type"] = score["failure"]["kind"]
    if content and score["why"]:
        told["gen_ai.evaluation.explanation"] = score["why"]
    at = set_span_in_context(span)
    record = LogRecord(timestamp=when, context=at, event_name="gen_ai.evaluation.result", attributes=told)
    logger.emit(record)


def _time(seconds: float) -> int:
    return int(seconds * NANO)
