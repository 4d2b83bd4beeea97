"""A server of the pages over the database of a scripted run, and a client that knows who it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

from report_stores import hostile_run, scripted_run
from ui_visitor import TAINTED, Visitor, served

from experience_db import Edit, Op, Source, Store
from tfgrpo.lessons.review import WAITS
from tfgrpo.ui.lesson_rows import PAGE


@pytest.fixture(scope="session")
def made_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the scripted run `night`, one edit that waits for a person, and a library of two pages."""
    db = tmp_path_factory.mktemp("ui") / "x.db"
    scripted_run(db)
    with Store.open(db) as store:
        head = store.library("web")
        run = store.find_run("night")
        assert run is not None
        source = Source(store.group_rows(run.id, limit=1).rows[0]["problem_id"], (0,), run.id, 0)
        waiting = Edit(Op.ADD, TAINTED, reason="two winners did", sources=(source,), tainted=True)
        reason = f"{WAITS}: it rests on tool output"
        store.set_aside("web", [waiting], status="undecided", reason=reason, version=head.version)
        long = store.create_library("long")
        store.commit("long", [Edit(Op.ADD, f"Name the unit of {i}.") for i in range(PAGE + 9)], parent=long.version)
    return db


@pytest.fixture(scope="module")
def reader(made_db: Path) -> Iterator[Visitor]:
    """Somebody who did not sign in."""
    with served(made_db) as visitor:
        yield visitor


@pytest.fixture
def writer(made_db: Path, tmp_path: Path) -> Iterator[Visitor]:
    """Somebody who signed in, with a copy of the database for each test."""
    db = tmp_path / "x.db"
    with Store.open(made_db, readonly=True) as store:
        store.backup(db)
    with served(db) as visitor:
        visitor.sign_in()
        yield visitor


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """Somebody who looks at a database whose every text is an attack."""
    db = tmp_path_factory.mktemp("hostile") / "x.db"
    hostile_run(db)
    with served(db) as visitor:
        yield visitor
