"""One writer per library: a run claims the library it teaches, and whoever else would move it is told who holds it.

The claim is a lock of the operating system on a small file beside the database, so it ends with its process, however
that ends. Readers never look at it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from experience_db.database import Database
from experience_db.errors import StoreBusy, StoreReadOnly
from experience_db.records import Run


class Claims(Database):
    """The part of the store that keeps other writers off a library."""

    @contextmanager
    def claim(self, library: str, by: str = "somebody") -> Iterator[None]:
        """Keep every other process, and every other open store of this one, from moving `library`.

        Args:
            library: its name; it need not exist yet.
            by: who claims it, for the message that others get.

        Raises:
            StoreBusy: somebody else holds it; the message says who.
        """
        if self.path == ":memory:" or library in self.claimed:
            yield
            return
        file = self._claim_file(library)
        descriptor = _locked(file)
        if descriptor is None:
            raise self._refusal(library, file)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{by} (process {os.getpid()})".encode(), 0)
        self.claimed.add(library)
        try:
            yield
        finally:
            self.claimed.discard(library)
            file.unlink(missing_ok=True)
            os.close(descriptor)

    def claimed_by(self, library: str) -> str:
        """Return who holds `library` at this moment, as `claim` was told; '' when nobody does. Changes nothing."""
        if self.path == ":memory:":
            return ""
        try:
            descriptor = os.open(self._claim_file(library), os.O_RDONLY)
        except OSError:
            return ""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.pread(descriptor, 1000, 0).decode("utf-8", "replace") or "another process"
        finally:
            os.close(descriptor)
        return ""

    def is_live(self, run: str, library: str | None) -> bool:
        """Whether a process holds the run: one that teaches holds its library, any other its own id."""
        return any(self.claimed_by(name).startswith(f"run {run} ") for name in (library, f"run {run}") if name)

    def current_status(self, run: Run) -> str:
        """Return a run's status; one that was left `running` by a process that is gone has `died`."""
        return "died" if run.status == "running" and not self.is_live(run.id, run.library) else run.status

    def with_current_status(self, run: Run) -> Run:
        """Return a run with the status it has now; see `current_status`."""
        return replace(run, status=self.current_status(run))

    def _require_unclaimed(self, library: str) -> None:
        """Raise StoreBusy when somebody else holds `library`."""
        if self.path == ":memory:" or library in self.claimed:
            return
        file = self._claim_file(library)
        if not file.exists():
            return
        descriptor = _locked(file)
        if descriptor is None:
            raise self._refusal(library, file)
        # Its holder was killed: nobody will take the file away.
        file.unlink(missing_ok=True)
        os.close(descriptor)

    def _claim_file(self, library: str) -> Path:
        return Path(f"{self.path}-lock-{hashlib.sha256(library.encode()).hexdigest()[:8]}")

    def _refusal(self, library: str, file: Path) -> StoreBusy:
        try:
            holder = file.read_text(encoding="utf-8") or "another process"
        except FileNotFoundError:
            holder = "another process"
        return StoreBusy(
            f"{holder} is writing library {library!r} of {self.path}; wait until it has ended, or use another library"
        )


def _locked(file: Path) -> int | None:
    """Open and lock `file`; None when somebody holds the lock."""
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreReadOnly(
                f"{file} cannot be written ({error.strerror}); check the rights of its folder"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        # Its last holder may have taken the file away between our open and our lock.
        if _same(descriptor, file):
            return descriptor
        os.close(descriptor)


def _same(descriptor: int, file: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == file.stat().st_ino
    except FileNotFoundError:
        return False
