"""Act as a user whom the rights of files bind, which root is not."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

VERSION = 0x20080522
"""`_LINUX_CAPABILITY_VERSION_3` (capget(2)): two structures of three words."""
PASSES_RIGHTS = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (capabilities(7))."""


@contextmanager
def bound_by_rights() -> Iterator[None]:
    """Take from this thread, and the threads it starts, the power to pass file rights; a user without it loses nothing.

    Changing the user instead would hide the interpreter's own files, which may lie in root's home: what is imported
    late fails then, and Python remembers a codec that it failed to import as one that is not there.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = (ctypes.c_uint32 * 2)(VERSION, 0), (ctypes.c_uint32 * 6)()
    _checked(libc.capget(header, before))
    without = (ctypes.c_uint32 * 6)(*before)
    without[0] &= ~PASSES_RIGHTS
    _checked(libc.capset(header, without))
    try:
        yield
    finally:
        _checked(libc.capset(header, before))


def _checked(result: int) -> None:
    """Raise what the system said."""
    if result:
        raise OSError(ctypes.get_errno(), "capset")
