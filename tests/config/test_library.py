"""Where the Python face looks for a library."""

from __future__ import annotations

import pytest

import tfgrpo
from experience_db import Store, StoreNotFound


def test_a_library_is_looked_for_where_the_command_line_looks(tmp_path, monkeypatch):
    """`TFGRPO_DB` names the database where the caller names none; an argument goes before it."""
    with Store.open(tmp_path / "mine.db") as store:
        store.create_library("web")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFGRPO_DB", str(tmp_path / "mine.db"))
    assert tfgrpo.open_library("web").name == "web"
    with pytest.raises(StoreNotFound):
        tfgrpo.open_library("web", db=tmp_path / "other.db")
