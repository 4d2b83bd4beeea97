"""A run in the tools that teams watch, with the real packages and without a network."""

import http.server
import json
import threading
import time

import pytest
from support import script
from support.threaded_server import ThreadedServer

from experience_db import Evidence, Store, StoreError
from tfgrpo.errors import UsageError
from tfgrpo.tracking import follow, send

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

    from tfgrpo.tracking.otel import Spans

    def emitted(content):
        spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
        tracing, logging = TracerProvider(), LoggerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(spans))
        logging.add_log_record_processor(SimpleLogRecordProcessor(logs))
        made = Spans(kept, tracing.get_tracer("t"), logging.get_logger("t"), content=content)
        made.update(store, kept)
        made.close(store, kept)
        return spans.get_finished_spans(), logs.get_finished_logs()

    store, kept, _ = run
    spans, logs = emitted(False)
    (root,) = [span for span in spans if span.parent is None]
    chats = [span for span in spans if span.parent is not None]
    assert root.name == "tfgrpo learn"
    assert len(chats) == len(logs) == 32
    assert {span.parent.span_id for span in chats} == {root.context.span_id}
    assert all(root.start_time <= span.end_time <= root.end_time for span in chats)
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

    store, kept, _ = run
    with ThreadedServer(Handler) as server:
        told = send(store, kept, "otel", where=server.url)
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


@pytest.fixture
def going(tmp_path):
    """A run of two steps that waits within its second step until the event is set; its database and the event."""
    file, go_on = tmp_path / "experience.db", threading.Event()

    def solve(request):
        if "maple: what comes of 204" in script.text_of(request):
            assert go_on.wait(300)
        return script.solve(request)

    learning = threading.Thread(
        target=script.learn, args=(script.Model(rollout=solve), script.rows(8), file, "going"),
        kwargs={"run": "night", "batch_size": 4, "seed": 1},
    )  # fmt: skip
    learning.start()
    while not (file.is_file() and steps_of(file)):
        time.sleep(0.05)
    yield file, go_on
    go_on.set()
    learning.join()


def steps_of(file):
    """Return how many steps the last run of a database has, 0 where there is no run yet."""
    try:
        with Store.open(file, readonly=True) as store:
            return len(store.steps(store.runs()[-1].id)) if store.runs() else 0
    except StoreError:
        return 0


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")
def test_mlflow_sees_a_run_while_it_goes_on(going, tmp_path):
    """The first step and the lessons are there before the second has ended; then the rest, each point once."""
    import mlflow

    file, go_on = going
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    seen = []

    def look(line):
        client = mlflow.MlflowClient(uri)
        (found,) = client.search_runs([client.get_experiment_by_name("tfgrpo").experiment_id])
        points = client.get_metric_history(found.info.run_id, "reward/mean")
        artifacts = {item.path for item in client.list_artifacts(found.info.run_id, "lessons")}
        seen.append((found.info.status, [point.step for point in points], artifacts))
        go_on.set()

    with Store.open(file, readonly=True) as store:
        run = store.runs()[-1].id
    follow(file, run, "mlflow", where=uri, said=look)
    assert seen[0] == ("RUNNING", [0], {"lessons/library.json", "lessons/SKILL.md"})
    with Store.open(file, readonly=True) as store:
        send(store, store.runs()[-1], "mlflow", where=uri)
    look("")
    assert seen[-1][:2] == ("FINISHED", [0, 1])


@pytest.mark.tracking
def test_a_collector_sees_a_run_while_it_goes_on(going):
    """The rollouts of the first step arrive before the second has ended, the span of the run when it has."""
    file, go_on = going
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, go_on.is_set()))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with Store.open(file, readonly=True) as store:
        run = store.runs()[-1].id
    with ThreadedServer(Handler) as server:
        told = follow(file, run, "otel", where=server.url, said=lambda line: go_on.set())
    assert {path for path, late in asked if not late} == {"/v1/traces", "/v1/logs"}
    assert ("/v1/traces", True) in asked
    assert told.startswith("33 spans and 32 evaluation results")


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("offline")
@pytest.mark.timeout(600)
def test_wandb_sees_a_run_while_it_goes_on(going, tmp_path):
    """Its file has the first step before the second has ended, and both when the run has."""
    file, go_on = going
    with Store.open(file, readonly=True) as store:
        run = store.runs()[-1].id
    early = []

    def look(line):
        early.append(logged_steps(tmp_path))
        go_on.set()

    assert "offline" in follow(file, run, "wandb", said=look)
    assert early[0] == [0]
    assert logged_steps(tmp_path, "exit") == [0, 1]


def logged_steps(folder, until="history"):
    """Return the steps in wandb's file once it has a record of a kind; wandb's own process writes it a little later."""
    from wandb.proto import wandb_internal_pb2

    deadline, kinds, steps = time.monotonic() + 60, set(), []
    while until not in kinds and time.monotonic() < deadline:
        time.sleep(0.1)
        kinds, steps = set(), []
        files = folder.glob("wandb/offline-run-*/*.wandb")
        for data in (record for file in files for record in records_of(file.read_bytes())):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            kinds.add(record.WhichOneof("record_type"))
            row = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
            steps += [int(row["step"])] if "step" in row else []
    return steps


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


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Run wandb without a network, in a folder of the test; the settings that it has read are forgotten after."""
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    yield
    wandb.teardown()


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("offline")
def test_wandb_keeps_a_run_offline(run, tmp_path):
    """Without a network the run lies in a file that `wandb sync` takes, with its curve, tables and artifact."""
    from wandb.proto import wandb_internal_pb2

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
