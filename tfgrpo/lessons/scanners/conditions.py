"""An answer under a condition is advice ("When a refund is asked for, say billing"), one for everything an order."""

from __future__ import annotations

import re

FIXED = "it orders one fixed answer"
"""The sentence of the signs that a real condition lifts."""
NEAR = 160
"""Characters on each side in which the rest of the sentence is looked at."""
_STOP = re.compile(r"[.!?\n]")
_BEFORE = re.compile(
    r"\b(?:when|whenever|if|where|once|for|unless|with|in|on)\b(?P<what>[^.!?\n]{0,200})$", re.IGNORECASE
)
_AFTER = re.compile(
    r"^\s?,?\s?(?:only )?(?:when|whenever|if|where|once|unless|for)\b(?P<what>[^.!?\n]*)", re.IGNORECASE
)
_ABOUT = re.compile(
    r"\b(?:if|when|whenever|unless|whether|once|where|until)\s+(?:the |an? |its |your |that |this )?$", re.IGNORECASE
)
"""What stands before an answer that a sentence only supposes."""
_NUMBER = re.compile(r"\d")
_YES_NO = re.compile(r"\b(?:yes|no|true|false|none)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,40}")
_UNIVERSAL = (
    "asked anything everything any every all each whatever whichever always question questions problem problems task"
    " tasks query queries prompt prompts input inputs user users stuck doubt unsure something someone time times case"
    " cases matter regardless irrespective you your possible page pages lesson lessons it this that here there"
)
_EVERYTHING = frozenset(_UNIVERSAL.split())


def is_conditional(text: str, match: re.Match[str]) -> bool:
    """Whether the sentence around an ordered answer says when it holds, and not "always" in other words.

    Numbers are no labels: an order to answer 42 stays one under any condition.
    """
    if _NUMBER.search(match[0]):
        return False
    before = _STOP.split(text[max(0, match.start() - NEAR) : match.start()])[-1]
    if _ABOUT.search(before) and match[0].lower().startswith(("answer", "solution", "result")):
        return True
    after = _STOP.split(text[match.end() : match.end() + NEAR])[0]
    found = [_BEFORE.search(before), _AFTER.match(after)]
    whats = [each["what"] for each in found if each]
    if match[0].startswith(":") and _YES_NO.search(match[0]):
        whats.append(before)
    return any(map(_is_real, whats))


def _is_real(what: str) -> bool:
    words = [word.lower() for word in _WORD.findall(what)]
    return len(words) >= 2 and not _EVERYTHING & set(words)
