"""All scanners over one text."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from tfgrpo.lessons.scanners.base import Finding, Kind
from tfgrpo.lessons.scanners.characters import as_read, hidden_character_findings
from tfgrpo.lessons.scanners.instructions import instruction_findings
from tfgrpo.lessons.scanners.personal import personal_findings
from tfgrpo.lessons.scanners.secrets import secret_findings
from tfgrpo.lessons.scanners.signs import findings_by_signs

ESCAPED = re.compile(r"\\([\[\]<>|!#`])")
"""How Markdown writes a sign that shall not be read as markup; a model reads it as the sign."""


def scan(text: str, *, allow: Collection[str] = (), known: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Return what is wrong with a lesson's words, worst kind first; empty when nothing is.

    Args:
        text: the lesson.
        allow: kinds that are let through. A key of this environment never is.
        known: keys of this environment.
    """
    plain = as_read(text)
    found = [
        *secret_findings(text, known),
        *personal_findings(plain),
        *hidden_character_findings(text),
        *instruction_findings(text, plain),
        *findings_by_signs(Kind.URL, plain)[:1],
        *findings_by_signs(Kind.CODE, plain),
        *findings_by_signs(Kind.MARKUP, ESCAPED.sub(r"\1", plain)),
    ]
    ours = any(secret in text for secret in known)
    return tuple(x for x in found if x.kind not in allow or (ours and x.kind is Kind.SECRET))


def scan_together(
    texts: Sequence[str], *, allow: Collection[str] = (), known: Sequence[str] = ()
) -> tuple[Finding, ...]:
    """Return what texts hold only when they are read one after the other: an order split over fields or lessons.

    What one of them holds alone is not repeated; see `scan`.
    """
    said = [text for text in texts if text.strip()]
    if len(said) < 2:
        return ()
    alone = {finding.kind for text in said for finding in scan(text, known=known)}
    ways = [" ".join(said), " ".join(reversed(said)), "".join(said)]
    wanted = {Kind.INSTRUCTION, Kind.SECRET, Kind.PERSONAL, Kind.CODE} - alone - set(allow)
    found = [x for way in ways for x in scan(way, allow=allow, known=known) if x.kind in wanted]
    return tuple(
        Finding(kind, f"{reason}, read together") for kind, reason in dict.fromkeys((x.kind, x.reason) for x in found)
    )
