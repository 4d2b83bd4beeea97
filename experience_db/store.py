"""The store: libraries, runs and the evidence between them, in one SQLite file."""

from __future__ import annotations

import os

from experience_db.exchange import Exchange
from experience_db.groups import Groups
from experience_db.lesson_pages import LessonPages
from experience_db.library import Library
from experience_db.lineage import Lineage
from experience_db.pages import Pages
from experience_db.pruning import Pruning
from experience_db.reports import Reports
from experience_db.retrieval import Retrieval, by_name
from experience_db.runs import Runs
from experience_db.sessions import Sessions
from experience_db.vectors import Vectors


class Store(Sessions, Lineage, Exchange, Pruning, Runs, Groups, Pages, LessonPages, Reports, Vectors):
    """One database file. One process writes, any number read; use it as a context manager.

    ```
    with Store.open("experience.db") as store:
        library = store.create_library("web")
        library = store.commit("web", [Edit(Op.ADD, "When ..., do ...")], parent=library.version)
    ```
    """


def open_library(
    name: str,
    *,
    db: str | os.PathLike[str] = "experience.db",
    version: int | None = None,
    retrieval: str | Retrieval = "all",
    tokens: int = 600,
) -> Library:
    """Read one version of a library, the newest when none is named; the file is opened read-only and closed again.

    More than 2,000 lessons stay in the file until they are needed, which is then opened again for reading.

    Args:
        name: of the library.
        db: the file.
        version: from 0.
        retrieval: what `inject` puts in: `all` lessons, those that suit the problem by their words (`fts`), or a
            Retrieval.
        tokens: room for lessons in one prompt, where a retrieval chooses them.

    Raises StoreNotFound, UnknownLibrary, UnknownVersion, ValueError for no such retrieval, or what `Store.open` raises.
    """
    chosen = by_name(retrieval, tokens) if isinstance(retrieval, str) else retrieval
    with Store.open(db, readonly=True) as store:
        found = store.library(name, version)
        return found.altered(db=os.path.abspath(db), pinned=version is not None, retrieval=chosen)
