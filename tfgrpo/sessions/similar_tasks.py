"""Tasks that are alike: the first of its kind names a group, and whatever shares enough content words joins it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tfgrpo.datasets.content_words import words
from tfgrpo.readers.row import content_id

ALIKE = 0.6
"""Content words in common, as a part of all that either has (Jaccard), from which on two tasks are alike."""


@dataclass(slots=True)
class SimilarTasks:
    """Groups of tasks, in the order in which they are met: more tasks change no earlier group."""

    _groups: dict[str, str] = field(default_factory=dict)
    """Group of each text."""
    _sizes: dict[str, int] = field(default_factory=dict)
    _with_word: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def group(self, task: str) -> str:
        """Return the group of a task, 12 hex digits; '' for an empty one."""
        text = " ".join(task.casefold().split())
        if text not in self._groups:
            self._groups[text] = self._found(text)
        return self._groups[text]

    def _found(self, text: str) -> str:
        mine = words(text)
        if not mine:
            return content_id(text) if text else ""
        shared = Counter(name for word in mine for name in self._with_word.get(word, ()))
        for name, common in shared.most_common():
            if common >= ALIKE * (len(mine) + self._sizes[name] - common):
                return name
        name = content_id(" ".join(sorted(mine)))
        self._sizes[name] = len(mine)
        for word in sorted(mine):
            self._with_word[word].append(name)
        return name
