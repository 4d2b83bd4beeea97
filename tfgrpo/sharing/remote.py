"""Where a library is pushed to: `hf:owner/name`, else anything that git clones."""

from __future__ import annotations

from experience_db import Store
from tfgrpo.sharing import git_repository, hub
from tfgrpo.sharing.card import LIBRARY, files_of, folder_of

HUB = "hf:"


def push(store: Store, name: str, version: int | None, where: str, folder: str = "") -> str:
    """Push one version of a library with its card; returns what happened, in words.

    Args:
        store: where the library is.
        name: of the library.
        version: None is the newest.
        where: `hf:owner/name`, or the address of a git repository.
        folder: in the repository; empty makes one of the library's name.

    Raises:
        UsageError: it could not be pushed, and nothing of it was.
    """
    library = store.library(name, version)
    files = files_of(library, store.export(name, library.version), store.evidence(name))
    place, note = folder or folder_of(name), f"Library {name}, version {library.version}"
    if where.startswith(HUB):
        return hub.push_files(where.removeprefix(HUB), place, files, note)
    return git_repository.push_folder(where, place, files, note)


def pull(where: str, folder: str = "") -> bytes:
    """Return the export that was pushed; it is a stranger's text until it has been scanned. Raises UsageError."""
    if where.startswith(HUB):
        return hub.pull_file(where.removeprefix(HUB), LIBRARY, folder)
    return git_repository.pull_file(where, LIBRARY, folder)
