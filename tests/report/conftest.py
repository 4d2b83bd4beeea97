"""Reports that several tests read; each is made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from report_stores import hostile_run, large_run, scripted_run

from experience_db import Store
from tfgrpo.report import Report, gather


def read(db: Path, make: Callable[[Path], str]) -> Report:
    """Make a run in a new database and gather its report."""
    run = make(db)
    with Store.open(db, readonly=True) as store:
        return gather(store, run)


@pytest.fixture(scope="session")
def night_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of the scripted run `night`."""
    db = tmp_path_factory.mktemp("night") / "x.db"
    scripted_run(db)
    return db


@pytest.fixture(scope="session")
def night(night_db: Path) -> Report:
    """The report of a run in which a gate kept three lessons and refused a harmful one."""
    with Store.open(night_db, readonly=True) as store:
        return gather(store, "night")


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a run whose every text is an attack."""
    return read(tmp_path_factory.mktemp("hostile") / "x.db", hostile_run)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a run with 500 long rollouts."""
    return read(tmp_path_factory.mktemp("large") / "x.db", lambda db: large_run(db, length=20_000))
