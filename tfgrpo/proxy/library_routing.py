"""Which version of which library a request meets: by header, by suffix of the model, or the default."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from experience_db import Library, Retrieval, Store, UnknownLibrary, UnknownVersion
from experience_db.errors import StoreError
from experience_db.session_records import Offer

HEADER = "x-tfgrpo-library"


@dataclass(slots=True)
class LibraryRouting:
    """The libraries of one database; a version committed by anybody is seen by the next request."""

    db: Path
    default: str = ""
    """NAME or NAME@VERSION for requests that name none; empty adds nothing to them."""
    retrieval: Retrieval | None = None
    """How lessons are chosen for a request; None adds all of them."""
    _store: Store | None = None
    _known: dict[str, Library] = field(default_factory=dict)
    _offers: dict[str, Offer] = field(default_factory=dict)
    _stamps: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    _data: int = -1

    def open(self) -> None:
        """Open the database and find the default library. Raises StoreError."""
        self._store = Store.open(self.db, readonly=True)
        if self.default:
            self.library(self.default)

    def close(self) -> None:
        """Give the database back."""
        if self._store is not None:
            self._store.close()

    @property
    def store(self) -> Store:
        """The database, open for reading. Raises StoreError."""
        if self._store is None:
            raise StoreError(f"{self.db} is not open")
        return self._store

    def library(self, spec: str) -> Library:
        """Return `NAME` or `NAME@VERSION`. Raises UnknownLibrary, UnknownVersion or another StoreError."""
        store = self.store
        self._forget_stale()
        if spec not in self._known:
            name, _, version = spec.partition("@")
            # One spelling for each number: what is known is kept, and 1, 01, 001 ... would fill the memory.
            if version and not (version.isascii() and version.isdigit() and str(int(version[:18])) == version):
                raise UnknownVersion(f"a library is NAME or NAME@VERSION with a whole number, not {spec[:200]!r}")
            found = store.library(name, int(version) if version else None)
            self._known[spec] = found.altered(pinned=bool(version), retrieval=self.retrieval)
            self._stamps[name] = store.stamp(name)
        return self._known[spec]

    def offer(self, library: Library) -> Offer:
        """Return what sessions of a library can meet now; of one that was asked for at a version, this one alone."""
        if library.pinned:
            return Offer(library)
        self._forget_stale()
        if library.name not in self._offers:
            self._offers[library.name] = self.store.offer(library.name)
            self._stamps[library.name] = self.store.stamp(library.name)
        return self._offers[library.name]

    def _forget_stale(self) -> None:
        """Forget what somebody changed; records of sessions change the file and nothing that is kept here."""
        data = self.store.data_version()
        if data == self._data:
            return
        self._data = data
        for name, stamp in list(self._stamps.items()):
            if self.store.stamp(name) != stamp:
                del self._stamps[name]
                self._offers.pop(name, None)
                for spec in [spec for spec in self._known if spec.partition("@")[0] == name]:
                    del self._known[spec]

    def choose(self, header: str | None, model: object) -> tuple[Library | None, str | None]:
        """Return the library of a request, and the model's name without the suffix that chose it.

        Raises:
            StoreError: the header names a library that does not exist.
        """
        if header:
            return self.library(header), None
        if isinstance(model, str) and ":" in model:
            bare, _, suffix = model.rpartition(":")
            try:
                return self.library(suffix), bare
            except (UnknownLibrary, UnknownVersion, ValueError):
                pass  # a tag of the model's own, as in qwen3:8b
        return (self.library(self.default) if self.default else None), None
