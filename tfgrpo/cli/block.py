"""`tfgrpo lessons block`: the words around the lessons of a library, and where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experience_db import Store
from experience_db.library import placed
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_stories import Lib
from tfgrpo.lessons.versions import library_at
from tfgrpo.prompting import templates


def block(
    library: Lib = "default",
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="Take the block of this prompt set, or of this folder's templates.")
    ] = None,
    place: Annotated[
        str | None, typer.Option("--place", help="system, or user_end: the end of the user's turn.")
    ] = None,
    db: o.Db = None,
) -> None:
    """Show the block of lessons as a model reads it and where it stands; with an option, change it in a new version."""
    changes = prompts is not None or place is not None
    with Store.open(o.db_path(db), readonly=not changes) as store:
        found = library_at(store, library)
        if changes:
            template = templates.load_for_model("", None, prompts).block() if prompts else found.template
            template = placed(template, place) if place else template
            found = store.commit(found.name, [], parent=found.version, template=template, note="another block")
        typer.echo(f"{found.name}@{found.version}, at {found.place.replace('_', ' ')}:", err=True)
        typer.echo(found.block() or "it has no lessons")
