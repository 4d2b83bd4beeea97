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

SPLIT = frozenset({Kind.INSTRUCTION, Kind.SECRET, Kind.PERSONAL})
"""What can stand in two halves in two lessons."""
SENTENCE_ENDS = tuple(".!?。！？…:;)")
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


def scan_beside(
    text: str, shown: Sequence[str], *, allow: Collection[str] = (), known: Sequence[str] = ()
) -> tuple[Finding, ...]:
    """Return what a lesson holds only together with one of those that a library shows: the other half of an order.

    A half is a text without the end of a sentence; lessons rarely are, so this is one look at most of them.
    """
    alone = {x.kind for x in scan(text, known=known)}
    joints = [(each, f"{each} {text}") for each in shown if _goes_on(each)]
    joints += [(each, f"{text} {each}") for each in shown if each.strip() and _goes_on(text)]
    found = []
    for each, joint in joints:
        new = [x for x in scan(joint, allow=allow, known=known) if x.kind in SPLIT - alone]
        found += [x for x in new if x.kind not in {y.kind for y in scan(each, known=known)}]
    return tuple(
        dict.fromkeys(Finding(x.kind, f"{x.reason}, read together with a lesson of the library") for x in found)
    )


def _goes_on(text: str) -> bool:
    return text.strip()[-1:] not in ("", *SENTENCE_ENDS)
