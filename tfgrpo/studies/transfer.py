"""Several libraries or models on the same problems: the matrix of means, and every difference that answers a question.

Each library is compared with no lessons at all, for each model alone (does it help this model?); later libraries with
the first one (is the new version better?); later models with the first one, library by library. All differences are
paired by problem and seed index. What a library does for a model is stored as evidence of kind `transfer`.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from experience_db import Evidence, Store
from experience_db.codec import nan_to_none
from tfgrpo import api, stats
from tfgrpo.api import EvalResult
from tfgrpo.errors import UsageError
from tfgrpo.learning.setup import describe


@dataclass(frozen=True, slots=True)
class Cell:
    """One library under one model."""

    library: str
    """As it was asked for; empty for no lessons."""
    model: str
    result: EvalResult

    @property
    def name(self) -> str:
        """What people call the library."""
        return self.library or "no lessons"

    @property
    def means_P(self) -> tuple[float, ...]:
        """Mean reward per problem."""
        return self.result.evaluation.means_P


async def transfer_matrix(
    problems: Any, *, libraries: Sequence[str], models: Sequence[str], k: int = 1, **asked: Any
) -> dict[str, Any]:
    """Measure every library, and no lessons, under every model; returns the fields of `eval --json` for several.

    Args:
        problems: as in `tfgrpo.evaluate`.
        libraries: `NAME` or `NAME@VERSION` each; '' stands for no lessons, which is measured in any case.
        models: at least one.
        k: rollouts per problem.
        asked: the other arguments of `tfgrpo.evaluate`.

    Raises:
        UsageError: a library or model that is named twice.
        NothingLearned: a cell in which not one rollout could be scored.
    """
    columns = tuple(dict.fromkeys(("", *libraries)))
    if len(set(models)) < len(models) or len(set(libraries)) < len(libraries):
        raise UsageError("a library or a model is named twice; name each once")
    began, seed = time.monotonic(), api.setup(model=models[0], **_settings(asked)).config.seed
    cells = [
        Cell(library, model, await api.evaluate(problems, library=library, k=k, model=model, **asked))
        for model in models
        for library in columns
    ]
    rows = comparisons(cells, seed)
    _store(cells, rows, {"model": models[0], **_settings(asked)})
    worst = max((row["sd"] for row in rows if row["sd"] is not None), default=None)
    n = len(cells[0].means_P)
    told: dict[str, Any] = nan_to_none(
        {
            "dataset": cells[0].result.summary["dataset"],
            "problems": n,
            "k": k,
            "libraries": [cell.name for cell in cells[: len(columns)]],
            "models": list(models),
            "cells": [cell.result.summary for cell in cells],
            "comparisons": rows,
            "power": stats.power_note(n, worst),
            "seconds": round(time.monotonic() - began, 3),
        }
    )
    return told


def _settings(asked: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in asked.items() if key not in ("fields", "controls", "on_notes", "test")}


def comparisons(cells: Sequence[Cell], seed: int) -> list[dict[str, Any]]:
    """Return the paired differences that answer a question; see the head of this file."""
    by = {(cell.model, cell.library): cell for cell in cells}
    models = list(dict.fromkeys(cell.model for cell in cells))
    libraries = [name for name in dict.fromkeys(cell.library for cell in cells) if name]
    pairs = [("lessons", by[m, ""], by[m, name]) for m in models for name in libraries]
    pairs += [("library", by[m, libraries[0]], by[m, name]) for m in models for name in libraries[1:]]
    pairs += [("model", by[models[0], name], by[m, name]) for m in models[1:] for name in ("", *libraries)]
    return [_compared(question, before, after, seed) for question, before, after in pairs]


def _compared(question: str, before: Cell, after: Cell, seed: int) -> dict[str, Any]:
    found = stats.paired_difference(before.means_P, after.means_P, seed=seed)
    gains = [b - a for a, b in zip(before.means_P, after.means_P, strict=True) if not math.isnan(b - a)]
    return {
        "question": question,
        "before": {"library": before.name, "model": before.model},
        "after": {"library": after.name, "model": after.model},
        "diff": found.diff,
        "ci": [found.low, found.high],
        "p": found.p,
        "n": found.n,
        "sd": stdev(gains) if len(gains) > 1 else None,
        "said": stats.describe(found),
    }


def _store(cells: Sequence[Cell], rows: Sequence[dict[str, Any]], asked: dict[str, Any]) -> None:
    """Keep what each library does for each model as evidence of that version."""
    wanted = api.setup(**{"grader": "exact", **asked})
    versions = {cell.name: cell.result.summary for cell in cells if cell.library}
    with Store.open(wanted.db) as store:
        for row in rows:
            if row["question"] != "lessons" or not row["n"]:
                continue
            shown, model = versions[row["after"]["library"]], row["after"]["model"]
            dataset = shown["dataset"]
            told = {"model": model, "dataset": dataset, "against": "no lessons", "p": row["p"], "rollouts": {}}
            mark = hashlib.sha256(json.dumps([dataset, shown["library"], shown["version"], model]).encode()).hexdigest()
            name = f"transfer-{mark[:8]}"
            store.start_run(
                name,
                name=name,
                kind="transfer",
                fingerprint=mark,
                config=describe(wanted) | {"model": model},
                library=shown["library"],
                base_version=shown["version"],
                dataset=dataset,
            )
            low, high = row["ci"]
            found = Evidence(
                "transfer", row["diff"], low, high, row["n"], reason=f"{model}: {row['said']}", detail=told
            )
            store.add_evidence(shown["library"], [found], version=shown["version"], run=name)
            store.finish_run(name, "finished", nan_to_none(row))
