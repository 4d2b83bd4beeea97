"""`tfgrpo lessons push` and `pull`: a library in a git repository or a dataset of the Hugging Face hub."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from experience_db import Store
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_import import bring
from tfgrpo.cli.lesson_stories import Lib
from tfgrpo.cli.review import Allow
from tfgrpo.errors import UsageError
from tfgrpo.lessons.versions import name_and_version

Where = Annotated[str, typer.Argument(help="Git repository (URL or path), or hf:owner/name for a dataset of the hub.")]
Folder = Annotated[str, typer.Option("--folder", help="Folder in the repository; default: one of the library's name.")]
_FOLDER = re.compile(r"(?!\.)[\w.-]{1,100}")


def push(where: Where, library: Lib = "default", db: o.Db = None, folder: Folder = "") -> None:
    """Push a version with its evidence: library.json, a table, and a card that states what was measured.

    Credentials are those of git, or of huggingface_hub. A new repository of the hub is private.
    """
    name, version = name_and_version(library)
    from tfgrpo import sharing

    with Store.open(o.db_path(db), readonly=True) as store:
        typer.echo(sharing.push(store, name, version, where, _checked(folder)))


def pull(where: Where, library: Lib = "default", db: o.Db = None, folder: Folder = "", allow: Allow = "") -> None:
    """Bring a pushed library in, scanned like `import`; what it says was measured counts as measured elsewhere."""
    from tfgrpo import sharing

    bring(sharing.pull(where, _checked(folder)), where, library, db, allow)


def _checked(folder: str) -> str:
    if folder and not _FOLDER.fullmatch(folder):
        raise UsageError(f"--folder is one name of letters, digits, '-', '_' and '.', not {folder!r}")
    return folder
