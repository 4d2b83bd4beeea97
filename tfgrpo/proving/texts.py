"""What can be proved: a prompt, SKILL.md, AGENTS.md, a folder of skills, a library. Each becomes a library to inject.

`system` puts the text at the end of the system message as it is; `lessons` reads its list items as lessons and shows
them as learning would; `file` shows it as a file of the project that an agent has opened. Whatever the environment is,
it meets the text in the place where lessons go.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from experience_db import Edit, Lesson, Library, Op, Store
from experience_db.errors import StoreError
from experience_db.exchange import lesson_texts
from tfgrpo.errors import UsageError
from tfgrpo.gates.touch import touched
from tfgrpo.lessons.versions import library_at
from tfgrpo.prompting.templates import Prompts
from tfgrpo.proving.judge import Touch
from tfgrpo.types import Problem

Way = Literal["system", "lessons", "file"]
WAYS: tuple[Way, ...] = ("system", "lessons", "file")
NONE = "none"
PLAIN = "{% for lesson in lessons %}{{ lesson.text }}\n{% endfor %}"
SKILL = "SKILL.md"
MARKER = re.compile(r"^\s*(?:[-*+#>]+|\d+[.)]|\[\d+\])\s+")
"""What stands before the words of a line in Markdown."""


@dataclass(frozen=True, slots=True)
class Text:
    """Something that agents read."""

    name: str
    words: str
    """What it says, for finding the problems that it touches."""
    library: Library
    """How the model meets it."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where texts are looked for, and how they are shown."""

    store: Store
    prompts: Prompts
    way: Way | None = None
    """None shows a library as lessons and everything else as it is."""

    def texts(self, given: str) -> tuple[Text, ...]:
        """Return the texts behind a name: one, or those of a folder of skills.

        Raises:
            UsageError: neither a file, a folder with skills, nor a library; or a file without text.
        """
        place = Path(given)
        if place.is_dir():
            return tuple(self._file(file, file.parent.name) for file in _skills(place))
        if place.is_file():
            return (self._file(place, given),)
        return (self._library(given),)

    def none(self) -> Text:
        """Return the text that says nothing."""
        return Text(NONE, "", Library(NONE, template=PLAIN))

    def _file(self, file: Path, name: str) -> Text:
        try:
            words = file.read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} cannot be read as UTF-8 text: {error}") from error
        if not words:
            raise UsageError(f"{file} is empty; there is nothing to prove")
        if self.way == "lessons":
            listed = lesson_texts(words)
            if not listed:
                raise UsageError(f"{file} holds no list item that could be a lesson; use --as system")
            return Text(name, words, _lessons(name, listed, self.prompts.block()))
        shown = self.prompts.render("prove/file", file=file.name, text=words) if self.way == "file" else words
        return Text(name, words, _lessons(name, [shown], PLAIN))

    def _library(self, given: str) -> Text:
        try:
            found = library_at(self.store, given)
        except (StoreError, UsageError) as error:
            words = f"no file or folder {given!r}, and as a library: {error}"
            raise UsageError(f"{words}; name a text, a folder with a SKILL.md, or NAME@VERSION of a library") from error
        words = "\n".join(lesson.text for lesson in found)
        if not words:
            raise UsageError(
                f"version {found.version} of library {found.name!r} has no lessons; there is nothing to prove"
            )
        if self.way == "system":
            return Text(given, words, _lessons(given, [words], PLAIN))
        if self.way == "file":
            shown = self.prompts.render("prove/file", file=f"{found.name}.md", text=words)
            return Text(given, words, _lessons(given, [shown], PLAIN))
        return Text(given, words, found)


def _skills(place: Path) -> list[Path]:
    found = [place / SKILL] if (place / SKILL).is_file() else sorted(place.glob(f"*/{SKILL}"))
    if not found:
        raise UsageError(f"{place} holds no {SKILL}, and neither does a folder in it")
    return found


def _lessons(name: str, texts: Sequence[str], template: str) -> Library:
    return Library(name, 0, tuple(Lesson(i, text, 1, 1) for i, text in enumerate(texts, 1)), template)


def join_texts(texts: Sequence[Text], name: str) -> Text:
    """Return several texts as one, one after the other; they are shown as the first one is."""
    lessons = [lesson.text for text in texts for lesson in text.library]
    template = texts[0].library.template
    words = "\n\n".join(text.words for text in texts)
    return Text(name, words, _lessons(name, lessons, template))


def touch(text: Text, against: Text, problems: Sequence[Problem]) -> Touch:
    """Return the problems that a text touches: those that a sentence speaks of which only one of the texts has.

    Each sentence counts as a lesson would, by its condition or subject; where no sentence names problems, all are.
    """
    new, old = _sentences(text.words), _sentences(against.words)
    found = [touched(Edit(Op.ADD, s), text.library, problems) for s in (new | old) - (new & old)]
    ids = frozenset(problem.id for each in found if each.how == "word" for problem in each.problems)
    return Touch(ids, "word") if ids else Touch(frozenset(problem.id for problem in problems), "all")


def _sentences(words: str) -> set[str]:
    lines = (MARKER.sub("", line).strip() for line in words.splitlines())
    return {s for line in lines for s in re.split(r"(?<=[.!?])\s+", line) if s}


def with_unique_names(texts: Sequence[Text]) -> tuple[Text, ...]:
    """Return texts with names of their own; a name that comes twice is numbered."""
    met: dict[str, int] = {}
    found = []
    for text in texts:
        met[text.name] = met.get(text.name, 0) + 1
        found.append(text if met[text.name] == 1 else replace(text, name=f"{text.name} ({met[text.name]})"))
    return tuple(found)
