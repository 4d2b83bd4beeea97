"""A run in MLflow: settings, curves, lessons as artifacts, evidence as a table."""

from __future__ import annotations

import json

import mlflow
from mlflow.entities import Metric, Param, RunTag

from experience_db import Run, Store
from experience_db.formats import skill
from tfgrpo.tracking.tracked import EVIDENCE_COLUMNS, curve, tracked

LONGEST_PARAM = 6000
"""Characters of a parameter's value that MLflow takes."""
BATCH = 100
"""Parameters, and ten times as many metrics, of one request."""


class MlflowRun:
    """A run under the experiment `tfgrpo`. Sent again, it is the same run of MLflow, found by its tag."""

    def __init__(self, store: Store, run: Run, uri: str = ""):
        """Find the run in MLflow, or make it.

        Args:
            store: where the run is.
            run: which.
            uri: of the tracking server, a folder or a database; empty leaves it to MLFLOW_TRACKING_URI.
        """
        self._client = mlflow.MlflowClient(tracking_uri=uri or None)
        known = self._client.get_experiment_by_name("tfgrpo")
        experiment = known.experiment_id if known else self._client.create_experiment("tfgrpo")
        before = self._client.search_runs([experiment], f"tags.`tfgrpo.run` = '{run.id}'")
        made = before[0] if before else self._client.create_run(
            experiment, start_time=_time(run.started), run_name=run.name, tags={"tfgrpo.run": run.id}
        )  # fmt: skip
        self._id = made.info.run_id
        self._next, self._version = 0, -1
        if before:
            if made.info.status != "RUNNING" and run.status == "running":
                self._client.update_run(self._id, "RUNNING")
            return
        params = [Param(key, value[:LONGEST_PARAM]) for key, value in tracked(store, run).params.items()]
        for i in range(0, len(params), BATCH):
            self._client.log_batch(self._id, params=params[i : i + BATCH])

    def update(self, store: Store, run: Run) -> int:
        """Log the steps that have ended since, and the lessons as they are by now; returns how many steps."""
        points = curve(store, run, self._next)
        if not points and self._version >= 0 and run.status == "running":
            return 0
        # With the time of its step a point that is sent again is the same point.
        self._log([Metric(k, v, _time(p.time), p.step) for p in points for k, v in p.numbers.items()])
        self._next += len(points)
        told = tracked(store, run)
        if told.library is not None and told.library.version != self._version:
            exported = store.export(told.library.name, told.library.version)
            self._client.log_text(self._id, json.dumps(exported, ensure_ascii=False, indent=2), "lessons/library.json")
            words = skill(told.library, store.evidence(told.library.name))
            self._client.log_text(self._id, words, "lessons/SKILL.md")
            self._version = told.library.version
        return len(points)

    def close(self, store: Store, run: Run) -> str:
        """Log totals and evidence, and how the run ended; returns where, in words."""
        told = tracked(store, run)
        when = _time(run.finished or run.started)
        self._log([Metric(f"total/{key}", value, when, 0) for key, value in told.totals.items()])
        tags = [RunTag("tfgrpo.status", run.status), RunTag("tfgrpo.library", run.library or "")]
        self._client.log_batch(self._id, tags=tags)
        # The form of MLflow's own tables (log_table), which wants pandas.
        self._client.log_dict(
            self._id, {"columns": list(EVIDENCE_COLUMNS), "data": told.evidence_rows()}, "evidence.json"
        )
        self._client.set_tag(
            self._id, "mlflow.loggedArtifacts", json.dumps([{"path": "evidence.json", "type": "table"}])
        )
        if run.status != "running":
            status = {"failed": "FAILED", "died": "FAILED", "interrupted": "KILLED"}.get(run.status, "FINISHED")
            self._client.set_terminated(self._id, status, when if run.finished else None)
        return f"run {run.name} is run {self._id} of the experiment 'tfgrpo' in MLflow"

    def _log(self, metrics: list[Metric]) -> None:
        for i in range(0, len(metrics), 10 * BATCH):
            self._client.log_batch(self._id, metrics=metrics[i : i + 10 * BATCH])


def _time(seconds: float) -> int:
    return int(seconds * 1000)
