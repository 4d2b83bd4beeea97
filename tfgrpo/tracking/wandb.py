"""A run in Weights & Biases: settings, curves, lessons as an artifact, evidence and lessons as tables."""

from __future__ import annotations

import json

import wandb

from experience_db import Run, Store
from experience_db.formats import about, skill
from tfgrpo.tracking.tracked import EVIDENCE_COLUMNS, Tracked, tracked


def log_wandb(store: Store, run: Run, project: str = "") -> str:
    """Log a run; returns where, in words. WANDB_MODE=offline keeps it in the folder `wandb` for `wandb sync`.

    Args:
        store: where the run is.
        run: which. Sent again, it is the same run, by its id.
        project: empty takes WANDB_PROJECT, else `tfgrpo`.
    """
    told = tracked(store, run)
    settings = wandb.Settings(console="off", disable_git=True, save_code=False, silent=True)
    made = wandb.init(
        project=project or None, id=_plain(run.id), name=run.name, job_type=run.kind, config=dict(told.params),
        resume="allow", settings=settings,
    )  # fmt: skip
    try:
        for step, numbers in told.curve:
            made.log({"step": step, **numbers})
        made.summary.update({f"total/{key}": value for key, value in told.totals.items()})
        made.log({"evidence": _table(list(EVIDENCE_COLUMNS), told.evidence_rows())})
        if told.library is not None:
            _log_lessons(store, made, told)
    finally:
        made.finish(exit_code=1 if run.status == "failed" else 0)
    return f"run {run.name} was logged to Weights & Biases, {made.settings.mode}: {made.dir}"


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
