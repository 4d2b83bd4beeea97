"""The store: libraries, runs and the evidence between them, in one SQLite file."""

from __future__ import annotations

import os

from experience_db.exchange import Exchange
from experience_db.groups import Groups
from experience_db.lessons import Lessons
from experience_db.library import Library
from experience_db.lineage import Lineage
from experience_db.pages import Pages
from experience_db.reports import Reports
from experience_db.runs import Runs
from experience_db.upkeep import Upkeep


class Store(Lessons, Lineage, Exchange, Upkeep, Runs, Groups, Pages, Reports):
    """One database file. One process writes, any number read; use it as a context manager.

    ```
    with Store.open("experience.db") as store:
        library = store.create_library("web")
        library = store.commit("web", [Edit(Op.ADD, "When ..., do ...")], parent=library.version)
    ```
    """


def open_library(name: str, *, db: str | os.PathLike[str] = "experience.db", version: int | None = None) -> Library:
    """Read one version of a library, the newest when none is named; the file is opened read-only and closed again.

    Raises StoreNotFound, UnknownLibrary, UnknownVersion, or what `Store.open` raises.
    """
    with Store.open(db, readonly=True) as store:
        return store.library(name, version)
