"""A version of a library by its name, as the command line and the Python face give it."""

from __future__ import annotations

from experience_db import Library, Store
from tfgrpo.errors import UsageError


def library_at(store: Store, spec: str) -> Library:
    """Return the library that `NAME` or `NAME@VERSION` stands for."""
    return store.library(*name_and_version(spec))


def name_and_version(spec: str) -> tuple[str, int | None]:
    """Return what `NAME` or `NAME@VERSION` says; the newest version is None. Raises UsageError."""
    name, _, version = spec.partition("@")
    if version and not version.isdecimal():
        raise UsageError(f"a library is NAME or NAME@VERSION with a whole number, not {spec!r}")
    return name, int(version) if version else None
