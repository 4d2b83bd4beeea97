"""Reading a library where the command line keeps it."""

from __future__ import annotations

import os

import experience_db
from tfgrpo.config.variables import default_db


def open_library(
    name: str, *, db: str | os.PathLike[str] | None = None, version: int | None = None
) -> experience_db.Library:
    """Read one version of a library, the newest when none is named; no model client is loaded for it.

    Without `db` it is the database that the command line uses: that of `TFGRPO_DB`, else `experience.db` here.

    Raises:
        StoreNotFound, UnknownLibrary, UnknownVersion: there is none; StoreError: the database cannot be read.
    """
    return experience_db.open_library(name, db=db or default_db(), version=version)
