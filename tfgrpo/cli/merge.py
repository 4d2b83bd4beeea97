"""`tfgrpo lessons merge`: two versions of a library become one, lesson by lesson."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated

import typer

from experience_db import Library, Store
from tfgrpo.build import open_components
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_words import lesson_count
from tfgrpo.errors import UsageError
from tfgrpo.learning.setup import Setup
from tfgrpo.lessons.versions import library_at
from tfgrpo.search import manual_merge
from tfgrpo.search.manual_merge import MergeRequest
from tfgrpo.search.merge_conflicts import DecidedConflict, FinishedMerge


def merge(
    a: Annotated[str, typer.Argument(help="A version number of --library, or NAME[@VERSION].")],
    b: Annotated[str, typer.Argument(help="The other one.")],
    library: Annotated[str, typer.Option("--library", help="Whose versions the numbers are.")] = "default",
    db: o.Db = None,
    prefer: Annotated[
        str, typer.Option("--prefer", help="a or b: whose words stand where no measurement decides.")
    ] = "",
    model: Annotated[
        str | None, typer.Option("--model", help="Writes words that hold both where no measurement decides.")
    ] = None,
    base_url: o.BaseUrl = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the result and change nothing.")] = False,
    json_: o.Json = False,
) -> None:
    """Merge two versions against the version that both come from; of two libraries, into the first.

    What one side alone changed is taken. What both changed is decided by measured effects, else by --model or --prefer.
    """
    o.read_dotenv()
    if prefer not in ("", "a", "b"):
        raise UsageError(f"--prefer is a or b, not {prefer!r}")
    with Store.open(o.db_path(db), readonly=dry_run and model is None) as store:
        wanted = manual_merge.merge_request(store, _side(store, a, library), _side(store, b, library))
        found = asyncio.run(_resolved(store, wanted, prefer, model, base_url))
        made = None if dry_run else manual_merge.commit_merge(store, wanted, found)
        if json_:
            o.print_json(merge_object(wanted, found, made))
            return
        for line in merge_lines(wanted, found):
            typer.echo(line)
        if made is not None:
            typer.echo(f"library {made.name!r}: version {made.version}, {lesson_count(len(made))}")


def _side(store: Store, spec: str, library: str) -> Library:
    return library_at(store, f"{library}@{spec}" if spec.isdecimal() else spec)


async def _resolved(
    store: Store, wanted: MergeRequest, prefer: str, model: str | None, base_url: list[str] | None
) -> FinishedMerge:
    async with AsyncExitStack() as stack:
        teacher = None
        if model is not None:
            setup = Setup(model, "exact", base_urls=tuple(base_url or ()), library=wanted.a.name)
            teacher = open_components(setup, store, stack).teacher()
        return await manual_merge.merge_versions(store, wanted, prefer=prefer, teacher=teacher)


def merge_lines(wanted: MergeRequest, found: FinishedMerge) -> list[str]:
    """Return what the merge did, a line for each lesson that it moved."""
    stem = wanted.ancestor
    said = ["two libraries, nothing in common" if stem is None else f"both come from version {stem.version}"]
    texts = {x.id: x.text for x in found.lessons}
    merged = found.merged
    if merged is not None:
        sides = [("a", i) for i in merged.from_a] + [("b", i) for i in merged.from_b]
        said += [f"from {side}: [{i}] {texts.get(i, 'left out')}" for side, i in sides]
    return said + [f"both: [{j.conflict.id}] {_text(j)} ({j.how})" for j in found.judged]


def _text(judged: DecidedConflict) -> str:
    return judged.lesson.text if judged.lesson else "left out"


def merge_object(wanted: MergeRequest, found: FinishedMerge, made: Library | None) -> dict[str, object]:
    """Return the object of `--json`."""
    merged = found.merged
    return {
        "library": wanted.a.name,
        "a": wanted.a.version,
        "b": wanted.b.version if wanted.same else f"{wanted.b.name}@{wanted.b.version}",
        "ancestor": wanted.ancestor.version if wanted.ancestor else None,
        "version": made.version if made else None,
        "lessons": [{"id": x.id, "text": x.text} for x in (made or found).lessons],
        "from_a": list(merged.from_a) if merged else [],
        "from_b": list(merged.from_b) if merged else [],
        "both": [
            {"id": j.conflict.id, "text": j.lesson.text if j.lesson else None, "how": j.how} for j in found.judged
        ],
    }
