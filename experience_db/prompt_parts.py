"""Lessons that stand for another part of a prompt: the instructions, or what a tool says of itself.

Such a lesson is text like any other, so versions, diffs, evidence, merges and exports hold for it. Whoever can puts its
words in the place of that part; elsewhere it stands in the block of lessons and says itself what it replaces.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experience_db.library import Library
    from experience_db.records import Lesson

INSTRUCTIONS = "instructions"
TOOL = "tool "
"""How the name of a part begins that is the description of a tool; the name of the tool follows."""
_PART = re.compile(r"Instead of the (?:(instructions)|description of the tool (\S+)): (.+)", re.DOTALL)


def part_text(name: str, text: str) -> str:
    """Return the lesson that stands for a part of the prompt.

    Args:
        name: `INSTRUCTIONS`, or `TOOL` and the name of a tool.
        text: what is said there from now on.
    """
    part = name if name == INSTRUCTIONS else f"description of the tool {name.removeprefix(TOOL)}"
    return f"Instead of the {part}: {text.strip()}"


def part_of(text: str) -> tuple[str, str] | None:
    """Return name and words of the part that a lesson stands for; None where it is another lesson."""
    found = _PART.fullmatch(text)
    if found is None:
        return None
    return (INSTRUCTIONS if found.group(1) else f"{TOOL}{found.group(2)}"), found.group(3)


def parts_of(lessons: Sequence[Lesson]) -> dict[str, Lesson]:
    """Return by name the lessons that stand for parts; of several for one part the first."""
    found: dict[str, Lesson] = {}
    for lesson in lessons:
        if (part := part_of(lesson.text)) is not None:
            found.setdefault(part[0], lesson)
    return found


def apart(library: Library, names: Collection[str]) -> tuple[Library, dict[str, str]]:
    """Return a library without the lessons that stand for the named parts, and what each part says now."""
    told = {lesson.id: part for lesson in library.lessons if (part := part_of(lesson.text)) and part[0] in names}
    if not told:
        return library, {}
    rest = tuple(lesson for lesson in library.lessons if lesson.id not in told)
    return replace(library, lessons=rest), dict(reversed(told.values()))


def one_of_each_part(lessons: Sequence[Lesson], first: Collection[int] = ()) -> tuple[Lesson, ...]:
    """Return lessons with one for each part at most: one whose id is in `first`, else that of the lowest id."""
    ranked = sorted(lessons, key=lambda x: (x.id not in first, x.id))
    kept = {lesson.id for lesson in parts_of(ranked).values()}
    return tuple(x for x in lessons if x.id in kept or part_of(x.text) is None)
