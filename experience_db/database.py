"""One SQLite file: how it is opened, how transactions nest, and how SQLite's errors become ours.

WAL, foreign keys on, synchronous=NORMAL: a killed process loses nothing that was committed. One process writes,
any number read. A file that is damaged, foreign or too new is reported and left exactly as it is.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from experience_db.errors import (
    CorruptStore,
    NewerSchema,
    NotAStore,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreGone,
    StoreNotFound,
    StoreReadOnly,
    UnknownRun,
)
from experience_db.schema import APPLICATION_ID, SCHEMA

BUSY_SECONDS = 60.0
"""How long a writer waits for another one."""


class Database:
    """A connection with nested transactions and our errors; the store's parts are built on it."""

    def __init__(self, connection: sqlite3.Connection, path: str, *, readonly: bool, clock: Callable[[], float]):
        self._connection = connection
        self._lock = threading.RLock()
        self.closed = False
        self.path = path
        self.readonly = readonly
        self._home = None if readonly or path == ":memory:" else _place(path)
        self.clock = clock
        self.hide: Callable[[str], str] | None = None
        """Takes keys out of every text that is written; None writes texts as they are."""
        self.share_texts = True
        """Whether long texts are kept once and compressed (see `texts`), or written where they stand."""
        self.begun = 0
        """Transactions that were begun: inside of one, nobody else writes."""
        self.undone = 0
        """Transactions that were undone: what was remembered of their rows is wrong."""
        self.claimed: set[str] = set()
        """Libraries that this store keeps other writers off; see `claims`."""
        self.patience = BUSY_SECONDS
        """Seconds that a writer waits for another one; see `wait_for`."""

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, readonly: bool = False, clock: Callable[[], float] = time.time
    ) -> Self:
        """Open a database; a writable one is created and migrated as needed.

        Raises:
            StoreNotFound: Nothing to read there, or no folder to create it in.
            StoreReadOnly: It cannot be written; `readonly=True` may still read it.
            CorruptStore: Not a database, cut short or damaged. It was not touched.
            NotAStore: A database of something else.
            NewerSchema: Written by a newer release.
        """
        where = os.fspath(path)
        with translated_errors(where):
            connection = _connected(where, readonly)
            with ExitStack() as on_failure:
                on_failure.callback(connection.close)
                _settle_schema(connection, where, readonly)
                on_failure.pop_all()
        return cls(connection, where, readonly=readonly, clock=clock)

    def close(self) -> None:
        """Close the connection; closing twice is harmless."""
        self.closed = True
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait_for(self, seconds: float) -> None:
        """Wait so long for another process that holds the write lock, before StoreBusy is raised."""
        self.patience = seconds
        self._connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Raise StoreBusy at once inside, with `patience` set: for those who can wait without standing still."""
        with self._lock:
            self._connection.execute("PRAGMA busy_timeout = 0")
            try:
                yield
            except StoreBusy as busy:
                busy.patience = self.patience
                raise
            finally:
                self._connection.execute(f"PRAGMA busy_timeout = {round(self.patience * 1000)}")

    def _require_in_place(self) -> None:
        """Raise StoreGone when the name no longer leads to the file that is open."""
        if self._home is None or self._connection.in_transaction or self._home == _place(self._home[0]):
            return
        kept = Path(f"{self._home[0]}-kept-{os.getpid()}")
        try:
            with sqlite3.connect(kept) as copy:
                self._connection.backup(copy)
            copy.close()
            told = f"what it held until now is in {kept}: put it back under its name"
        except (OSError, sqlite3.Error) as error:
            told = f"what it held could not be copied beside it ({error}): put it back if it was moved"
        raise StoreGone(
            f"{self.path} was moved, deleted or replaced while it was in use, so nothing more was done; {told}, then "
            "run the same command again"
        )

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """All or nothing: what is written inside becomes visible and lasting together. Nests.

        Don't await inside: the write lock is held until the outermost block ends.
        """
        with self._lock, translated_errors(self.path):
            if self.readonly:
                raise StoreReadOnly(f"{self.path} was opened read-only; open it with readonly=False to write")
            nested = self._connection.in_transaction
            self._require_in_place()
            self._connection.execute("SAVEPOINT nested" if nested else "BEGIN IMMEDIATE")
            self.begun += not nested
            kept = False
            try:
                yield
                self._connection.execute("RELEASE nested" if nested else "COMMIT")
                kept = True
            finally:
                if not kept:
                    self._undo(nested)

    def _undo(self, nested: bool) -> None:
        self.undone += 1
        # A full disk may have undone the whole transaction already.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK TO nested" if nested else "ROLLBACK")
            if nested:
                self._connection.execute("RELEASE nested")

    def data_version(self) -> int:
        """Return a number that changes when another connection has written to the file."""
        row = self._row("PRAGMA data_version")
        return int(row[0]) if row is not None else 0

    def _rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock, translated_errors(self.path):
            return self._connection.execute(sql, bind_values(sql, values)).fetchall()

    def _row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        with self._lock, translated_errors(self.path):
            row: sqlite3.Row | None = self._connection.execute(sql, bind_values(sql, values)).fetchone()
            return row

    def _write(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Run one statement; outside of `atomic` it is committed at once."""
        with self._lock, translated_errors(self.path):
            self._require_in_place()
            return self._connection.execute(sql, self._hidden(values))

    def _write_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with self.atomic():
            self._connection.executemany(sql, map(self._hidden, rows))

    def _hidden(self, values: Sequence[Any]) -> Sequence[Any]:
        hide = self.hide
        return values if hide is None else [hide(value) if isinstance(value, str) else value for value in values]

    def _insert(self, table: str, **columns: Any) -> int:
        """Insert one row and return its row id."""
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608  names are ours
        return int(self._write(sql, *columns.values()).lastrowid or 0)


@contextmanager
def translated_errors(path: str) -> Iterator[None]:
    """Turn what SQLite raises inside into one sentence of ours."""
    try:
        yield
    except StoreError:  # CorruptStore is a sqlite3 error as well, and is already a sentence.
        raise
    except sqlite3.Error as error:
        raise _explained(error, path) from error


def _explained(error: sqlite3.Error, path: str) -> StoreError:  # noqa: PLR0911  (one for each kind)
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return UnknownRun(f"{path}: a record names a run that was never started; call start_run first")
    match code & 0xFF:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return CorruptStore(
                f"{path} is no database or is damaged ({error}); it was left as it is: restore a copy or name another"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StoreReadOnly(f"{path} cannot be opened for this ({error}); check the file's and folder's rights")
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"no space left to write {path}; free some and run the same command again")
        case sqlite3.SQLITE_IOERR:
            return StoreFull(
                f"the system could not read or write {path} ({error}); check the disk's space, quotas and limits, "
                "then run the same command again"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(
                f"another process is writing {path} and did not end in time; wait until it is done, give it longer "
                "(-s engine.lock_wait=SECONDS), or use another file"
            )
        case _:
            return StoreError(f"{path}: {error}; nothing was written")


def _connected(path: str, readonly: bool) -> sqlite3.Connection:
    if path == ":memory:":
        return _prepared(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
    file = Path(path).absolute()
    _check_place(file, path, readonly)
    uri = f"{file.as_uri()}?mode={'ro' if readonly else 'rwc'}"
    if readonly and not _may_write(file.parent) and not file.with_name(file.name + "-wal").exists():
        uri += "&immutable=1"  # WAL wants to create a side file even to read; this says that nobody writes.
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    with ExitStack() as on_failure:
        on_failure.callback(connection.close)
        prepared = _prepared(connection, readonly)
        on_failure.pop_all()
    return prepared


def _prepared(connection: sqlite3.Connection, readonly: bool = False) -> sqlite3.Connection:
    connection.row_factory = sqlite3.Row
    # The first read finds damage, and must come before anything that could write.
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("PRAGMA foreign_keys = ON")
    if not readonly:
        connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _place(path: str) -> tuple[str, int, int] | None:
    """Return where a file is and which one it is; None when nothing is there."""
    where = os.path.abspath(path)
    try:
        found = os.stat(where)
    except OSError:
        return None
    return where, found.st_dev, found.st_ino


def _check_place(file: Path, path: str, readonly: bool) -> None:
    if file.is_dir():
        raise StoreReadOnly(f"{path} is a folder; name a database file in it")
    if not file.parent.is_dir():
        raise StoreNotFound(f"cannot open {path}: there is no folder {file.parent}; create it first")
    if file.exists() and not _looks_sound(file):
        raise CorruptStore(f"{path} is no database or is damaged; it was left as it is: restore a copy or name another")
    if readonly and not file.exists():
        raise StoreNotFound(f"there is no database {path}; run `tfgrpo learn` first, or name another file")
    if not readonly and not _may_write(file if file.exists() else file.parent):
        raise StoreReadOnly(f"{path} cannot be written; check the rights of the file and its folder")


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _looks_sound(file: Path) -> bool:
    """Whether the file is empty or begins as a database; SQLite itself would overwrite a very short file."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            return size == 0 or (size >= 512 and stream.read(16) == b"SQLite format 3\0")
    except PermissionError as error:
        raise StoreReadOnly(f"{file} cannot be read; check the rights of the file and its folder") from error


def _settle_schema(connection: sqlite3.Connection, path: str, readonly: bool) -> None:
    """Check whose file this is and how new; create or upgrade it when it may be written."""
    # Tables first: another process may be creating the file right now, and it sets all three at once.
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    if tables and owner != APPLICATION_ID:
        raise NotAStore(f"{path} is a database of something else; it was left as it is: name another file")
    if schema > SCHEMA:
        raise NewerSchema(
            f"{path} has schema {schema}, this release knows up to {SCHEMA}; upgrade tfgrpo, or use another file"
        )
    if readonly:
        if schema < SCHEMA:
            fault = "holds an older schema" if tables else "is empty"
            raise StoreNotFound(f"{path} {fault}; `tfgrpo db vacuum --db {path}` brings it up to date once")
        return
    if connection.execute("PRAGMA journal_mode").fetchone()[0] not in {"wal", "memory"}:
        connection.execute("PRAGMA journal_mode = WAL")
    if schema < SCHEMA:
        from experience_db.migrations import migrate  # noqa: PLC0415  sqlite-utils loads numpy where it finds it

        migrate(connection)


def bind_values(sql: str, values: Sequence[Any]) -> Sequence[Any] | dict[str, Any]:
    """Return values as sqlite3 wants them: by name for numbered placeholders (`?1`), in order for plain ones.

    Python 3.12 warns of numbered placeholders that are bound in order, and 3.14 refuses them.
    """
    return {str(i): value for i, value in enumerate(values, 1)} if "?1" in sql else values
