"""What can go wrong with the store, as one tree. Every message says what happened, where, and what to do next.

StoreError
 +- StoreNotFound (FileNotFoundError)       no such file or folder, or a file that holds nothing yet
 +- StoreReadOnly (PermissionError)         the file or its folder cannot be written, or was opened read-only
 +- StoreBusy (TimeoutError)                another process writes this file or this library
 +- StoreGone (FileNotFoundError)           the file was moved, deleted or replaced while it was in use
 +- StoreFull (OSError)                     the disk is full; the transaction was undone
 +- CorruptStore (sqlite3.DatabaseError)    not a database, cut short or damaged; left as it is
 |   +- NotAStore                           a sound SQLite file that belongs to something else
 +- NewerSchema (RuntimeError)              written by a newer release
 +- StaleVersion (RuntimeError)             the library has moved on since its parent was read
 +- UnknownLibrary, UnknownVersion, UnknownLesson, UnknownRun, UnknownEdit (KeyError)
 +- InvalidEdit (ValueError)                an edit that does not fit its operation
 |   +- ConflictingEdits                    two edits of one batch touch the same lesson
 +- InvalidName, BadTemplate, BadImport, RunConflict (ValueError)
"""

from __future__ import annotations

import sqlite3


class StoreError(Exception):
    """Base of all errors that experience_db raises on purpose."""


class StoreNotFound(StoreError, FileNotFoundError):
    """There is no database where one was expected."""


class StoreReadOnly(StoreError, PermissionError):
    """The database cannot be written."""


class StoreBusy(StoreError, TimeoutError):
    """Another process holds the write lock, or writes this library."""

    patience: float = 0.0
    """Seconds that it is worth trying again: 0 where the store has waited itself, or where waiting is of no use."""


class StoreGone(StoreError, FileNotFoundError):
    """The file was moved, deleted or replaced while it was in use; what is written now would be lost."""


class StoreFull(StoreError, OSError):
    """The disk is full, or took no more for another reason; what was being written was undone as a whole."""


class CorruptStore(StoreError, sqlite3.DatabaseError):
    """The file is not a database, was cut short or is damaged; it was not touched."""


class NotAStore(CorruptStore):
    """A sound SQLite file that belongs to something else."""


class NewerSchema(StoreError, RuntimeError):
    """The file was written by a newer release of tfgrpo."""


class StaleVersion(StoreError, RuntimeError):
    """The library has moved on; `parent` is what the caller knew, `head` what is there now."""

    def __init__(self, library: str, parent: int, head: int) -> None:
        super().__init__(
            f"library {library!r} is at version {head}, not {parent}; read it again and decide on version {head}"
        )
        self.parent = parent
        self.head = head


class _Unknown(StoreError, KeyError):
    """Something was named that is not there."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownLibrary(_Unknown):
    """No library of that name; the message lists those that exist."""


class UnknownVersion(_Unknown):
    """The library has no such version."""


class UnknownLesson(_Unknown):
    """The library has no such lesson."""


class UnknownRun(_Unknown):
    """No run of that id."""


class UnknownSession(_Unknown):
    """No session of that id was kept."""


class UnknownEdit(_Unknown):
    """No edit of that number is waiting."""


class InvalidEdit(StoreError, ValueError):
    """An edit that does not fit its operation: ids or text missing, or too many."""


class ConflictingEdits(InvalidEdit):
    """Two edits of one batch touch the same lesson."""


class InvalidName(StoreError, ValueError):
    """A library name that cannot be used."""


class BadTemplate(StoreError, ValueError):
    """The template of the lessons block does not compile or asks for a variable it does not get."""


class BadImport(StoreError, ValueError):
    """What should be imported is not an export, or not a list of lessons."""


class RunConflict(StoreError, ValueError):
    """A run of that id exists with another fingerprint."""
