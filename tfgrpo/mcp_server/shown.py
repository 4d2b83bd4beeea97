"""What a client gets to see of a library: its lessons, page by page, the block, and what a search finds.

Every question is answered from the version that is newest at that moment (or the one that was named).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from experience_db import Evidence, Lesson, Library, UnknownLesson
from experience_db.formats import about, effect
from tfgrpo.errors import UsageError
from tfgrpo.lessons.scanners import visible
from tfgrpo.proxy.library_routing import LibraryRouting

PAGE = 200
"""Lessons in one page of the list of resources."""
TITLE = 80
"""Longest title of a resource, in characters."""


@dataclass(frozen=True, slots=True)
class Item:
    """One lesson, or the block, as a resource."""

    uri: str
    name: str
    title: str
    about: str
    """Where it comes from and what was measured about it."""
    text: str


def block_item(library: Library) -> Item:
    """Return all lessons as the text that learning put into prompts."""
    told = f"Version {library.version} with {len(library)} lessons, as they stand in a prompt."
    return Item(f"{_root(library)}/block", "block", f"All lessons of {library.name}", told, library.block())


def lesson_item(library: Library, lesson: Lesson, measured: Sequence[Evidence]) -> Item:
    """Return one lesson with what was measured about it."""
    words = visible(" ".join(lesson.text.split()))
    title = words if len(words) <= TITLE else f"{words[: TITLE - 3]}..."
    told = about(lesson, measured, library.version)
    return Item(f"{_root(library)}/lessons/{lesson.id}", f"lesson {lesson.id}", title, told, lesson.text)


def page(served: LibraryRouting, library: Library, cursor: str | None) -> tuple[tuple[Item, ...], str | None]:
    """Return a page of resources and the cursor of the next one, None after the last.

    A cursor is the id of the last lesson seen. Ids are never given out twice, so it holds across versions.

    Raises:
        UsageError: a cursor that is not ours.
    """
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise UsageError(f"there is no page {cursor[:40]!r}; list anew without a cursor")
    after = int(cursor or 0)
    rest = sorted((x for x in library if x.id > after), key=lambda x: x.id)
    measured = measured_about(served, library, rest[:PAGE])
    items = tuple(lesson_item(library, x, measured[x.id]) for x in rest[:PAGE])
    first = (block_item(library),) if cursor is None else ()
    return first + items, str(rest[PAGE - 1].id) if len(rest) > PAGE else None


def resource(served: LibraryRouting, library: Library, uri: str) -> Item:
    """Return the resource of an address.

    Raises:
        UnknownLesson: this version has none there.
    """
    root = _root(library)
    if uri == f"{root}/block":
        return block_item(library)
    number = uri.removeprefix(f"{root}/lessons/")
    if number != uri and number.isascii() and number.isdigit() and len(number) < 19:
        lesson = library.lesson(int(number))
        return lesson_item(library, lesson, measured_about(served, library, [lesson])[lesson.id])
    raise UnknownLesson(f"there is no resource {uri[:200]!r}; there are {root}/block and {root}/lessons/ID")


def search(served: LibraryRouting, library: Library, query: str, limit: int) -> dict[str, Any]:
    """Return the lessons that share words with `query`, best first, with what was measured; raises StoreError."""
    found = served.store.search(library.name, query, limit, version=library.version)
    measured = measured_about(served, library, found)
    rows = [_row(lesson, effect(lesson, measured[lesson.id], library.version)) for lesson in found]
    return {"library": library.name, "version": library.version, "lessons": rows}


def search_text(found: Mapping[str, Any]) -> str:
    """Return the result of a search for a model to read: id and words, a line each."""
    rows: Sequence[Mapping[str, Any]] = found["lessons"]
    return "\n".join(f"[{row['id']}] {' '.join(row['text'].split())}" for row in rows) or "no lesson matches"


def measured_about(
    served: LibraryRouting, library: Library, lessons: Sequence[Lesson]
) -> dict[int, tuple[Evidence, ...]]:
    """Return what was ever measured about each lesson, oldest first; raises StoreError."""
    return served.store.evidence_about(library.name, [lesson.id for lesson in lessons])


def _row(lesson: Lesson, found: Evidence | None) -> dict[str, Any]:
    measured = None
    if found is not None:
        measured = {
            "kind": found.kind, "estimate": found.estimate, "low": found.low, "high": found.high, "n": found.n
        }  # fmt: skip
    return {"id": lesson.id, "text": lesson.text, "tainted": lesson.tainted, "effect": measured}


def _root(library: Library) -> str:
    """The address of a library; the name stands in the path, where upper and lower case last."""
    return f"tfgrpo://library/{quote(library.name, safe='')}"
