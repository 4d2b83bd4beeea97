"""A version of a library by its name, as the command line and the Python face give it."""

from __future__ import annotations

from experience_db import Library, Store
from tfgrpo.errors import UsageError


def library_at(store: Store, spec: str) -> Library:
    """Return the library that `NAME` or `NAME@VERSION` stands for."""
    name, _, version = spec.partition("@")
    if version and not version.isdecimal():
        raise UsageError(f"a library is NAME or NAME@VERSION with a whole number, not {spec!r}")
    return store.library(name, int(version) if version else None)
