"""`tfgrpo lessons reports`: what users of a library said came of it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Annotated

import typer

from experience_db import OUTCOMES, Store
from tfgrpo.cli import options as o
from tfgrpo.lessons.scanners import visible


def reports(
    library: o.Name = "default",
    db: o.Db = None,
    lesson: Annotated[int | None, typer.Option("--lesson", help="Only reports that name this lesson.")] = None,
    json_: o.Json = False,
) -> None:
    """List what users of a library reported, oldest first: claims, kept apart from what was measured."""
    with Store.open(o.db_path(db), readonly=True) as store:
        found = store.reports(library, lesson)
    if json_:
        o.print_json({"library": library, "reports": [dataclasses.asdict(x) for x in found]})
        return
    counts = Counter(x.outcome for x in found)
    told = ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name])
    typer.echo(f"library {library!r}: {len(found)} {'report' if len(found) == 1 else 'reports'}{told and f': {told}'}")
    for x in found:
        about = f"lessons {', '.join(map(str, x.lesson_ids))}" if x.lesson_ids else "no lesson named"
        reward = "" if x.reward is None else f", reward {x.reward:g}"
        who = visible(x.reporter) or "no name"
        typer.echo(f"  {x.id}: {x.outcome}{reward}; version {x.version}, {about}; by {who}")
        for words in filter(None, (x.task, x.feedback)):
            typer.echo(f"      {visible(' '.join(words.split()))}")
