"""A library version in memory: its lessons, the block they make in a prompt, and where that block goes.

The template is stored with the version, so an app puts into its prompts exactly what learning put there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from experience_db.apply import apply_edits
from experience_db.errors import BadTemplate, UnknownLesson
from experience_db.frames import html_table, to_pandas, to_polars
from experience_db.records import Edit, Lesson
from experience_db.template_rules import rendered

DEFAULT_TEMPLATE = """{% if lessons %}
Advice; follow what fits this problem:
{% filter fence("lessons") %}
{% for lesson in lessons %}
[{{ lesson.id }}] {{ lesson.text | line }}
{% endfor %}
{% endfilter %}
{% endif %}
"""
"""Used when a library is created without a template of its own; what learning with the prompt set `default` uses."""

PLACES = ("system", "user_end")
"""Where a block can stand: at the end of the system message, or at the end of the user's last message."""

_SYSTEM_ROLES = ("system", "developer")
_PLACE = re.compile(r"\{#(?:(?!#\}|\{#).){0,2000}?\bplace: *(\w+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Library:
    """One version of a library; immutable."""

    name: str
    version: int = 0
    """0 is the empty library."""
    lessons: tuple[Lesson, ...] = ()
    """Ordered by id."""
    template: str = DEFAULT_TEMPLATE
    """Jinja source of the block that goes into prompts; wants `lessons`, each with `id` and `text`."""
    next_id: int = 0
    """The id that the next new lesson will get; left at 0 it becomes one more than the highest present."""

    def __post_init__(self) -> None:
        """Fill in `next_id`."""
        if self.next_id < 1:
            object.__setattr__(self, "next_id", 1 + max((lesson.id for lesson in self.lessons), default=0))

    def __len__(self) -> int:
        return len(self.lessons)

    def __iter__(self) -> Iterator[Lesson]:
        return iter(self.lessons)

    def __repr__(self) -> str:
        """Return one line: name, version, how many lessons."""
        count = len(self.lessons)
        return f"Library({self.name!r}, version {self.version}, {count} lesson{'' if count == 1 else 's'})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the lessons."""
        rows = [(lesson.id, lesson.text, lesson.origin) for lesson in self.lessons]
        return html_table(f"Library {self.name!r}, version {self.version}", ("id", "lesson", "from"), rows)

    def records(self) -> list[dict[str, Any]]:
        """Return a plain row for each lesson."""
        return [
            {"id": x.id, "text": x.text, "born": x.born, "changed": x.changed, "tainted": x.tainted,
             "problems": sorted({source.problem_id for source in x.sources})}
            for x in self.lessons
        ]  # fmt: skip

    def to_pandas(self) -> Any:
        """Return `records()` as a pandas DataFrame; raises ImportError where pandas is not installed."""
        return to_pandas(self.records())

    def to_polars(self) -> Any:
        """Return `records()` as a polars DataFrame; raises ImportError where polars is not installed."""
        return to_polars(self.records())

    def lesson(self, lesson_id: int) -> Lesson:
        """Return the lesson of that id, or raise UnknownLesson."""
        for lesson in self.lessons:
            if lesson.id == lesson_id:
                return lesson
        raise UnknownLesson(f"version {self.version} of library {self.name!r} has no lesson {lesson_id}")

    def block(self) -> str:
        """Return the text that goes into prompts; empty when there are no lessons. Raises BadTemplate."""
        if not self.lessons:
            return ""
        return rendered(self.template, self.lessons)

    @property
    def place(self) -> str:
        """Where the block stands, one of PLACES; the template says it. Raises BadTemplate."""
        return place_of(self.template)

    def inject(self, messages: Sequence[Mapping[str, Any]], problem: object = None) -> list[dict[str, Any]]:
        """Return new OpenAI-style messages that carry the lessons; the given ones are not changed.

        Where the place is `system`, the block ends the first system (or developer) message, after a blank line;
        without one it becomes a new leading system message. Where it is `user_end`, it ends the last message of the
        user; without one it is placed as for `system`. `problem` is there for retrieval per problem; the whole library
        goes in without it.
        """
        copies = [dict(message) for message in messages]
        block = self.block()
        if not block:
            return copies
        users = [message for message in copies if message.get("role") == "user"]
        if self.place == "user_end" and users:
            users[-1]["content"] = _extended(users[-1].get("content"), block)
            return copies
        for message in copies:
            if message.get("role") in _SYSTEM_ROLES:
                message["content"] = _extended(message.get("content"), block)
                return copies
        return [{"role": "system", "content": block}, *copies]

    def with_edits(self, edits: Sequence[Edit]) -> Library:
        """Return the candidate that these edits would make; nothing is stored and the version stays the same.

        Raises InvalidEdit, ConflictingEdits or UnknownLesson as `apply_edits` does.
        """
        applied = apply_edits(self.lessons, edits, version=self.version + 1, next_id=self.next_id)
        return replace(self, lessons=applied.lessons, next_id=applied.next_id)


@lru_cache(maxsize=64)
def place_of(template: str) -> str:
    """Return where a template wants its block: what a comment of it says as `place: user_end`, else `system`.

    Raises:
        BadTemplate: there is no such place.
    """
    said = _PLACE.search(template)
    place = said.group(1) if said else PLACES[0]
    if place not in PLACES:
        raise BadTemplate(f"the lessons template asks for the place {place!r}; there are: {', '.join(PLACES)}")
    return place


def placed(template: str, place: str) -> str:
    """Return a template that asks for `place`, whatever it asked for before. Raises BadTemplate."""
    if place_of(template) == place:
        return template
    bare = re.sub(r"\{# place: \w+ #\}\n?", "", template)
    made = f"{{# place: {place} #}}\n{bare}"
    place_of(made)
    return made


def check_template(template: str) -> None:
    """Render a template once with a made-up lesson; raises BadTemplate."""
    place_of(template)
    rendered(template, (Lesson(1, "text", 1, 1),))


def frame(template: str) -> str:
    """Return what a template says around its lessons: its rendering of one lesson without words. Raises BadTemplate."""
    return rendered(template, (Lesson(1, "", 1, 1),))


def _extended(content: Any, block: str) -> Any:
    """Content with the block at its end; text, a list of parts, one part or nothing. Raises TypeError."""
    if not content:
        return block
    if isinstance(content, str):
        return f"{content}\n\n{block}"
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list | tuple):
        kind = type(content).__name__
        raise TypeError(f"the content of the system message is of type {kind}; give text or a list of parts")
    return [*content, {"type": "text", "text": f"\n\n{block}"}]
