"""Why edits were refused, counted for people."""

from __future__ import annotations

import re
from collections.abc import Iterable


def counted_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """Return reasons and how often each came, in order of first appearance.

    Those that differ in their numbers alone count together, under the first of them.
    """
    first: dict[str, str] = {}
    counts: dict[str, int] = {}
    varied = set()
    for reason in reasons:
        told = first.setdefault(re.sub(r"\d+", "", reason), reason)
        counts[told] = counts.get(told, 0) + 1
        varied |= {told} if told != reason else set()
    return {f"{told} (or with other numbers)" if told in varied else told: n for told, n in counts.items()}
