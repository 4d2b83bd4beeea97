"""Care of a database file: a copy of it while it is in use, and giving back the room that nothing needs any more."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from experience_db.database import translated_errors
from experience_db.errors import StoreBusy, StoreReadOnly
from experience_db.verify import Verification


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a file before and after."""

    before: int
    after: int


class Upkeep(Verification):
    """The part of the store that copies and shrinks its file."""

    def backup(self, to: str | os.PathLike[str], *, replace: bool = False) -> Path:
        """Copy everything that is committed into the file `to`; others may write meanwhile.

        The copy appears under its name once it is whole.

        Raises:
            StoreReadOnly: `to` exists and may not be replaced, is this database, or its folder cannot be written.
        """
        goal = Path(to)
        if goal.exists() and (not replace or goal.samefile(self.path)):
            raise StoreReadOnly(f"{goal} exists; name another file, or allow it to be replaced (--force)")
        if not goal.absolute().parent.is_dir():
            raise StoreReadOnly(
                f"{goal} cannot be written: there is no folder {goal.parent}; create it, or name another file"
            )
        part = goal.with_name(f"{goal.name}-part-{os.getpid()}")
        try:
            with translated_errors(os.fspath(goal)), closing(sqlite3.connect(part)) as copy:
                self._connection.backup(copy)
                # A copy that lies alone needs no side files.
                copy.execute("PRAGMA journal_mode = DELETE")
            part.replace(goal)
        except OSError as error:
            raise StoreReadOnly(
                f"{goal} cannot be written ({error.strerror or error}); name a file in another folder"
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return goal

    def vacuum(self) -> Sizes:
        """Write the file anew without the room of what is gone, and empty its log.

        Raises:
            StoreBusy: a run teaches a library of this file, or another process writes it.
        """
        for name in self.libraries():
            if by := self.claimed_by(name):
                raise StoreBusy(f"{by} is writing library {name!r} of {self.path}; wait until it has ended")
        before = self._size()
        self._write("VACUUM")
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return Sizes(before, self._size())

    def _size(self) -> int:
        """Bytes of the file and its log."""
        files = (Path(self.path), Path(f"{self.path}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())
