"""A file in use that is taken away, locked for long, copied or shrunk."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from experience_db import CorruptStore, Edit, Journal, Op, Store, StoreBusy, StoreGone, StoreReadOnly

TAKEN = {
    "deleted": lambda path: path.unlink(),
    "moved": lambda path: path.rename(path.with_name("elsewhere.db")),
    "replaced": lambda path: (shutil.copyfile(path, f"{path}2"), path.with_name(path.name + "2").replace(path)),
    "folder moved": lambda path: path.parent.rename(path.parent.with_name("gone")),
}


@pytest.mark.parametrize("how", TAKEN)
def test_a_file_that_is_taken_away_is_noticed_at_the_next_commit(taught, path, how):
    """Nothing more is written, and where the folder is still there, what it held is kept beside it."""
    TAKEN[how](path)
    with pytest.raises(StoreGone, match="moved, deleted or replaced while it was in use"):
        taught.commit("web", [Edit(Op.ADD, "lost")], parent=1)
    with pytest.raises(StoreGone):
        taught.record_endpoint_fact("", "m", "n", "v")
    if how != "folder moved":
        (kept,) = path.parent.glob(f"{path.name}-kept-*")
        with Store.open(kept, readonly=True) as store:
            assert store.library("web").version == 1
            assert store.verify() == ()


def test_a_file_that_comes_back_is_written_again(taught, path):
    """Moved there and back it is the same file."""
    away = path.rename(path.with_name("elsewhere.db"))
    with pytest.raises(StoreGone):
        taught.commit("web", [Edit(Op.ADD, "four")], parent=1)
    away.rename(path)
    assert taught.commit("web", [Edit(Op.ADD, "four")], parent=1).version == 2


def test_who_is_in_a_hurry_is_told_at_once(taught, path):
    """And how long the store would have waited; afterwards it waits again."""
    with Store.open(path) as second:
        second.wait_for(9)
        journal = Journal(second)
        with taught.atomic(), pytest.raises(StoreBusy) as caught, journal.hurried():
            journal.put("k", role="r", model="m", request={}, reply={})
        assert caught.value.patience == 9
        assert second._row("PRAGMA busy_timeout")[0] == 9000
        assert journal.put("k", role="r", model="m", request={}, reply={})


def test_a_backup_is_whole_and_stands_alone(taught, path):
    """Also of a file that is in use; it has no side files and replaces nothing unasked."""
    copy = taught.backup(path.with_name("copy.db"))
    taught.commit("web", [Edit(Op.ADD, "four")], parent=1)
    assert sorted(p.name for p in path.parent.glob("copy*")) == ["copy.db"]
    with Store.open(copy, readonly=True) as store:
        assert (store.library("web").version, store.verify()) == (1, ())
    for goal, force in ((copy, False), (path, True), (path.parent / "no" / "x.db", False)):
        with pytest.raises(StoreReadOnly, match=r"exists|cannot be opened|cannot be written"):
            taught.backup(goal, replace=force)
    taught.backup(copy, replace=True)
    with Store.open(copy, readonly=True) as store:
        assert store.library("web").version == 2


def test_vacuum_gives_room_back_and_changes_nothing_else(taught, path):
    """What was deleted leaves the file; calls keep their order and the search index still finds."""
    journal = Journal(taught)
    for number in range(50):
        journal.put(f"k{number}", role="r", model="m", request={"n": number}, reply={"text": "x" * 20_000})
    taught._write("DELETE FROM calls WHERE key < 'k4' AND key != 'k1'")
    before = [call.key for call in journal.calls()]
    sizes = taught.vacuum()
    assert sizes.after < sizes.before / 2
    assert [call.key for call in journal.calls()] == before
    assert taught.verify() == ()
    assert taught.search("web", "units")[0].text.startswith("When units")


def test_vacuum_waits_for_nobody_who_teaches(taught, path):
    """A library that a run holds is left alone."""
    with Store.open(path) as other, other.claim("web", "run night"), pytest.raises(StoreBusy, match="run night"):
        taught.vacuum()


def test_who_holds_a_library_is_told_without_touching_it(taught, path):
    """By the holder's own words while it lives, and by nothing afterwards."""
    with Store.open(path, readonly=True) as reader:
        assert reader.claimed_by("web") == ""
        with taught.claim("web", "run night"):
            assert reader.claimed_by("web").startswith("run night (process ")
            assert reader.claimed_by("other") == ""
        assert reader.claimed_by("web") == ""


@pytest.mark.parametrize(
    ("tampering", "fault"),
    [
        ("DROP TRIGGER edits_refuse_update", "the trigger edits_refuse_update is missing"),
        ("DROP VIEW call_costs", "the view call_costs is missing"),
        ("INSERT INTO lesson_uses VALUES ('web', 1, 'nobody', 0, 1)", "names a row of runs that is not there"),
    ],
)
def test_the_quick_check_finds_what_would_break_a_run(taught, path, tampering, fault):
    """Before anything is spent; what others added beside our tables is theirs."""
    taught.close()
    other = sqlite3.connect(path)
    other.executescript("CREATE TABLE mine (x); CREATE INDEX my_index ON calls(usd)")
    with Store.open(path) as store:
        store.require_sound()
    other.executescript(tampering)
    other.close()
    with Store.open(path) as store, pytest.raises(CorruptStore, match=fault):
        store.require_sound()


def test_a_table_that_was_changed_is_told_and_used(taught, path):
    """A column that somebody added stops no run, and the whole check names it."""
    taught._write("ALTER TABLE groups ADD COLUMN extra TEXT")
    taught.require_sound()
    assert taught.verify() == (f"{path}: the table groups is not as this release makes it",)
