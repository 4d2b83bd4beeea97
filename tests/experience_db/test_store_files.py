"""Files that cannot be used: each is one clear sentence, and none is ever overwritten."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from support.rights import bound_by_rights

from experience_db import (
    CorruptStore,
    Edit,
    NewerSchema,
    NotAStore,
    Op,
    Store,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreNotFound,
    StoreReadOnly,
    UnknownLibrary,
    database,
    open_library,
)

BOTH = pytest.mark.parametrize("readonly", [False, True])


@pytest.fixture
def closed(taught, path) -> Path:
    """The file of a store with lessons, closed."""
    taught.close()
    return path


@BOTH
@pytest.mark.parametrize("content", [b"x", b"a list of lessons\n" * 500])
def test_text_file_is_reported_and_left_alone(path, content, readonly):
    """A text file named .db raises CorruptStore and keeps its bytes."""
    path.write_bytes(content)
    with pytest.raises(CorruptStore, match="is no database or is damaged"):
        Store.open(path, readonly=readonly)
    assert path.read_bytes() == content


@BOTH
@pytest.mark.parametrize("keep", [0.9, 0.5, 0.05, 0.001])
def test_truncated_file_is_reported_and_left_alone(closed, keep, readonly):
    """A file cut short raises CorruptStore, also a sqlite3.DatabaseError, and keeps its bytes."""
    content = closed.read_bytes()
    closed.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(sqlite3.DatabaseError) as caught:
        Store.open(closed, readonly=readonly)
    assert isinstance(caught.value, CorruptStore)
    assert closed.read_bytes() == content[: int(len(content) * keep)]


def test_damage_inside_is_found_by_verify(closed):
    """Pages overwritten in the middle are reported, by opening or by verify, and never repaired silently."""
    content = bytearray(closed.read_bytes())
    for start in range(4096 * 2, len(content), 4096):
        content[start : start + 200] = b"\xff" * 200
    closed.write_bytes(content)
    try:
        with Store.open(closed) as store:
            found = store.verify()
    except CorruptStore as error:
        found = (str(error),)
    assert str(closed) in found[0]


@BOTH
def test_database_of_something_else_is_refused(path, readonly):
    """A sound SQLite file with other tables raises NotAStore and gets none of ours."""
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name)")
    other.close()
    content = path.read_bytes()
    with pytest.raises(NotAStore, match="a database of something else"):
        Store.open(path, readonly=readonly)
    assert path.read_bytes() == content


@BOTH
def test_newer_schema_is_refused(closed, readonly):
    """A file of a later release raises NewerSchema, for readers and writers."""
    raw = sqlite3.connect(closed)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(NewerSchema, match="schema 99"):
        Store.open(closed, readonly=readonly)


def test_empty_file_becomes_a_store(path):
    """A file of no bytes is created anew for a writer; a reader is told that it is empty."""
    path.touch()
    with pytest.raises(StoreNotFound, match="is empty"):
        Store.open(path, readonly=True)
    with Store.open(path) as store:
        assert store.libraries() == ()
    with pytest.raises(UnknownLibrary, match="it has: none yet"):
        open_library("web", db=path)


def test_missing_file_or_folder_is_told_apart(tmp_path):
    """A reader hears that the file is missing, a writer that the folder is; both are FileNotFoundError."""
    with pytest.raises(FileNotFoundError, match="there is no database"):
        Store.open(tmp_path / "none.db", readonly=True)
    with pytest.raises(StoreNotFound, match="there is no folder"):
        Store.open(tmp_path / "none" / "x.db")
    with pytest.raises(StoreReadOnly, match="is a folder"):
        Store.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_path_may_hold_any_character(tmp_path):
    """Blanks, percent signs, question marks and hashes in a path are part of the name."""
    path = tmp_path / "a b%20?c#d.db"
    with Store.open(path) as store:
        store.create_library("web")
    assert path.exists()
    assert open_library("web", db=path).name == "web"


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o755, 0o444), (0o555, 0o444), (0o555, 0o644)])
def test_read_only_file_can_be_read_and_says_why_not_written(closed, folder_mode, file_mode):
    """Without the right to write, reading works and writing raises StoreReadOnly, also a PermissionError."""
    folder = Path(tempfile.mkdtemp(prefix="tfgrpo-test-"))
    file = folder / "experience.db"
    shutil.copyfile(closed, file)
    file.chmod(file_mode)
    folder.chmod(folder_mode)
    try:
        with bound_by_rights():
            assert len(open_library("web", db=file)) == 3
            with pytest.raises(PermissionError) as caught, Store.open(file) as store:
                store.commit("web", [Edit(Op.ADD, "x")], parent=1)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert isinstance(caught.value, StoreReadOnly)
    assert str(caught.value).startswith(f"{file} cannot be")


def test_folder_that_cannot_be_written_says_so():
    """A new store in a folder without the right to write raises StoreReadOnly."""
    folder = Path(tempfile.mkdtemp(prefix="tfgrpo-test-"))
    folder.chmod(0o555)
    try:
        with bound_by_rights(), pytest.raises(StoreReadOnly, match="cannot be written"):
            Store.open(folder / "new.db")
    finally:
        folder.rmdir()


def test_full_disk_undoes_the_commit(taught):
    """When no page can be added, commit raises StoreFull and the store stays as it was."""
    pages = taught._rows("PRAGMA page_count")[0][0]
    taught._write(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFull, match="no space left"):
        taught.commit("web", [Edit(Op.ADD, "x" * 100_000)], parent=1)
    taught._write("PRAGMA max_page_count = 1000000")
    assert taught.library("web").version == 1
    assert taught.verify() == ()
    assert taught.commit("web", [Edit(Op.ADD, "x")], parent=1).version == 2


def test_second_writer_waits_and_then_says_so(taught, path):
    """A writer that finds the write lock taken raises StoreBusy when its patience ends."""
    with Store.open(path) as second:
        second._write("PRAGMA busy_timeout = 1")
        with taught.atomic(), pytest.raises(StoreBusy, match="another process is writing"):
            second.create_library("other")
    assert database.BUSY_SECONDS > 1


@pytest.mark.parametrize("error", StoreError.__subclasses__())
def test_each_error_is_also_the_one_of_the_standard_library(error):
    """Every error class has a sentence of its own, and the standard error that a caller would expect beside ours."""
    assert error.__doc__
    assert len(error.__mro__) > len(StoreError.__mro__) + 1
