"""A run in Weights & Biases: settings, curves, lessons as an artifact, evidence and lessons as tables."""

from __future__ import annotations

import json

import wandb

from experience_db import Run, Store
from experience_db.formats import about, skill
from tfgrpo.tracking.tracked import EVIDENCE_COLUMNS, Tracked, curve, tracked


class WandbRun:
    """A run of Weights & Biases. WANDB_MODE=offline keeps it in the folder `wandb` for `wandb sync`."""

    def __init__(self, store: Store, run: Run, project: str = ""):
        """Begin it, or go on with it: sent again, it is the same run, by its id.

        Args:
            store: where the run is.
            run: which.
            project: empty takes WANDB_PROJECT, else `tfgrpo`.
        """
        settings = wandb.Settings(console="off", disable_git=True, save_code=False, silent=True)
        self._made = wandb.init(
            project=project or None, id=_plain(run.id), name=run.name, job_type=run.kind,
            config=dict(tracked(store, run).params), resume="allow", settings=settings,
        )  # fmt: skip
        self._next = 0

    def update(self, store: Store, run: Run) -> int:
        """Log the steps that have ended since; returns how many."""
        points = curve(store, run, self._next)
        for point in points:
            # A step that wandb has already is left out by it.
            self._made.log({"step": point.step, **point.numbers}, step=point.step, commit=True)
        self._next += len(points)
        return len(points)

    def close(self, store: Store, run: Run) -> str:
        """Log totals, evidence and lessons, and how the run ended; returns where, in words."""
        told = tracked(store, run)
        try:
            self._made.summary.update({f"total/{key}": value for key, value in told.totals.items()})
            self._made.log({"evidence": _table(list(EVIDENCE_COLUMNS), told.evidence_rows())})
            if told.library is not None:
                _log_lessons(store, self._made, told)
        finally:
            self._made.finish(exit_code=1 if run.status in ("failed", "died") else 0)
        return f"run {run.name} was logged to Weights & Biases, {self._made.settings.mode}: {self._made.dir}"


def _log_lessons(store: Store, made: wandb.Run, told: Tracked) -> None:
    library = told.library
    assert library is not None
    measured = store.evidence(library.name)
    rows = [[x.id, x.text, x.tainted, about(x, measured, library.version)] for x in library]
    made.log({"lessons": _table(["id", "text", "tainted", "evidence"], rows)})
    artifact = wandb.Artifact(f"lessons-{_plain(library.name)}", type="lessons", metadata={"version": library.version})
    exported = store.export(library.name, library.version)
    with artifact.new_file("library.json", encoding="utf-8") as file:
        file.write(json.dumps(exported, ensure_ascii=False, indent=2))
    with artifact.new_file("SKILL.md", encoding="utf-8") as file:
        file.write(skill(library, measured))
    made.log_artifact(artifact)


def _plain(name: str) -> str:
    """A name of letters, digits, dashes, dots and underscores, as wandb wants its own."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "-" for char in name)[:120]


def _table(columns: list[str], rows: list[list[object]]) -> wandb.Table:
    return wandb.Table(columns=columns, data=rows, allow_mixed_types=True)
