"""Spans of OpenTelemetry's instrumentation of OpenAI's client, by the console exporter and as JSON of OTLP."""

import json

import openai
from google.protobuf.json_format import MessageToDict
from loopback import TASKS, Loopback
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor, SpanExporter, SpanExportResult


class Lines(SpanExporter):
    """Writes a request of OTLP a line."""

    def __init__(self, place):
        self.stream = open(place, "w", encoding="utf-8")  # noqa: SIM115 - closed by shutdown

    def export(self, spans):
        """Write spans."""
        self.stream.write(f"{json.dumps(MessageToDict(encode_spans(spans)))}\n")
        return SpanExportResult.SUCCESS

    def shutdown(self):
        """Close the file."""
        self.stream.close()


provider = TracerProvider()
with open("console.json", "w", encoding="utf-8") as console:
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=console)))
    provider.add_span_processor(SimpleSpanProcessor(Lines("otlp.jsonl")))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    client, tracer = openai.OpenAI(base_url=f"{Loopback().url}/v1", api_key="x"), provider.get_tracer("app")
    for arm, hint in (("with", "zebra"), ("without", "")):
        for n in TASKS:
            told = {"test.case.id": f"q{n}", "experiment.name": arm}
            with tracer.start_as_current_span("case", attributes=told) as span:
                asked = [{"role": "user", "content": f"{hint} Double {n}"}]
                said = client.chat.completions.create(model="m", messages=asked).choices[0].message.content
                score = {"gen_ai.evaluation.name": "exact", "gen_ai.evaluation.score.value": float(said == str(2 * n))}
                span.add_event("gen_ai.evaluation.result", score)
    provider.shutdown()
