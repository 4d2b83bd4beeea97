"""Lessons in groups by what they are about, so that an agent can load one topic instead of all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from experience_db.records import Lesson

GENERAL = "general"
"""The topic of lessons that share no telling word with enough others."""
LEAST = 2
"""Lessons that make a topic, at least."""
_WORD = re.compile(r"[^\W\d_]{4,}")
_COMMON = frozenset(
    """when then that this with from each into before after first always never have has they them their there what which
    where while than only also both such some more most other over under must should would could does don make sure
    your about check using used uses instead every many much very well will need keep give given take""".split()  # noqa: SIM905
)
"""Words that say nothing about a topic."""


def by_topic(lessons: Sequence[Lesson], most: int) -> dict[str, tuple[Lesson, ...]]:
    """Return lessons by the word that names their topic, each in exactly one; largest topics first, `general` last.

    The word that most of the lessons left share becomes the next topic (greedy set cover), unless more than half of all
    lessons have it: that is what the library is about, and tells nothing apart.

    Args:
        lessons: of one version.
        most: topics beside `general`, at most; 1 or more.
    """
    words = {lesson.id: _words(lesson.text) for lesson in lessons}
    spread = Counter(word for found in words.values() for word in found)
    found: dict[str, tuple[Lesson, ...]] = {}
    left = list(lessons)
    while len(found) < most:
        counted = Counter(w for lesson in left for w in words[lesson.id] if spread[w] <= max(len(lessons) / 2, LEAST))
        if not counted:
            break
        word = min(counted, key=lambda w: (-counted[w], w))
        if counted[word] < LEAST:
            break
        found[word] = tuple(lesson for lesson in left if word in words[lesson.id])
        left = [lesson for lesson in left if word not in words[lesson.id]]
    if left:
        found[GENERAL] = (*found.get(GENERAL, ()), *left)
    return found


def _words(text: str) -> frozenset[str]:
    """The telling words of a lesson, without a plural's ending."""
    found = (word.lower() for word in _WORD.findall(text))
    return frozenset(word[:-1] if word.endswith("s") and not word.endswith("ss") else word for word in found) - _COMMON
