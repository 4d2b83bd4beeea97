"""A store in a file of its own, with a clock that ticks once a look."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

import experience_db
from experience_db import Edit, Op, Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store of a test lives."""
    return tmp_path / "experience.db"


@pytest.fixture(scope="session")
def new_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without a library; migrating it once saves each test the time."""
    file = tmp_path_factory.mktemp("new") / "experience.db"
    Store.open(file).close()
    return file


@pytest.fixture
def store(path: Path, new_file: Path) -> Iterator[Store]:
    """An open store with an empty library `web`."""
    shutil.copyfile(new_file, path)
    ticks = count(1000)
    with Store.open(path, clock=lambda: float(next(ticks))) as opened:
        opened.create_library("web")
        yield opened


@pytest.fixture
def run(store: Store) -> str:
    """The id of a started run."""
    facts = {"name": "night", "kind": "learn", "fingerprint": "f", "config": {}, "dataset": "d"}
    return store.start_run("r1", library="web", base_version=0, **facts).id


@pytest.fixture
def taught(store: Store) -> Store:
    """A store whose library `web` holds three lessons in version 1."""
    texts = ("When units differ, convert first.", "Draw the figure.", "Check the edge cases of a loop.")
    store.commit("web", [Edit(Op.ADD, text) for text in texts], parent=0, note="add")
    return store


@pytest.fixture
def package_path() -> str:
    """The folder that child processes need on PYTHONPATH to import what is tested here."""
    return str(Path(experience_db.__file__).parents[1])
