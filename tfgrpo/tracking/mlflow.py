"""A run in MLflow: settings, curves, lessons as artifacts, evidence as a table."""

from __future__ import annotations

import json

import mlflow
from mlflow.entities import Metric, Param, RunTag

from experience_db import Run, Store
from experience_db.formats import skill
from tfgrpo.tracking.tracked import EVIDENCE_COLUMNS, tracked

LONGEST_PARAM = 6000
"""Characters of a parameter's value that MLflow takes."""
BATCH = 100
"""Parameters, and ten times as many metrics, of one request."""


def log_mlflow(store: Store, run: Run, uri: str = "") -> str:
    """Log a run under the experiment `tfgrpo`; returns where, in words.

    Args:
        store: where the run is.
        run: which. Sent again, it is the same run of MLflow, found by its tag.
        uri: of the tracking server, a folder or a database; empty leaves it to MLFLOW_TRACKING_URI.
    """
    told = tracked(store, run)
    client = mlflow.MlflowClient(tracking_uri=uri or None)
    known = client.get_experiment_by_name("tfgrpo")
    experiment = known.experiment_id if known else client.create_experiment("tfgrpo")
    before = client.search_runs([experiment], f"tags.`tfgrpo.run` = '{run.id}'")
    made = before[0] if before else client.create_run(
        experiment, start_time=_time(run.started), run_name=run.name, tags={"tfgrpo.run": run.id}
    )  # fmt: skip
    id_ = made.info.run_id
    if not before:
        params = [Param(key, value[:LONGEST_PARAM]) for key, value in told.params.items()]
        for i in range(0, len(params), BATCH):
            client.log_batch(id_, params=params[i : i + BATCH])
    when = _time(run.finished or run.started)
    metrics = [Metric(key, value, when, step) for step, row in told.curve for key, value in row.items()]
    metrics += [Metric(f"total/{key}", value, when, 0) for key, value in told.totals.items()]
    for i in range(0, len(metrics), 10 * BATCH):
        client.log_batch(id_, metrics=metrics[i : i + 10 * BATCH])
    client.log_batch(id_, tags=[RunTag("tfgrpo.status", run.status), RunTag("tfgrpo.library", run.library or "")])
    if told.library is not None:
        exported = store.export(told.library.name, told.library.version)
        client.log_text(id_, json.dumps(exported, ensure_ascii=False, indent=2), "lessons/library.json")
        client.log_text(id_, skill(told.library, store.evidence(told.library.name)), "lessons/SKILL.md")
    columns = [list(column) for column in zip(*told.evidence_rows(), strict=True)] or [[] for _ in EVIDENCE_COLUMNS]
    # The form of MLflow's own tables (log_table), which wants pandas.
    table = {"columns": list(EVIDENCE_COLUMNS), "data": [list(row) for row in zip(*columns, strict=True)]}
    client.log_dict(id_, table, "evidence.json")
    client.set_tag(id_, "mlflow.loggedArtifacts", json.dumps([{"path": "evidence.json", "type": "table"}]))
    if run.status != "running":
        status = "FAILED" if run.status == "failed" else "KILLED" if run.status == "interrupted" else "FINISHED"
        client.set_terminated(id_, status, when)
    return f"run {run.name} is run {id_} of the experiment 'tfgrpo' in MLflow"


def _time(seconds: float) -> int:
    return int(seconds * 1000)
