"""The store: libraries, runs and the evidence between them, in one SQLite file."""

from __future__ import annotations

import os

from experience_db.libraries import Libraries
from experience_db.library import Library


class Store(Libraries):
    """One database file. One process writes, any number read; use it as a context manager."""


def open_library(name: str, *, db: str | os.PathLike[str] = "experience.db", version: int | None = None) -> Library:
    """Read one version of a library, the newest when none is named; the file is opened read-only and closed again.

    Raises StoreNotFound, UnknownLibrary, UnknownVersion, or what `Store.open` raises.
    """
    with Store.open(db, readonly=True) as store:
        return store.library(name, version)
