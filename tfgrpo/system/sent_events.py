"""Server-sent events as the models' protocols use them: JSON behind `data:`, up to a `[DONE]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfgrpo.system.untrusted_json import Unreadable, loads


def events_of(text: str) -> Iterator[Any]:
    """Yield what the events of a stream hold, in order; None for one that cannot be read."""
    # Not splitlines: JSON may hold U+2028, which is no end of a line here.
    for line in text.lstrip("\ufeff").split("\n"):
        said = line[5:].strip() if line.startswith("data:") else ""
        if said and said != "[DONE]":
            try:
                yield loads(said, forgiving=True)
            except Unreadable:
                yield None
