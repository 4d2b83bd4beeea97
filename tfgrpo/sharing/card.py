"""What stands in a shared folder: the export, a table of it, and a card that says what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from experience_db import BadImport, Evidence, Library
from experience_db.formats import about, effect, skill_name
from experience_db.parquet import to_parquet
from experience_db.records import BROUGHT

LIBRARY = "library.json"
CARD = "README.md"
TABLE = "lessons.parquet"


def files_of(library: Library, exported: Mapping[str, Any], measured: Sequence[Evidence]) -> dict[str, bytes]:
    """Return the files of a shared folder by name; the table is left out where pyarrow is not installed."""
    files = {
        LIBRARY: (json.dumps(exported, ensure_ascii=False, indent=2) + "\n").encode(),
        CARD: card(library, measured).encode(),
    }
    with suppress(BadImport):
        files[TABLE] = to_parquet(exported)
    return files


def card(library: Library, measured: Sequence[Evidence]) -> str:
    """Return the card: front matter of a dataset on the hub, counts, and a line for each lesson."""
    found = {lesson.id: effect(lesson, measured, library.version) for lesson in library}
    here = [e for e in found.values() if e is not None and BROUGHT not in e.detail]
    clear = [e for e in here if e.low is not None and e.low > 0]
    tainted = sum(lesson.tainted for lesson in library)
    whole = [e for e in measured if not e.lesson_ids and e.version == library.version and e.estimate is not None]
    models = sorted({str(e.detail["model"]) for e in measured if "model" in e.detail})
    lines = [
        "---",
        f"pretty_name: {json.dumps('Lessons of ' + _line(library.name))}",
        "tags: [tfgrpo, lessons, prompts]",
        "---",
        "",
        f"# Lessons of {_line(library.name)}, version {library.version}",
        "",
        f"{len(library)} lessons for prompts. {len(here)} have a measured effect, {len(clear)} of them an interval "
        f"above zero; {len(library) - len(here)} were never measured where they were pushed from, {tainted} rest on "
        "text of strangers.",
        "",
        f"Measured with: {', '.join(map(_line, models)) or 'not said'}. An effect holds for the model and the problems "
        "that it was measured with; on others it is a guess until measured there.",
        "",
        *(f"- version as a whole: {_effect(e)}" for e in whole),
        "",
        "## Lessons",
        "",
        *(f"- [{x.id}] {_line(x.text)} ({about(x, measured, library.version)})" for x in library),
        "",
        "## Use",
        "",
        "`tfgrpo lessons pull URL --library NAME` scans the lessons and brings them in as not measured; then",
        "`tfgrpo eval DATASET --library NAME --control empty` says what they do for your model.",
    ]
    return "\n".join(lines) + "\n"


def folder_of(name: str) -> str:
    """Return the folder of a library in a repository."""
    return skill_name(name)


def _effect(item: Evidence) -> str:
    between = f" [{item.low:+.3f}, {item.high:+.3f}]" if item.low is not None and item.high is not None else ""
    return f"{_line(item.kind)} {item.estimate:+.3f}{between}, n={item.n}"


def _line(text: str) -> str:
    """Text in one line, without what Markdown would take for HTML."""
    return " ".join(text.split()).replace("<", "&lt;")
