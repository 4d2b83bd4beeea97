"""A run as lines of JSON, for whoever follows it from outside: `learn --events FILE`.

The events are those of the `Step` stream, written when a step is done: `run`, then per step `group`, `verdict`,
`candidate` and `step`, and `end`. A run that goes on tells its stored steps again, so the file always holds all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from experience_db.codec import to_json
from tfgrpo.errors import UsageError
from tfgrpo.learning.record_step import step_summary
from tfgrpo.learning.run import Run
from tfgrpo.types import Step, Verdict


def run_event(run: Run) -> dict[str, Any]:
    """Return the first event."""
    return {
        "event": "run",
        "run": run.id,
        "name": run.name,
        "library": run.library.name,
        "version": run.library.version,
        "method": run.config.method,
        "problems": len(run.learning),
        "heldout": len(run.heldout),
    }


def events_of(step: Step) -> Iterator[dict[str, Any]]:
    """Yield what happened in a step: its groups, its verdicts, its candidates, and the step itself."""
    where = {"step": step.index}
    for group in step.groups_P:
        about = {"problem": group.problem.id, "status": group.status.value, "version": group.version}
        yield {"event": "group", **where, **about, "rewards": list(group.rewards_G)}
    for verdict in step.verdicts:
        yield {"event": "verdict", **where, **_told(verdict)}
    for candidate in step.monitor.get("candidates", ()):
        yield {"event": "candidate", **where, **candidate}
    versions = {"version_before": step.version_before, "version_after": step.version_after}
    yield {"event": "step", **where, "epoch": step.epoch, **versions, **step_summary(step)}


def _told(verdict: Verdict) -> dict[str, Any]:
    found = next((e for e in verdict.evidence if e.estimate is not None), None)
    measured = {} if found is None else {"estimate": found.estimate, "ci": [found.low, found.high], "n": found.n}
    edits = [{"op": e.op.value, "ids": list(e.ids), "text": e.text} for e in verdict.edits]
    return {"decision": verdict.decision, "reason": verdict.reason, "edits": edits, **measured}


class EventFile:
    """Writes events, one a line, each flushed at once; use it as a context manager."""

    def __init__(self, path: Path | None) -> None:
        """Open the file anew; None writes nothing. Raises UsageError where it cannot be written."""
        self._file: TextIO | None = None
        if path is None:
            return
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}; name another file with --events") from error

    def write(self, event: Mapping[str, Any]) -> None:
        """Write one event; nan becomes null."""
        if self._file is not None:
            self._file.write(json.dumps(json.loads(to_json(event)), ensure_ascii=False) + "\n")
            self._file.flush()

    def step(self, step: Step) -> None:
        """Write the events of a step."""
        for event in events_of(step):
            self.write(event)

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
