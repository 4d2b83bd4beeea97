"""An evaluation on record, and what a reader of its figures should know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from experience_db import Evaluation, Library, Store
from tfgrpo.datasets.exposure import Exposure
from tfgrpo.learning.setup import Setup, describe
from tfgrpo.types import Problem


def reader_notes(
    store: Store, shown: Library, found: Sequence[Problem], dataset: str, known: Exposure
) -> tuple[str, ...]:
    """Return which problems taught the library, and how often others were measured on the same dataset."""
    sources = {source.problem_id for lesson in shown for source in lesson.sources}
    taught = sum(problem.id in sources for problem in found)
    others = {(e.library, e.version, e.model) for e in store.evaluations() if e.dataset == dataset and not e.control}
    notes = []
    if known.sentence:
        notes.append(f"{known.sentence}; its figures look too good")
    elif taught:
        notes.append(f"{taught} of the {len(found)} problems taught lessons of this library; its figures look too good")
    if len(others) > 2:
        notes.append(
            f"{len(others)} libraries and models were measured on {dataset} before; whoever picks the best of many on "
            "one set needs another set to say how good it is"
        )
    return tuple(notes)


def record_evaluation(store: Store, wanted: Setup, summary: Mapping[str, Any], shown: Library | None) -> None:
    """Keep every look at a dataset: a test set that is read often is no test set any more."""
    name, version = (shown.name, shown.version) if shown is not None else (None, None)
    mark = hashlib.sha256(json.dumps([summary["dataset"], name, version, wanted.model]).encode()).hexdigest()
    run = f"eval-{mark[:8]}"
    told = describe(wanted)
    store.start_run(
        run,
        name=run,
        kind="eval",
        fingerprint=mark,
        config=told,
        library=name,
        base_version=version,
        dataset=summary["dataset"],
    )
    rows = {"": summary, **{control: row for control, row in summary["controls"].items() if row["mean"] is not None}}
    for control, row in rows.items():
        low, high = row["ci"]
        measured = Evaluation(
            run, summary["dataset"], wanted.model, name, version, row["mean"], low, high, summary["problems"],
            summary["k"], control, dict(row),
        )  # fmt: skip
        store.record_evaluation(measured)
    store.finish_run(run, "finished", summary)
