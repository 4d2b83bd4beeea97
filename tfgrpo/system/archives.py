"""What a zip would come to, before any of it is unpacked: a few kilobytes can stand for more than any memory holds."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable

UNPACKED_BYTES = 2**31
"""What the members of an archive may come to together."""


def too_large(members: Iterable[zipfile.ZipInfo]) -> str:
    """Return why members are too large to be unpacked; '' where they are not. `zipfile` reads no more than they say."""
    size = sum(member.file_size for member in members)
    return f"unpacked it would have {size:,} bytes, and {UNPACKED_BYTES:,} are allowed" if size > UNPACKED_BYTES else ""
