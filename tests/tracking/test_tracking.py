"""A run in the tools that teams watch, with the real packages and without a network."""

import http.server
import json
import threading
import time

import pytest
from support import script

from experience_db import Evidence, Store
from tfgrpo.errors import UsageError
from tfgrpo.tracking import send

SECRET = "topic maple"


@pytest.fixture
def run(tmp_path):
    """A finished run of eight problems, its store open, with evidence and a lesson with words that users wrote."""
    file = tmp_path / "experience.db"
    result = script.learn(script.Model(), script.rows(8), file, run="night")
    with Store.open(file) as store:
        measured = Evidence("leave-one-out", 0.25, 0.1, 0.4, 8, (1,))
        store.add_evidence("default", [measured], run=store.runs()[-1].id, step=0)
        yield store, store.runs()[-1], result


def test_an_unknown_tool_is_told(run):
    """The names of the tools are in the message."""
    store, kept, _ = run
    with pytest.raises(UsageError, match="one of otel, mlflow, wandb"):
        send(store, kept, "elsewhere")


@pytest.mark.tracking
def test_spans_and_evaluations_follow_the_conventions(run):
    """A span for the run, one for each rollout below it, an evaluation for each score; no word of content."""
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as names

    from tfgrpo.tracking.otel import emit

    def emitted(content):
        spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
        tracing, logging = TracerProvider(), LoggerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(spans))
        logging.add_log_record_processor(SimpleLogRecordProcessor(logs))
        emit(store, kept, tracing.get_tracer("t"), logging.get_logger("t"), content=content)
        return spans.get_finished_spans(), logs.get_finished_logs()

    store, kept, _ = run
    spans, logs = emitted(False)
    (root,) = [span for span in spans if span.parent is None]
    chats = [span for span in spans if span.parent is not None]
    assert root.name == "tfgrpo learn"
    assert len(chats) == len(logs) == 32
    assert {span.parent.span_id for span in chats} == {root.context.span_id}
    assert all(span.attributes[names.GEN_AI_OPERATION_NAME] == "chat" for span in chats)
    assert all(isinstance(span.attributes[names.GEN_AI_USAGE_INPUT_TOKENS], int) for span in chats)
    records = [log.log_record for log in logs]
    assert {record.event_name for record in records} == {"gen_ai.evaluation.result"}
    assert {record.span_id for record in records} == {span.context.span_id for span in chats}
    values = {record.attributes[names.GEN_AI_EVALUATION_SCORE_VALUE] for record in records}
    assert values == {0.0, 1.0}
    assert SECRET not in "".join(span.to_json() for span in spans)
    assert SECRET not in "".join(log.to_json() for log in logs)
    told, _ = emitted(True)
    given = [span.attributes[names.GEN_AI_INPUT_MESSAGES] for span in told if span.parent is not None]
    assert any(SECRET in text for text in given)
    assert json.loads(given[0])[0]["parts"][0]["type"] == "text"


@pytest.mark.tracking
def test_a_collector_gets_traces_and_logs(run):
    """Over OTLP both kinds arrive at the collector that was named."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, len(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store, kept, _ = run
    try:
        told = send(store, kept, "otel", where=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert told.startswith("33 spans and 32 evaluation results")
    assert {path for path, _ in asked} == {"/v1/traces", "/v1/logs"}
    assert all(size > 100 for _, size in asked)


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_curves_lessons_and_evidence(run, tmp_path):
    """Settings, a point of the curve for each step, the lessons as artifacts, the evidence as a table; once only."""
    import mlflow

    store, kept, result = run
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for _ in range(2):
        send(store, kept, "mlflow", where=uri)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("tfgrpo").experiment_id
    (found,) = client.search_runs([experiment])
    assert found.data.tags["tfgrpo.library"] == "default"
    assert found.data.params["grader"] == "exact"
    assert found.data.metrics["total/lessons"] == len(result.library)
    assert client.get_metric_history(found.info.run_id, "reward/mean")[0].value == result.summary["reward"]["first"]
    folder = client.download_artifacts(found.info.run_id, "lessons", str(tmp_path))
    exported = json.loads((tmp_path / "lessons" / "library.json").read_text())
    assert [x["text"] for x in exported["lessons"]] == [x.text for x in result.library], folder
    evidence = json.loads(
        (tmp_path / client.download_artifacts(found.info.run_id, "evidence.json", str(tmp_path))).read_text()
    )
    assert ["leave-one-out", 0.25, 0.1, 0.4, 8] in [row[:5] for row in evidence["data"]]


def records_of(data):
    """Yield the records of wandb's file: a log of LevelDB in blocks of 32 KiB, after a header of 7 bytes."""
    position, parts = 7, []
    while position + 7 <= len(data):
        room = 32768 - position % 32768
        if room < 7:
            position += room
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        if position + 7 + length > len(data):
            return  # not all of it is written yet
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_a_run_offline(run, tmp_path, monkeypatch):
    """Without a network the run lies in a file that `wandb sync` takes, with its curve, tables and artifact."""
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    store, kept, _ = run
    assert "offline" in send(store, kept, "wandb", where="lessons")
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    kinds, keys = set(), set()
    # wandb's own process writes the end of the file after it has said that the run is finished.
    deadline = time.monotonic() + 60
    while "exit" not in kinds and time.monotonic() < deadline:
        time.sleep(0.1)
        for data in records_of(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            kinds.add(record.WhichOneof("record_type"))
            keys |= {item.key or ".".join(item.nested_key) for item in record.history.item}
    assert {"run", "history", "artifact", "exit"} <= kinds
    assert "reward/mean" in keys
    assert any("evidence" in key for key in keys)
