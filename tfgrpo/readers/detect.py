"""Which format a file has, by its content; and a folder read file by file, with what was left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from tfgrpo.errors import BadRow, UsageError
from tfgrpo.readers import (
    documents,
    helm,
    inspect_logs,
    lm_eval,
    observability,
    openai_evals,
    plain,
    promptfoo,
    sessions,
    verifiers_traces,
)
from tfgrpo.readers.documents import Document
from tfgrpo.readers.row import Row, numbered

Reader = tuple[Callable[[Document], bool], Callable[[Document], tuple[Row, ...]]]

FORMATS: Mapping[str, Reader] = MappingProxyType(
    {
        "inspect": (inspect_logs.matches, inspect_logs.rows),
        "promptfoo": (promptfoo.matches, promptfoo.rows),
        "promptfoo-config": (promptfoo.matches_config, promptfoo.config_rows),
        "lm-eval": (lm_eval.matches, lm_eval.rows),
        "helm": (helm.matches, helm.rows),
        "verifiers": (verifiers_traces.matches, verifiers_traces.rows),
        "openai-evals": (openai_evals.matches, openai_evals.rows),
        "openai-dataset": (openai_evals.matches_dataset, openai_evals.dataset_rows),
        "weave": (observability.matches_weave, observability.weave_rows),
        "otel": (observability.matches_otel, observability.otel_rows),
        "langfuse": (observability.matches_langfuse, observability.langfuse_rows),
        "claude-code": (sessions.matches_claude, sessions.claude_rows),
        "codex": (sessions.matches_codex, sessions.codex_rows),
        "trials": (plain.matches_trials, plain.trial_rows),
        "replay": (plain.matches_replay, plain.replay_rows),
        "plain": (plain.matches, plain.rows),
    }
)
"""Name -> (does a document look like it, its rows), in the order in which they are tried."""
ENDINGS = (".json", ".jsonl", ".ndjson", ".eval", ".csv", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Stored:
    """What was read from a file or a folder."""

    path: Path
    formats: tuple[str, ...]
    """Which formats were met."""
    rows: tuple[Row, ...]
    skipped: tuple[str, ...] = ()
    """Files of a folder that hold no results, each with why."""

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms in the order of the file."""
        return tuple(dict.fromkeys(row.arm for row in self.rows))


def read(path: Path | str, form: str | None = None) -> Stored:
    """Read a file, or every file below a folder.

    In a folder the arm of a row is its file, or its sub-folder where there are several with more than one file each,
    followed by the row's own arm.

    Args:
        path: the file or folder.
        form: one of `FORMATS`; None finds it out.

    Raises:
        UsageError: nothing there, an unknown format, or no row at all.
        BadRow: a file that cannot be parsed; names file and line.
    """
    place = Path(path)
    if form is not None and form not in FORMATS:
        raise UsageError(f"no format {form!r}; there are: {', '.join(FORMATS)}")
    if not place.is_dir():
        name, rows = _one(place, form)
        return Stored(place, (name,), rows)
    return _folder(place, form)


def _one(path: Path, form: str | None) -> tuple[str, tuple[Row, ...]]:
    document = documents.load(path)
    name = form or next((name for name, (looks, _) in FORMATS.items() if looks(document)), None)
    if name is None:
        raise UsageError(f"{path}: no known format of results; known are: {', '.join(FORMATS)}")
    rows = FORMATS[name][1](document)
    if not rows:
        raise UsageError(f"{path}: read as {name}, but it holds no results")
    return name, rows


def _folder(place: Path, form: str | None) -> Stored:
    files = sorted(
        f for f in place.rglob("*") if f.is_file() and f.suffix.lower() in ENDINGS and not helm.says_nothing(f)
    )
    found: list[tuple[Path, str, tuple[Row, ...]]] = []
    skipped = []
    for file in files:
        try:
            name, rows = _one(file, form)
            found.append((file, name, rows))
        except (UsageError, BadRow) as error:
            skipped.append(str(error).partition("; known are:")[0])
    found = _runs_of_helm(found)
    if not found:
        why = f"; {skipped[0]}" if skipped else ""
        raise UsageError(f"no results below {place}{why}")
    inner = {file.relative_to(place).parts[0] for file, _, _ in found if file.parent != place}
    by_folder = len(inner) > 1 and all(file.parent != place for file, _, _ in found)
    labelled = []
    for file, _, rows in found:
        own = file.relative_to(place).parts[0] if by_folder else file.relative_to(place).with_suffix("").as_posix()
        label = own if by_folder or len(found) > 1 else ""
        labelled += [replace(row, arm=" | ".join(filter(None, (label, row.arm)))) for row in rows]
    return Stored(place, tuple(dict.fromkeys(n for _, n, _ in found)), numbered(labelled), tuple(skipped))


def _runs_of_helm(found: list[tuple[Path, str, tuple[Row, ...]]]) -> list[tuple[Path, str, tuple[Row, ...]]]:
    """Return the files with those of one run of HELM as one: they say of the same attempts each something else."""
    runs: dict[Path, list[tuple[Row, ...]]] = {}
    for file, name, rows in found:
        if name == "helm":
            runs.setdefault(file.parent, []).append(rows)
    kept, met = list[tuple[Path, str, tuple[Row, ...]]](), set[Path]()
    for file, name, rows in found:
        if name != "helm":
            kept.append((file, name, rows))
        elif file.parent not in met:
            met.add(file.parent)
            kept.append((file, name, helm.join(runs[file.parent])))
    return kept
